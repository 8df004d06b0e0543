"""Virtual time: an event loop whose clock jumps to the next timer, so that hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")
START_S = 1000.0
EPOCH = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Stuck(RuntimeError):
    """Nothing is due and nothing can happen any more: a deadlock."""


class _Selector(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for something that will never happen")
        self.loop.now_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now_s = START_S
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    def set_resolution(self, resolution_s: float | None) -> None:
        """Timers so close together are due at once."""
        if resolution_s is not None:
            self._clock_resolution = resolution_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Done at once: virtual time must not run ahead of a real thread."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
            done.set_exception(error)
        return done


class VirtualClock:
    """Implements `runs.clock.Clock` on the running virtual loop."""

    def __init__(self, boot_id: str = "controller-boot-1", shift_s: float = 0.0) -> None:
        self.boot_id = boot_id
        self.shift_s = shift_s  # monotonic time starts anew after a reboot

    def monotonic_ns(self) -> int:
        return round((asyncio.get_running_loop().time() + self.shift_s) * 1e9)

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() - START_S)


def run_virtual(work: Coroutine[Any, Any, Result], *, resolution_s: float | None = None) -> Result:
    """What `work` returns, without waiting for real time.

    After months, seconds in a float are too coarse for the loop: then `resolution_s` has to be 1e-6.
    """
    loop = VirtualLoop()
    loop.set_resolution(resolution_s)
    try:
        return loop.run_until_complete(work)
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
