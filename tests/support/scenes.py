"""Plans, fleets and controllers for tests of runs, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from blackstart_controller.plan.faults.network import NetworkPartition
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import HostOrder, Mode, Plan, PlannedProbe, Service, TcpProbe
from blackstart_controller.report.json_report import document
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.service import Runs
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import RunState
from blackstart_controller.spec.document import Document
from blackstart_controller.store.memory import MemoryStore
from blackstart_controller.store.model import RunEvent, RunRow

from support.fake_agent import FakeAgent
from support.fake_fleet import FakeFleet, Network
from support.fake_outside import FakeOutside
from support.virtual import VirtualClock, run_virtual

OBSERVER = "o1"
RESTART_S = 0.3  # the service needs so long after its host is back


def order(host: str, **changes: Any) -> HostOrder:
    made = HostOrder(
        id=f"order-{host}",
        host=host,
        step=0,
        fault=NetworkPartition(peers=("10.0.0.0/8",)),
        mode=Mode.TETHERED,
        at_s=0.0,
        hold_s=10.0,
        lease_s=3.0,
    )
    return replace(made, **changes)


def plan_of(*orders: HostOrder, **changes: Any) -> Plan:
    """A plan with one service on the first target, seen from the observer `o1`."""
    members = (orders[0].host,) if orders else ()
    made = Plan(
        experiment="test",
        description="",
        hypothesis="",
        seed=7,
        mode=Mode.TETHERED,
        baseline_s=2.0,
        settle_s=1.0,
        watch_s=20.0,
        hold_s=max((one.at_s + one.hold_s for one in orders), default=0.0),
        orders=orders,
        services=(Service("shop", members, rto_s=30.0),),
        probes=(PlannedProbe("shop/0@o1", "shop", OBSERVER, 100, 500, TcpProbe("t1:80")),),
    )
    return replace(made, **changes)


class Scene:
    """Fake agents t1, t2 … and o1, and one controller after the other over one store, in virtual time."""

    def __init__(self, targets: int = 2, *, network: Network | None = None, store: Any = None) -> None:
        self.targets = [FakeAgent(f"t{n}", "dark", offset_s=100.0 * n) for n in range(1, targets + 1)]
        self.observer = FakeAgent(OBSERVER, "bright", offset_s=-7.5)
        self.fleet = FakeFleet([*self.targets, self.observer], network)
        self.store = store or MemoryStore()
        self.plan = plan_of(*(order(agent.name) for agent in self.targets))
        self.observer.up = self.service_up
        self.settings = Settings()
        self.outside = FakeOutside()
        self.boot_id = "controller-boot-1"
        self.runs = self._new_runs()

    @property
    def agents(self) -> list[FakeAgent]:
        return [*self.targets, self.observer]

    def service_up(self, _probe: PlannedProbe) -> bool:
        """Down while its host's fault holds, and then until it has started again."""
        target = self.targets[0]
        ends = [at_s for at_s, what, _order in target.history if what == "reverted"]
        return not target.active() and (not ends or target.now_s() >= ends[-1] + RESTART_S)

    def _new_runs(self) -> Runs:
        def planner(_document: Document, _fleet: FleetSnapshot) -> Plan:
            return self.plan

        clock = VirtualClock(self.boot_id, self.fleet.shift_s)
        return Runs(
            self.fleet, self.store, clock, settings=self.settings, planner=planner, outside=self.outside
        )

    async def boot(self) -> None:
        """The controller is alive and every agent is connected."""
        await self.runs.recover()
        await self.fleet.attach(self.runs.listener)

    async def crash_controller(self) -> None:
        """As `kill -9`: nothing is said, written or sent any more."""
        self.fleet.kill()
        await self.runs.close()
        self.runs = self._new_runs()

    def reboot_controller(self) -> None:
        """The next controller has another boot, whose monotonic clock began much later."""
        self.boot_id = "controller-boot-2"
        self.fleet.shift_s = -900.0

    async def report(self, run_id: str) -> dict[str, Any]:
        return document(await self.runs.report(run_id))

    async def start(self, key: str | None = None) -> str:
        return await self.runs.start(Launch(Document("document"), "admin", idempotency_key=key))

    async def until_state(self, run_id: str, state: RunState, timeout_s: float = 120.0) -> None:
        await self.until(lambda: self._state(run_id) == state, timeout_s)

    def _state(self, run_id: str) -> RunState | None:
        ctx = self.runs.live(run_id)
        return None if ctx is None else ctx.state

    async def until(self, true: Callable[[], bool], timeout_s: float = 120.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():  # noqa: ASYNC110  virtual time: waiting costs nothing
                await asyncio.sleep(0.001)

    async def ended(self, run_id: str) -> RunRow:
        async with asyncio.timeout(600):
            await self.runs.wait(run_id)
        return await self.runs.get(run_id)

    async def log(self, run_id: str) -> list[RunEvent]:
        return list(await self.store.events(run_id))

    async def types(self, run_id: str) -> list[str]:
        return [event.type for event in await self.log(run_id)]

    def clean(self) -> bool:
        """No agent holds anything."""
        return not any(agent.orders for agent in self.agents)

    def injections(self) -> int:
        return sum(what == "injected" for agent in self.agents for _at, what, _order in agent.history)


def play(
    prepare: Callable[[Scene], None] = lambda _scene: None, targets: int = 2
) -> tuple[Scene, RunRow, dict[str, Any]]:
    """One run from start to end, undisturbed, with its report."""

    async def scenario() -> tuple[Scene, RunRow, dict[str, Any]]:
        scene = Scene(targets)
        prepare(scene)
        await scene.boot()
        run_id = await scene.start()
        row = await scene.ended(run_id)
        return scene, row, await scene.report(run_id)

    return run_virtual(scenario())
