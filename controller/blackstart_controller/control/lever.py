"""The lever: engaged, everything is reverted and nothing starts until an approver releases it.

Engaging never fails: it holds in memory at once, then every run is halted, then it is put on disk. A restart
releases nothing that was put on disk; a lever on disk that cannot be read counts as engaged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from blackstart_controller.control.leverfile import LeverFile, Record, Unreadable
from blackstart_controller.control.model import ControlEvent, LeverState
from blackstart_controller.control.ports import ControlStore
from blackstart_controller.notify.ports import Notice, Notifier
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
HaltAll: TypeAlias = Callable[[str, str], Awaitable[list[str]]]  # (reason, by) -> ids of the runs
DISK_S = 1.0  # an operator who engages waits no longer for a disk
RETRY_S = 5.0
SUBJECT = "lever"


@dataclass(frozen=True, slots=True)
class Engaged:
    """`halted`: the runs that are being ended. `warning`: why a restart would release the lever, if so."""

    state: LeverState
    halted: list[str]
    warning: str = ""


class Lever:
    """Open it with `await Lever.open(…)`, then `attach` what halts; `close` it at the end."""

    def __init__(
        self,
        record: Record,
        file: LeverFile,
        store: ControlStore,
        clock: Clock,
        notifier: Notifier,
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._record = record
        self._file = file
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._retry_s = retry_s
        self._halt_all: HaltAll | None = None
        self._disk = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(
        cls, file: LeverFile, store: ControlStore, clock: Clock, notifier: Notifier, retry_s: float = RETRY_S
    ) -> Lever:
        """As it was left. What its log does not know yet is told to it now."""
        last = await store.last_of(SUBJECT)
        try:
            record = await asyncio.to_thread(file.read)
        except (Unreadable, OSError) as error:
            state = LeverState("the controller", f"its file cannot be read: {error}", iso(clock.wall()))
            record = Record(1 + (0 if last is None else int(last.data["serial"])), state)
        if record is None:
            record = _from_log(last)
            await asyncio.to_thread(file.write, record)
        lever = cls(record, file, store, clock, notifier, retry_s=retry_s)
        if record.serial > (0 if last is None else int(last.data["serial"])):
            lever._tell(_event(record, "the controller", iso(clock.wall()), ""))
        return lever

    def attach(self, halt_all: HaltAll) -> None:
        self._halt_all = halt_all

    def engaged(self) -> LeverState | None:
        return self._record.state

    async def engage(self, by: str, reason: str) -> Engaged:
        """Nothing starts from now on, and every run is being halted. Engaging again halts again."""
        state = self._record.state
        if state is None:
            state = LeverState(by, reason, iso(self._clock.wall()))
            self._record = Record(self._record.serial + 1, state)
            self._tell(_event(self._record, by, state.at, reason))
        assert self._halt_all is not None, "attach comes before the first operator"
        halted = await self._halt_all(f"the lever was engaged: {reason}", by)
        return Engaged(state, halted, await self._kept())

    async def release(self, by: str, reason: str) -> bool:
        """Runs may start again, durably; False when it was not engaged. On StoreFailed it stays engaged."""
        async with self._disk:
            before = self._record
            if before.state is None:
                return False
            released = Record(before.serial + 1, None)
            try:
                await asyncio.to_thread(self._file.write, released)
            except OSError as error:
                raise StoreFailed(
                    f"the lever stays engaged: releasing it cannot be stored ({error}); repair the disk"
                ) from error
            self._record = released
        self._tell(_event(released, by, iso(self._clock.wall()), reason))
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _kept(self) -> str:
        """Put it on disk; "" when that is done, else why it is not."""
        writing = self._spawn(self._write())
        await asyncio.wait({writing}, timeout=DISK_S)
        why = writing.result() if writing.done() else f"the disk has not answered for {DISK_S:g} s"
        return why and f"it holds, but a restart of the controller may release it: {why}"

    async def _write(self) -> str:
        async with self._disk:
            try:
                await asyncio.to_thread(self._file.write, self._record)
            except OSError as error:
                log.error("the lever is engaged, but not on disk: %s", error)
                return str(error)
        return ""

    def _tell(self, event: ControlEvent) -> None:
        self._spawn(self._log(event))
        text = f"the lever was {event.type.removeprefix('lever.')} by {event.by}: {event.data['reason']}"
        self._spawn(self._notifier.publish(Notice(event.type, SUBJECT, text, dict(event.data))))

    async def _log(self, event: ControlEvent) -> None:
        """In the log of control, sooner or later: a database that is gone is asked again."""
        while True:
            with contextlib.suppress(StoreFailed):
                return await self._store.record(event)
            await asyncio.sleep(self._retry_s)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _event(record: Record, by: str, at: str, reason: str) -> ControlEvent:
    kind = "lever.released" if record.state is None else "lever.engaged"
    state = None if record.state is None else asdict(record.state)
    told = reason or ("" if record.state is None else record.state.reason)
    return ControlEvent(at, by, kind, SUBJECT, {"serial": record.serial, "reason": told, "state": state})


def _from_log(last: ControlEvent | None) -> Record:
    """Where the file is gone: what the log says last."""
    if last is None:
        return Record(0, None)
    state = last.data["state"]
    return Record(int(last.data["serial"]), None if state is None else LeverState(**state))
