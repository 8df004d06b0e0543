"""`python scheduled_process.py DATABASE SPEED EPOCH_S`: a controller with schedules that can be killed.

The real store, waker, APScheduler and runs, over fake agents; time passes SPEED times as fast, counted from
EPOCH_S on this machine's own clock, in every process the same.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blackstart_controller.notify.ports import Nobody
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.service import Runs
from blackstart_controller.runs.settings import Settings
from blackstart_controller.schedule.alarm import ApschedulerAlarms
from blackstart_controller.schedule.waker import Waker, World
from blackstart_controller.spec.document import Document
from blackstart_controller.store.schedules import SqlSchedules
from blackstart_controller.store.sqlite import SqliteStore

from support.fake_agent import FakeAgent
from support.fake_fleet import FakeFleet
from support.scenes import OBSERVER, order, plan_of
from support.scheduled import apscheduler_by
from support.virtual import VirtualClock

START = datetime(2027, 3, 28, tzinfo=UTC)


class FastLoop(asyncio.SelectorEventLoop):
    """Its seconds are SPEED times as many as the machine's."""

    def __init__(self, speed: float, epoch_s: float) -> None:
        self._speed, self._epoch_s = speed, epoch_s

        class Hasty(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                return super().select(None if timeout is None else timeout / speed)

        super().__init__(Hasty())
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return (time.monotonic() - self._epoch_s) * self._speed


class FastClock(VirtualClock):
    def wall(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())


async def main(database: Path) -> None:
    clock = FastClock()
    store = await SqliteStore.open(database)
    target, observer = FakeAgent("t1", "dark"), FakeAgent(OBSERVER, "bright")
    fleet = FakeFleet([target, observer])
    plans = iter(range(1_000_000))

    def planner(_document: Document, _fleet: FleetSnapshot) -> Plan:
        made = order("t1", id=f"order-{time.monotonic_ns()}-{next(plans)}", hold_s=5.0)
        return plan_of(made, probes=(), services=(), baseline_s=0.0, watch_s=0.0, settle_s=0.0)

    runs = Runs(fleet, store, clock, settings=Settings(), planner=planner)
    await runs.recover()
    await fleet.attach(runs.listener)
    with apscheduler_by(clock):
        waker = Waker(World(SqlSchedules(store), store, runs, clock, Nobody(), ApschedulerAlarms()))
        await waker.start()
        print("up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    loop = FastLoop(float(sys.argv[2]), float(sys.argv[3]))
    loop.run_until_complete(main(Path(sys.argv[1])))
