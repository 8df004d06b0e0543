"""The runs of game days: started once for each go, followed to their end, halted with their day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from blackstart_controller.errors import BlackstartError
from blackstart_controller.gameday import decide
from blackstart_controller.gameday.checks import document_of
from blackstart_controller.gameday.model import ITSELF, Change, Decide, Entry, EntryKind, Kept, NewEntry
from blackstart_controller.gameday.ports import GameDayStore
from blackstart_controller.gameday.record import Attempt, fold
from blackstart_controller.gameday.states import GameDayState
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.service import Runs
from blackstart_controller.store.model import RunRow, StoreFailed
from blackstart_controller.store.ports import Store

log = logging.getLogger(__name__)
FOLLOW_AGAIN_S = 1.0  # after the database failed


class Conductor:
    """Acts on what a timeline says. A go is written before its run is started, so that none starts twice."""

    def __init__(self, store: GameDayStore, runs: Runs, run_rows: Store, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._run_rows = run_rows
        self._clock = clock
        self._alive: dict[str, str] = {}  # day -> its run; known without the database
        self._tasks: set[asyncio.Task[Any]] = set()

    async def launch(self, kept: Kept) -> str:
        """The run of the last go of this timeline. Recorded also when the caller has gone away."""
        entry = next(one for one in reversed(kept.entries) if one.kind == EntryKind.GO)
        return await asyncio.shield(self._spawn(self._start(kept, entry)))

    async def go_on(self, kept: Kept) -> None:
        """Start the next experiment if it needs nobody's go."""
        record = fold(kept.entries)
        left = kept.row.experiments[record.next_index :]
        if left and not left[0].hold:
            await self.go_by_itself(kept)

    async def go_by_itself(self, kept: Kept) -> None:
        """The next experiment begins, or what is against it is on the timeline."""
        now = self._clock.wall()
        try:
            await self.launch(await self._change(kept, partial(decide.go, by=ITSELF, override="", now=now)))
        except BlackstartError as error:
            log.warning("game day %s waits for a person: %s", kept.row.id, error)
            held = NewEntry(EntryKind.HELD, ITSELF, str(error))
            await self._change(kept, lambda _: Change((held,)))

    async def halt(self, gameday_id: str, reason: str, by: str) -> None:
        """The day's run is being halted, if there is one. Needs no database."""
        run_id = self._alive.get(gameday_id)
        if run_id is not None:
            await self._runs.halt(run_id, f"game day {gameday_id} aborted: {reason}", by)

    async def recover(self, kept: Kept) -> None:
        """A run that was under way is followed again; one that was about to start has its truth told."""
        attempt = fold(kept.entries).open_attempt
        if attempt is None:
            return
        entry = next(one for one in kept.entries if one.seq == attempt.seq)
        if attempt.run:
            self._follow(kept.row.id, attempt.run, entry)
            return
        run = await self._run_rows.run_by_key(_key(kept, entry))
        if run is not None:
            await self._started(kept, entry, run.id)
            return
        await self._refused(kept, entry, "the controller was restarted before the run began; say go again")

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, kept: Kept, entry: Entry) -> str:
        experiment = kept.row.experiments[entry.data["index"]]
        by = kept.row.planned_by if entry.author == ITSELF else entry.author
        launch = Launch(
            document_of(experiment),
            operator=by,
            trigger=f"gameday:{kept.row.id}",
            idempotency_key=_key(kept, entry),
        )
        try:
            run_id = await self._runs.start(launch)
        except BlackstartError as error:
            await self._refused(kept, entry, str(error))
            raise
        await self._started(kept, entry, run_id)
        return run_id

    async def _started(self, kept: Kept, entry: Entry, run_id: str) -> None:
        """Followed first: were the database to fail now, an abort would still find the run."""
        self._follow(kept.row.id, run_id, entry)
        data = {"go": entry.seq, "run": run_id}
        added = NewEntry(EntryKind.RUN_STARTED, ITSELF, str(entry.data["experiment"]), data)
        now = await self._change(kept, lambda _: Change((added,)))
        if now.row.state != GameDayState.RUNNING:
            await self._runs.halt(run_id, f"game day {kept.row.id} is {now.row.state}", ITSELF)

    async def _refused(self, kept: Kept, entry: Entry, why: str) -> None:
        added = NewEntry(EntryKind.RUN_REFUSED, ITSELF, why, {"go": entry.seq})
        await self._change(kept, lambda _: Change((added,)))

    def _follow(self, gameday_id: str, run_id: str, entry: Entry) -> None:
        self._alive[gameday_id] = run_id
        self._spawn(self._to_its_end(gameday_id, run_id, entry))

    async def _to_its_end(self, gameday_id: str, run_id: str, entry: Entry) -> None:
        run = await self._end_of(run_id)
        self._alive.pop(gameday_id, None)
        result = {"verdict": run.verdict, "reverted": run.reverted, "reason": run.reason}
        data = {"go": entry.seq, "run": run_id, **result}
        text = f"{entry.data['experiment']}: {run.verdict}, revert {run.reverted}"
        ended = NewEntry(EntryKind.RUN_ENDED, ITSELF, text, data)
        kept = await self._store.change(gameday_id, partial(_once, ended=ended), self._now())
        if kept is not None and kept.row.state == GameDayState.RUNNING:
            await self._after(kept, run.verdict == "pass" and run.reverted == "confirmed")

    async def _end_of(self, run_id: str) -> RunRow:
        while True:
            try:
                await self._runs.wait(run_id)
                return await self._runs.get(run_id)
            except StoreFailed as error:
                log.warning("run %s of a game day cannot be followed now: %s", run_id, error)
                await asyncio.sleep(FOLLOW_AGAIN_S)

    async def _after(self, kept: Kept, good: bool) -> None:
        """An experiment without a hold point follows by itself only when all before it went well."""
        left = kept.row.experiments[fold(kept.entries).next_index :]
        if not left or left[0].hold:
            return
        if good:
            await self.go_by_itself(kept)
            return
        text = f"{left[0].name} would follow by itself; it waits for a go, as the run before did not pass"
        await self._change(kept, lambda _: Change((NewEntry(EntryKind.HELD, ITSELF, text),)))

    async def _change(self, kept: Kept, decided: Decide) -> Kept:
        changed = await self._store.change(kept.row.id, decided, self._now())
        assert changed is not None  # rows are never deleted
        return changed

    def _now(self) -> str:
        return iso(self._clock.wall())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_tell)
        return task


def _key(kept: Kept, entry: Entry) -> str:
    return f"gameday/{kept.row.id}/{entry.seq}"


def _once(kept: Kept, ended: NewEntry) -> Change | None:
    attempts = fold(kept.entries).attempts
    known: Attempt = next(one for one in attempts if one.seq == ended.data["go"])
    return Change((ended,)) if known.open else None


def _tell(task: asyncio.Task[Any]) -> None:
    """Errors of ours were answered or written down; anything else is a defect."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, BlackstartError):
        log.error("following a game day failed", exc_info=error)
