"""What happens to game days by itself: reminders, zero-notice starts, misses, the notice of the report.

Everything that is due is found from the store, so that a controller that comes back goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from blackstart_controller.errors import BlackstartError
from blackstart_controller.gameday import decide, notices
from blackstart_controller.gameday.due import OVER, Action, Begin, Miss, Remind, Report, due_now, next_look
from blackstart_controller.gameday.model import ITSELF, Change, Decide, EntryKind, Kept, NewEntry
from blackstart_controller.gameday.ports import GameDayStore
from blackstart_controller.gameday.record import fold
from blackstart_controller.notify.ports import Notifier
from blackstart_controller.runs.clock import Clock, iso

log = logging.getLogger(__name__)
LOOK_EVERY_S = 30.0  # wall clocks are set, machines are suspended: never sleep longer
Start: TypeAlias = Callable[[str], Awaitable[None]]


class Timers:
    """`begin()` once; `look()` whenever something changed."""

    def __init__(self, store: GameDayStore, start: Start, clock: Clock, notifier: Notifier) -> None:
        self._store = store
        self._start = start
        self._clock = clock
        self._notifier = notifier
        self._changed = asyncio.Event()
        self._settled: set[str] = set()  # over, and told: nothing becomes due any more
        self._task: asyncio.Task[None] | None = None

    def begin(self, settle_s: float = 0.0) -> None:
        """Act from `settle_s` on: after a restart agents need a moment to come back."""
        self._task = asyncio.create_task(self._run(settle_s), name="gamedays")
        self._task.add_done_callback(_tell)

    def look(self) -> None:
        self._changed.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def act(self) -> float:
        """Everything that is due now has been done. Returns the seconds until the next look."""
        rows = [row for row in await self._store.all() if row.id not in self._settled]
        return min([LOOK_EVERY_S, *[await self._act_on(row.id) for row in rows]])

    async def _act_on(self, gameday_id: str) -> float:
        kept = await self._store.find(gameday_id)
        assert kept is not None  # rows are never deleted
        if kept.row.state in OVER and fold(kept.entries).reported:
            self._settled.add(gameday_id)
        now = self._clock.wall()
        try:
            for action in due_now(kept, now):
                await self._do(kept, action)
        except BlackstartError as error:
            log.warning("game day %s: %s", gameday_id, error)
        moment = next_look(kept, now)
        if moment is None:
            return LOOK_EVERY_S
        return max(0.0, (moment - self._clock.wall()).total_seconds())

    async def _run(self, settle_s: float) -> None:
        await asyncio.sleep(settle_s)
        while True:
            self._changed.clear()
            try:
                wait_s = await self.act()
            except BlackstartError as error:  # the database: looked at again
                log.warning("game days: %s", error)
                wait_s = LOOK_EVERY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _do(self, kept: Kept, action: Action) -> None:
        match action:
            case Remind():
                await self._remind(kept, action)
            case Begin():
                await self._start(kept.row.id)
            case Miss(why):
                await self._change(kept, partial(decide.missed, why=why))
            case Report():
                await self._report(kept)
        if isinstance(action, Begin | Miss):
            self.look()

    async def _remind(self, kept: Kept, action: Remind) -> None:
        """Published first: a notice that was published is never published again, whoever dies in between."""
        await self._notifier.publish(notices.reminder(kept, action.before_ms))
        told = [action.before_ms, *action.passed]
        entry = NewEntry(EntryKind.REMINDED, ITSELF, "", {"before_ms": told})
        revision = kept.row.revision

        def once(now: Kept) -> Change | None:
            same = now.row.revision == revision and action.before_ms not in fold(now.entries).reminded
            return Change((entry,)) if same else None

        await self._change(kept, once)

    async def _report(self, kept: Kept) -> None:
        await self._notifier.publish(notices.report(kept))
        entry = NewEntry(EntryKind.REPORTED, ITSELF)
        await self._change(kept, lambda now: None if fold(now.entries).reported else Change((entry,)))

    async def _change(self, kept: Kept, decided: Decide) -> None:
        await self._store.change(kept.row.id, decided, iso(self._clock.wall()))


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("game days' timers failed: nothing begins and nobody is reminded", exc_info=error)
