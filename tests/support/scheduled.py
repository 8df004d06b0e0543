"""A waker on virtual time: the real core and the real APScheduler, over runs that only last a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

import apscheduler.schedulers.base
from blackstart_controller.errors import BlackstartError
from blackstart_controller.notify.ports import Notice
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.planning import PlanAnswer
from blackstart_controller.schedule.alarm import ApschedulerAlarms
from blackstart_controller.schedule.model import DueRow
from blackstart_controller.schedule.service import Schedules
from blackstart_controller.schedule.waker import LOOK_EVERY_S, Waker, World
from blackstart_controller.spec.document import Document
from blackstart_controller.store.model import RunRow

from support.memory_schedules import MemorySchedules
from support.scenes import order, plan_of
from support.virtual import VirtualClock

DOCUMENT = Document("experiment: x", "x.yaml")


class SetClock(VirtualClock):
    """It shows `start` when it is made, and jumps when `ahead` is changed."""

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self.ahead = timedelta(0)
        self._start = start
        self._began_s = asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        elapsed_s = asyncio.get_running_loop().time() - self._began_s
        return self._start + timedelta(seconds=elapsed_s) + self.ahead


@dataclass
class FakeRuns:
    """Implements `schedule.ports.Starter` and `RunStore`."""

    clock: VirtualClock
    lasting_s: float = 0.0
    refusing: BlackstartError | None = None
    rows: dict[str, RunRow] = field(default_factory=dict)
    by_key: dict[str, RunRow] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)
    ends: dict[str, datetime] = field(default_factory=dict)

    async def plan(self, document: Document) -> PlanAnswer:
        if self.refusing is not None:
            raise self.refusing
        return PlanAnswer(plan_of(order("t1")), "hash", ())

    async def start(self, launch: Launch) -> str:
        known = await self.run_by_key(str(launch.idempotency_key))
        if known is not None:
            return known.id
        if self.refusing is not None:
            raise self.refusing
        run_id, now = f"run-{len(self.rows)}", self.clock.wall()
        self.launches.append(launch)
        self.ends[run_id] = now + timedelta(seconds=self.lasting_s)
        row = RunRow(
            id=run_id,
            experiment="x",
            file="x.yaml",
            document="",
            plan="",
            plan_hash="",
            created=iso(now),
            boot_id="boot",
            operator=launch.operator,
            trigger=launch.trigger,
            idempotency_key=launch.idempotency_key,
            state="holding",
        )
        self.rows[run_id] = row
        self.by_key[str(launch.idempotency_key)] = row
        return run_id

    async def wait(self, run_id: str) -> None:
        while (left := self.ends[run_id] - self.clock.wall()) > timedelta(0):  # noqa: ASYNC110  it may jump
            await asyncio.sleep(left.total_seconds())

    async def run(self, run_id: str) -> RunRow | None:
        row = self.rows.get(run_id)
        if row is None or self.ends[run_id] > self.clock.wall():
            return row
        return replace(row, state="ended")

    async def run_by_key(self, idempotency_key: str) -> RunRow | None:
        return self.by_key.get(idempotency_key)


@dataclass
class Told:
    """Implements `notify.ports.Notifier`."""

    notices: list[Notice] = field(default_factory=list)

    async def publish(self, notice: Notice) -> None:
        self.notices.append(notice)


class Stage:
    """One controller after the other over one store."""

    def __init__(self, start: datetime, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self.clock = SetClock(start)
        self.store = MemorySchedules()
        self.runs = FakeRuns(self.clock)
        self.told = Told()
        self._look_every_s = look_every_s

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Schedules]:
        """A controller that is up."""
        with apscheduler_by(self.clock):
            world = World(self.store, self.runs, self.runs, self.clock, self.told, ApschedulerAlarms())
            waker = Waker(world, look_every_s=self._look_every_s)
            await waker.start()
            yield Schedules(self.store, self.runs, self.clock, waker)
            await waker.close()
            await asyncio.sleep(0)

    async def armed(self, schedules: Schedules, name: str, /, **words: Any) -> str:
        """The id of a schedule that is armed."""
        made, _ = await schedules.add(name, {"zone": "UTC", **words}, DOCUMENT, "maker")
        await schedules.arm(name, "second", approver=True)
        return made.id

    async def until(self, moment: datetime) -> None:
        while (left := moment - self.clock.wall()) > timedelta(0):  # noqa: ASYNC110  it may jump
            await asyncio.sleep(left.total_seconds())

    def outcomes(self, schedule_id: str) -> list[DueRow]:
        found = (row for row in self.store.rows.values() if row.schedule_id == schedule_id)
        return sorted(found, key=lambda row: row.due)


@contextmanager
def apscheduler_by(clock: VirtualClock) -> Iterator[None]:
    """APScheduler asks the system for the time; here it asks this clock."""

    class Shown(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.wall().astimezone(tz)

    module: Any = apscheduler.schedulers.base
    before, module.datetime = module.datetime, Shown
    try:
        yield
    finally:
        module.datetime = before
