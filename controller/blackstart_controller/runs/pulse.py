"""Something changed: everybody who waits looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pulse:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Set at the next beat. Take it before looking: then no change slips through before the waiting."""
        return self._event

    async def wait(self, timeout_s: float, event: asyncio.Event | None = None) -> None:
        """Return at the next beat (or at `event`), or after `timeout_s`."""
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                await (event or self._event).wait()
        except TimeoutError:
            return

    async def until(self, true: Callable[[], bool], timeout_s: float) -> bool:
        """True as soon as `true()` is; False when it is not within `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not true():
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self.wait(left)
        return True
