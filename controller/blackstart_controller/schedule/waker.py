"""The only part that acts: claims due times, starts their runs, and writes down what became of each.

Order matters: first the claim is on disk, then the run is started under the due time's own key, then the
claim becomes its outcome. Whoever comes after a crash finds the claim and asks for that key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from blackstart_controller.errors import BlackstartError, InvalidDocument, NoTargets
from blackstart_controller.notify.ports import Notice, Notifier
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.states import RunState
from blackstart_controller.schedule.decide import MISSED, decided, in_time, late_text
from blackstart_controller.schedule.due import dues, next_due
from blackstart_controller.schedule.judge import forbidden
from blackstart_controller.schedule.model import Calendar, Due, DueRow, DueState, Schedule
from blackstart_controller.schedule.ports import Alarms, RunStore, ScheduleStore, Starter
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
LOOK_EVERY_S = 30.0  # a clock that jumps wakes nobody; so late is the next look
BACK_S = 3600.0  # a clock that went back so far is told of
TRIES = 10  # each time that somebody changes a schedule in between


@dataclass(frozen=True, slots=True)
class World:
    """What the waker acts on."""

    store: ScheduleStore
    run_store: RunStore
    runs: Starter
    clock: Clock
    notifier: Notifier
    alarms: Alarms


class Waker:
    """Looks at the table whenever an alarm rings, something is changed, or half a minute has passed.

    `await start()` after the runs have been recovered; `await close()` before they are closed."""

    def __init__(
        self, world: World, *, agents_back_s: float = 0.0, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        """Nothing is started in the first `agents_back_s` seconds: agents dial again after a restart."""
        self._world = world
        self._agents_back_s = agents_back_s
        self._look_every_s = look_every_s
        self._agents_back = asyncio.Event()
        self._bell = asyncio.Event()
        self._looking = asyncio.Lock()
        self._in_order: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # within one schedule
        self._starting: dict[str, asyncio.Task[None]] = {}  # by the due time's key
        self._next: dict[str, tuple[int, Due | None]] = {}  # by schedule: its revision then, and what comes
        self._told_back: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """What came while nobody looked is dealt with; alarms are set for what comes."""
        asyncio.get_running_loop().call_later(self._agents_back_s, self._agents_back.set)
        self._world.alarms.start(self._bell.set)
        await self.look()
        self._watch = asyncio.create_task(self._look_again(), name="schedules")

    async def close(self) -> None:
        """Nothing is started any more. What was claimed and not started is found by the next start."""
        self._world.alarms.close()
        tasks = [*self._starting.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Every due time that has begun has an outcome, or is being started; the next alarms are set."""
        async with self._looking:
            schedules = {one.id: one for one in await self._world.store.schedules()}
            calendars = {one.name: one for one in await self._world.store.calendars()}
            for schedule in schedules.values():
                await self._deal(schedule, calendars)
            for gone in self._next.keys() - schedules.keys():
                self._world.alarms.drop(gone)
                del self._next[gone]
            for claim in await self._world.store.claims():
                self._begin(claim)

    async def _look_again(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s):
                    await self._bell.wait()
            self._bell.clear()
            try:
                await self.look()
            except BlackstartError as error:
                log.error("schedules: %s; looked at again in %g s", error, self._look_every_s)

    # ---- from due times to claims ----

    async def _deal(self, schedule: Schedule, calendars: Mapping[str, Calendar]) -> None:
        now = self._world.clock.wall()
        await self._tell_back(schedule, now)
        due = await self._coming(schedule)
        if due is not None and due.starts <= now:
            rows = await asyncio.to_thread(_decided, schedule, calendars, now)
            if not await self._world.store.deal(schedule, rows, rows[-1].until):
                return  # somebody has just changed it, and has the next look made
            schedule = replace(schedule, dealt_until=rows[-1].until, revision=schedule.revision + 1)
            for row in rows:
                await self._tell(schedule.name, row)
            due = await self._coming(schedule)
        if due is None:
            self._world.alarms.drop(schedule.id)
        else:
            self._world.alarms.set(schedule.id, due.starts)

    async def _coming(self, schedule: Schedule) -> Due | None:
        revision, due = self._next.get(schedule.id, (-1, None))
        if revision != schedule.revision:
            due = await asyncio.to_thread(next_due, schedule.spec, schedule.dealt_until)
            self._next[schedule.id] = (schedule.revision, due)
        return due

    async def _tell_back(self, schedule: Schedule, now: datetime) -> None:
        """A clock that was ahead and has been set right: what it dealt with is not dealt with again."""
        back = (schedule.dealt_until - now).total_seconds() > BACK_S
        if back and schedule.id not in self._told_back:
            until = iso(schedule.dealt_until)
            text = f"schedule {schedule.name}: the clock went back; nothing runs until {until}, once more"
            log.error("%s", text)
            await self._world.notifier.publish(
                Notice("schedule.skipped", f"schedule/{schedule.name}", text, {"until": until})
            )
        (self._told_back.add if back else self._told_back.discard)(schedule.id)

    async def _tell(self, name: str, row: DueRow) -> None:
        if row.state != DueState.SKIPPED:
            return
        text = f"schedule {name}: {iso(row.due)} skipped: {row.reason}"
        log.info("%s", text)
        data = {"due": iso(row.due), "until": iso(row.until), "count": row.count, "reason": row.reason}
        await self._world.notifier.publish(Notice("schedule.skipped", f"schedule/{name}", text, data))

    # ---- from a claim to its outcome ----

    def _begin(self, claim: DueRow) -> None:
        if claim.key not in self._starting:
            task = asyncio.create_task(self._to_an_outcome(claim), name=claim.key)
            self._starting[claim.key] = task
            task.add_done_callback(partial(self._begun, claim.key))

    def _begun(self, key: str, task: asyncio.Task[None]) -> None:
        del self._starting[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: not started; tried again in %g s", key, self._look_every_s, exc_info=error)

    async def _to_an_outcome(self, claim: DueRow) -> None:
        await self._agents_back.wait()
        async with self._in_order[claim.schedule_id]:
            schedule = await self._schedule(claim.schedule_id)
            name = schedule.name if schedule else claim.schedule_id
            run = await self._world.run_store.run_by_key(claim.key)
            if run is not None:
                outcome = replace(claim, state=DueState.RUN, run_id=run.id)
            else:
                outcome = await self._started(claim, schedule)
            outcome = replace(outcome, decided=self._world.clock.wall())
            await self._world.store.settle(outcome)
            await self._tell(name, outcome)

    async def _started(self, claim: DueRow, schedule: Schedule | None) -> DueRow:
        if (why := await self._hindered(claim, schedule)) is not None:
            return replace(claim, state=DueState.SKIPPED, reason=why)
        schedule = await self._schedule(claim.schedule_id)  # it may have been changed while we waited
        if (why := await self._refused_now(claim, schedule)) is not None or schedule is None:
            return replace(claim, state=DueState.SKIPPED, reason=why or "")
        launch = Launch(
            schedule.document,
            schedule.created_by,
            trigger=f"schedule:{schedule.name}",
            plan_hash=schedule.plan_hash,
            idempotency_key=claim.key,
            approved_by=schedule.approved_by,
        )
        try:
            run_id = await self._world.runs.start(launch)
        except StoreFailed:
            raise  # nobody can say what happened: the claim stays, and the key tells
        except BlackstartError as error:
            return replace(claim, state=DueState.SKIPPED, reason=_refusal(error))
        return replace(claim, state=DueState.RUN, run_id=run_id)

    async def _hindered(self, claim: DueRow, schedule: Schedule | None) -> str | None:
        """Wait for the schedule's earlier run, as long as its policy says."""
        wait_s = (schedule.spec.wait_s if schedule else None) or 0.0
        last = await self._world.store.last_run(claim.schedule_id)
        row = await self._world.run_store.run(last) if last is not None else None
        if row is None or row.state == RunState.ENDED:
            return None
        left_s = (claim.starts + timedelta(seconds=wait_s) - self._world.clock.wall()).total_seconds()
        try:
            async with asyncio.timeout(max(left_s, 0.0)):
                await self._world.runs.wait(row.id)
        except TimeoutError:
            waited = f" after {wait_s:g} s" if wait_s else ""
            return f"overlap: its run {row.id} is still under way{waited}"
        return None

    async def _refused_now(self, claim: DueRow, schedule: Schedule | None) -> str | None:
        now = self._world.clock.wall()
        if schedule is None:
            return "removed: the schedule was removed before it could start"
        if (why := schedule.stands_still()) is not None:
            return why
        if not in_time(schedule, claim.starts, now, wait_s=schedule.spec.wait_s or 0.0):
            return (
                f"{MISSED}: the controller stopped before it could start it; {late_text(claim.starts, now)}"
            )
        calendars = {one.name: one for one in await self._world.store.calendars()}
        return await asyncio.to_thread(forbidden, schedule.spec, calendars, now)

    async def _schedule(self, schedule_id: str) -> Schedule | None:
        return next((one for one in await self._world.store.schedules() if one.id == schedule_id), None)


def _decided(schedule: Schedule, calendars: Mapping[str, Calendar], now: datetime) -> list[DueRow]:
    coming = dues(schedule.spec, schedule.dealt_until, now)
    return decided(schedule, coming, now, partial(forbidden, schedule.spec, calendars))


def _refusal(error: BlackstartError) -> str:
    kinds = {InvalidDocument: "document invalid", NoTargets: "no target"}
    return f"{kinds.get(type(error), 'refused')}: {error}"
