"""Game days: what people ask of them, and what becomes of the runs that they start."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from blackstart_controller.errors import NotFound, UsageError
from blackstart_controller.gameday import decide
from blackstart_controller.gameday.checks import Planned, Sources, check_item, plan_all
from blackstart_controller.gameday.conduct import Conductor
from blackstart_controller.gameday.model import (
    ITSELF,
    Change,
    Decide,
    EntryKind,
    GameDay,
    Kept,
    NewEntry,
)
from blackstart_controller.gameday.plan import new_row, warnings
from blackstart_controller.gameday.ports import GameDayStore
from blackstart_controller.gameday.states import GameDayState, check_state
from blackstart_controller.gameday.timers import Timers
from blackstart_controller.gameday.view import DayView, RunView, build, run_ids, run_view
from blackstart_controller.notify.ports import Nobody, Notifier
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.store.ports import Store

log = logging.getLogger(__name__)
SEED_BITS = 53


@dataclass(frozen=True, slots=True)
class Handed:
    """A game day as somebody hands it in. `texts`: of every file that the document names."""

    document: str
    file: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlannedDay:
    kept: Kept
    planned: tuple[Planned, ...]
    warnings: tuple[str, ...]


class GameDays:
    """`await recover()` after the runs have recovered; then days go on, and start, by themselves."""

    def __init__(
        self,
        store: GameDayStore,
        run_rows: Store,
        sources: Sources,
        clock: Clock,
        notifier: Notifier | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._conductor = Conductor(store, sources.runs, run_rows, clock)
        self.timers = Timers(store, self.start_unannounced, clock, notifier or Nobody())

    # ---- before the day ----

    async def plan(self, handed: Handed, by: str, replaces: str = "") -> PlannedDay:
        """The day is stored. With `replaces`, it is a new version of a planned one, under the same id."""
        row = await asyncio.to_thread(
            new_row,
            handed.document,
            handed.file,
            handed.texts,
            by=by,
            seed=secrets.randbits(SEED_BITS),
            now=self._clock.wall(),
        )
        planned = await plan_all(self._sources.runs, row.experiments)
        entry = NewEntry(EntryKind.PLANNED, by, row.title)
        if replaces:
            kept = await self._change(replaces, partial(_replaced, row=row, entry=entry))
        else:
            kept = await self.get((await self._store.create(row, entry, self._now())).id)
        self.timers.look()
        return PlannedDay(kept, tuple(planned), tuple(warnings(kept.row, planned)))

    async def all(self) -> Sequence[GameDay]:
        return await self._store.all()

    async def get(self, gameday_id: str) -> Kept:
        kept = await self._store.find(gameday_id)
        if kept is None:
            raise _unknown(gameday_id)
        return kept

    async def check(self, gameday_id: str, by: str, done: Sequence[str] = ()) -> Kept:
        """What checks itself has been asked, and `done` is ticked."""
        kept = await self.get(gameday_id)
        check_state(gameday_id, kept.row.state, GameDayState.PLANNED)
        kept = await self.self_check(kept)
        for item in done:
            kept = await self._change(gameday_id, partial(decide.tick, by=by, item=item))
        return kept

    async def self_check(self, kept: Kept) -> Kept:
        """Every line that checks itself has said what it says now."""
        items = [
            (number, item)
            for number, item in enumerate(decide.document_of(kept.row).checklist)
            if item.check is not None
        ]
        if not items:
            return kept
        planned = await plan_all(self._sources.runs, kept.row.experiments)
        found = await asyncio.gather(*(check_item(item, planned, self._sources) for _, item in items))
        results = [
            {"item": number, "ok": one.ok, "detail": one.detail, "unreadable": one.unreadable}
            for (number, _item), one in zip(items, found, strict=True)
        ]
        bad = sum(not one.ok for one in found)
        text = f"{bad} of {len(found)} not good" if bad else f"all {len(found)} good"
        entry = NewEntry(EntryKind.CHECKED, ITSELF, text, {"results": results})
        return await self._change(kept.row.id, lambda _: Change((entry,)))

    # ---- the day ----

    async def start(self, gameday_id: str, by: str, override: str = "") -> Kept:
        """The day is running; what has no hold point before it has begun."""
        kept = await self.get(gameday_id)
        if kept.row.state == GameDayState.PLANNED:
            await self.self_check(kept)
        now = self._clock.wall()
        kept = await self._change(gameday_id, partial(decide.start, by=by, override=override, now=now))
        await self._conductor.go_on(kept)
        return await self.get(gameday_id)

    async def start_unannounced(self, gameday_id: str) -> None:
        """A zero-notice day: its first experiment begins with it, whatever hold points it has."""
        kept = await self.self_check(await self.get(gameday_id))
        before = kept.row.state
        kept = await self._change(gameday_id, decide.start_unannounced)
        if before == GameDayState.PLANNED and kept.row.state == GameDayState.RUNNING:
            await self._conductor.go_by_itself(kept)

    async def go(self, gameday_id: str, by: str, override: str = "") -> str:
        """The id of the run of the next experiment, which has been started."""
        now = self._clock.wall()
        kept = await self._change(gameday_id, partial(decide.go, by=by, override=override, now=now))
        return await self._conductor.launch(kept)

    async def abort(self, gameday_id: str, by: str, reason: str) -> Kept:
        """Its run is being halted, first; then the day is over."""
        await self._conductor.halt(gameday_id, reason, by)
        kept = await self._change(gameday_id, partial(decide.abort, by=by, reason=reason))
        await self._conductor.halt(gameday_id, reason, by)  # one that was being started meanwhile
        self.timers.look()
        return kept

    async def finish(self, gameday_id: str, by: str) -> Kept:
        kept = await self._change(gameday_id, partial(decide.finish, by=by))
        self.timers.look()
        return kept

    # ---- what was seen and learnt ----

    async def note(self, gameday_id: str, by: str, text: str) -> Kept:
        entry = NewEntry(EntryKind.NOTE, by, text)
        return await self._change(gameday_id, lambda _: Change((entry,)))

    async def finding(self, gameday_id: str, by: str, text: str, told: Mapping[str, str]) -> Kept:
        return await self._change(gameday_id, partial(decide.finding, by=by, text=text, told=told))

    async def retest(self, gameday_id: str, by: str, number: int, run: str) -> Kept:
        await self._sources.runs.get(run)  # it exists
        return await self._change(gameday_id, partial(decide.retest, by=by, number=number, run=run))

    async def judge(self, gameday_id: str, by: str, number: int, result: str, text: str) -> Kept:
        if result not in decide.RESULTS:
            raise UsageError(f"hypothesis: must be one of {', '.join(decide.RESULTS)}, got {result[:80]!r}")
        decided = partial(decide.judge, by=by, number=number, result=result, text=text)
        return await self._change(gameday_id, decided)

    # ---- what is shown ----

    async def view(self, kept: Kept, *, secrets_too: bool) -> DayView:
        """The day with its runs' results. `secrets_too`: whoever looks may see a zero-notice moment."""
        runs = {run: await self._run_view(run) for run in dict.fromkeys(run_ids(kept))}
        return build(kept, runs, secrets_too=secrets_too)

    async def _run_view(self, run_id: str) -> RunView:
        run = await self._sources.runs.get(run_id)
        try:
            return run_view(await self._sources.runs.report(run_id))
        except NotFound:  # it has not ended
            return RunView(run_id, run.experiment, run.verdict or run.state, run.reverted or "")

    # ---- its own life ----

    async def recover(self, settle_s: float = 0.0) -> None:
        """Runs of an earlier life are followed again; what is due happens from `settle_s` on."""
        for row in await self._store.all():
            if row.state == GameDayState.RUNNING:
                await self._conductor.recover(await self.get(row.id))
        self.timers.begin(settle_s)

    async def close(self) -> None:
        await self.timers.close()
        await self._conductor.close()

    async def _change(self, gameday_id: str, decided: Decide) -> Kept:
        kept = await self._store.change(gameday_id, decided, self._now())
        if kept is None:
            raise _unknown(gameday_id)
        return kept

    def _now(self) -> str:
        return iso(self._clock.wall())


def _replaced(kept: Kept, row: GameDay, entry: NewEntry) -> Change:
    check_state(kept.row.id, kept.row.state, GameDayState.PLANNED)
    return Change((entry,), row=replace(row, created=kept.row.created))


def _unknown(gameday_id: str) -> NotFound:
    return NotFound(f"game day {gameday_id}: there is none; `blackstart gameday list` shows all")
