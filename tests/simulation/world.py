"""One seed, one history: a run under lost messages, broken streams, dying agents and dying controllers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from blackstart_controller.errors import BlackstartError
from blackstart_controller.outside.ports import Reply
from blackstart_controller.plan.model import (
    Checkpoint,
    HostOrder,
    MetricStop,
    Mode,
    Plan,
    ServiceStop,
    WebhookStop,
)
from blackstart_controller.runs.arming import late_arms
from blackstart_controller.store.model import RunEvent, RunRow
from support.fake_agent import Held
from support.fake_fleet import Network
from support.fake_outside import prometheus
from support.scenes import Scene, order, plan_of

STEP_S = 0.05
STORM_S = 60.0  # so long things go wrong; then the world is kind
CALM_S = 400.0  # ... and so long everything has to come to its end
CALM_STEP_S = 1.0
AFTER_S = 70.0  # longer than any lease
SLACK_S = 0.001
METRIC = MetricStop("errors", "https://prom", "errors", 0.5, None, 2.0, 2.0)
HOOK = WebhookStop("freeze", "https://ops", 3.0)


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class History:
    """What happened, so that a test can say what the seeds have reached."""

    seed: int
    row: RunRow | None = None
    happened: set[str] = field(default_factory=set)


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.history = History(seed)
        network = Network(
            random.Random(seed + 1),
            delay_s=self.random.choice([0.001, 0.02, 0.3]),
            lost=self.random.choice([0.0, 0.0, 0.02, 0.2]),
            twice=self.random.choice([0.0, 0.1, 0.5]),
        )
        self.scene = Scene(self.random.randint(1, 4), network=network)
        self.answers: dict[str, Reply | None] = {}
        self.scene.plan = self._plan()
        self.run_id = ""
        self.alive = False

    def _plan(self) -> Plan:
        mode = self.random.choice([Mode.TETHERED, Mode.TETHERED, Mode.SEALED])
        orders = []
        for agent in self.scene.targets:
            hold_s = self.random.choice([1.0, 5.0, 20.0])
            lease_s = hold_s if mode == Mode.SEALED else self.random.choice([1.5, 3.0, 15.0])
            at_s = self.random.choice([0.0, 0.0, 3.0])
            orders.append(order(agent.name, mode=mode, hold_s=hold_s, lease_s=lease_s, at_s=at_s))
        made = plan_of(*self._with_late(orders), mode=mode, **self._conditions())
        return replace(made, probes=tuple(replace(probe, every_ms=500) for probe in made.probes))

    def _with_late(self, orders: list[HostOrder]) -> list[HostOrder]:
        """Some plans go on with orders that are armed while the first hold, or after them."""
        if self.random.random() < 0.5:
            return orders
        later = []
        for first in orders:
            at_s = self.random.choice([6.0, 12.0, 25.0])
            later.append(replace(first, id=f"{first.id}-late", at_s=at_s, hold_s=5.0, path="steps[1]"))
            if first.mode == Mode.SEALED:
                later[-1] = replace(later[-1], lease_s=5.0)
        return orders + later

    def _conditions(self) -> dict[str, Any]:
        """Some plans have stop conditions of every kind, some have a checkpoint."""
        stops = (ServiceStop("shop", "shop", self.random.choice([3.0, 40.0])), METRIC, HOOK)
        point = Checkpoint(self.random.choice([5.0, 11.0, 24.0]), 1.0, "steps[0].sequence[1]")
        self.answers = {"https://prom": prometheus(0.0), "https://ops": Reply(200, b"")}
        self.scene.outside.servers = {url: partial(self.answers.get, url) for url in self.answers}
        return {
            "stops": stops if self.random.random() < 0.4 else (),
            "checkpoints": (point,) if self.random.random() < 0.3 else (),
        }

    # ---- the history ----

    async def play(self) -> History:
        """The whole history of this seed. Raises Broken when an invariant does not hold at any moment."""
        watch = asyncio.create_task(self._watch())
        await self._boot()
        await self._start()
        storm = asyncio.create_task(self._storm())
        await asyncio.sleep(STORM_S)
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
        await self._calm()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        if watch.done() and not watch.cancelled() and (error := watch.exception()) is not None:
            raise error
        return self.history

    async def _boot(self) -> None:
        await self.scene.boot()
        self.alive = True

    async def _start(self) -> None:
        self.run_id = await self.scene.start("the-key")

    async def _storm(self) -> None:
        trouble: list[Callable[[], Awaitable[None]]] = [
            self._crash_controller,
            self._break_stream,
            self._break_stream,
            self._crash_agent,
            self._halt,
            self._halt_all,
            self._stuck_revert,
            self._full_disk,
            self._trip,
            self._silence,
        ]
        for _ in range(self.random.choice([0, 1, 2, 3, 6])):
            await asyncio.sleep(self.random.uniform(0.0, 12.0))
            await self.random.choice(trouble)()

    async def _crash_controller(self) -> None:
        self.alive = False
        if self.random.random() < 0.3 and self.scene.boot_id.endswith("1"):
            self.scene.reboot_controller()
            self.history.happened.add("controller rebooted")
        await self.scene.crash_controller()
        self.history.happened.add("controller killed")
        await asyncio.sleep(self.random.choice([0.0, 0.3, 5.0, 40.0]))
        await self._boot()

    async def _break_stream(self) -> None:
        name = self.random.choice(list(self.scene.fleet.agents))
        await self.scene.fleet.disconnect(name)
        self.history.happened.add("stream lost")
        await asyncio.sleep(self.random.choice([0.0, 0.5, 0.95, 4.0, 30.0]))
        await self.scene.fleet.connect(name)

    async def _crash_agent(self) -> None:
        agent = self.random.choice(self.scene.agents)
        await self.scene.fleet.disconnect(agent.name)
        agent.crash()
        self.history.happened.add("agent killed")
        await asyncio.sleep(self.random.choice([0.2, 3.0]))
        await self.scene.fleet.connect(agent.name)

    async def _halt(self) -> None:
        await self._asked(self.scene.runs.halt(self.run_id, "a person", "operator"))

    async def _halt_all(self) -> None:
        await self._asked(self.scene.runs.halt_all("a person", "operator"))

    async def _asked(self, call: Awaitable[object]) -> None:
        self.history.happened.add("halted")
        try:
            await call
        except BlackstartError:
            self.history.happened.add("halt refused")

    async def _trip(self) -> None:
        """For some time a source of a stop condition says that it is enough."""
        url, bad = self.random.choice([("https://prom", prometheus(1.0)), ("https://ops", Reply(503, b""))])
        await self._answers_otherwise(url, bad)

    async def _silence(self) -> None:
        await self._answers_otherwise(self.random.choice(["https://prom", "https://ops"]), None)

    async def _answers_otherwise(self, url: str, reply: Reply | None) -> None:
        before = self.answers[url]
        self.answers[url] = reply
        await asyncio.sleep(self.random.choice([0.5, 4.0, 20.0]))
        self.answers[url] = before

    async def _stuck_revert(self) -> None:
        agent = self.random.choice(self.scene.targets)
        agent.never_reverts = True
        self.history.happened.add("revert stuck")
        await asyncio.sleep(self.random.choice([1.0, 10.0, 50.0]))
        agent.mend()

    async def _full_disk(self) -> None:
        self.scene.store.broken = "no space left on device"
        self.history.happened.add("disk full")
        try:
            await asyncio.sleep(self.random.choice([0.1, 2.0, 10.0]))
        finally:
            self.scene.store.broken = ""

    async def _calm(self) -> None:
        """From now on nothing goes wrong: everything must come to its true end."""
        self.scene.store.broken = ""
        self.scene.fleet.network.lost = self.scene.fleet.network.twice = 0.0
        for agent in self.scene.targets:
            agent.mend()
        if not self.alive:
            await self._boot()
        for name in self.scene.fleet.agents:
            await self.scene.fleet.connect(name)
        row = self.history.row = await self._settled()
        self._check(row is not None and row.state == "ended", f"the run is over: {row}")
        assert row is not None
        self._check(row.reverted == "confirmed", f"every revert is proved: {row.verdict} {row.reason}")
        self._check(self.scene.clean(), "every host is clean")
        self._check(await self.scene.store.report(self.run_id) is not None, "there is a report")
        if (row.halted_by or "").startswith("stop condition"):
            self.history.happened.add("stop condition tripped")
        await self._check_log()

    async def _settled(self) -> RunRow | None:
        """The run as it is once it is settled, or after `CALM_S`; and a little later it must still be so."""
        waited_s = 0.0
        while waited_s < CALM_S:
            row = await self.scene.store.run(self.run_id)
            if row is not None and row.state == "ended" and row.reverted == "confirmed":
                break
            await asyncio.sleep(CALM_STEP_S)
            waited_s += CALM_STEP_S
        await asyncio.sleep(AFTER_S)
        return await self.scene.store.run(self.run_id)

    async def _check_log(self) -> None:
        log = await self.scene.log(self.run_id)
        self._check([event.seq for event in log] == list(range(1, len(log) + 1)), "the log has no gap")
        self._check_sent_after_records(log)
        once = [(event.order_id, event.type) for event in log if event.type in ("injected", "reverted")]
        self._check(len(once) == len(set(once)), f"each event is in the log once: {once}")

    def _check_sent_after_records(self, log: list[RunEvent]) -> None:
        """Each step of an order was written down before it was sent, and after the checkpoints before it."""
        orders = {one.id: one for one in self.scene.plan.orders}
        late = set(late_arms(self.scene.plan.orders, self.scene.settings))
        recorded: dict[str, set[str]] = {"arming": set(), "injecting": set()}
        met: set[str] = set()
        for event in log:
            sent: set[str] = set()
            if event.type in recorded:
                sent = set(event.data["orders"]) if "host" in event.data else set(orders) - late
                recorded[event.type] |= sent
            if event.type == "checkpoint":
                met.add(event.data["path"])
            if event.type == "injecting":
                points = [
                    point
                    for point in self.scene.plan.checkpoints
                    for one in sent
                    if point.at_s <= orders[one].at_s
                ]
                self._check(all(point.path in met for point in points), f"{sent} waited for its checkpoint")
            if event.type == "injected":
                known = all(event.order_id in sent_ids for sent_ids in recorded.values())
                self._check(known, f"{event.order_id} was recorded before it was sent")
                self.history.happened.add("late order" if event.order_id in late else "early order")

    # ---- always ----

    async def _watch(self) -> None:
        while True:
            self._look()
            row = await self.scene.store.run(self.run_id) if self.run_id else None
            if row is not None and row.reverted == "confirmed":
                self._check(self.scene.clean(), f"nothing is left when the run says so: {row}")
            await asyncio.sleep(STEP_S)

    def _look(self) -> None:
        for agent in self.scene.agents:
            now_s = agent.now_s()
            for held in agent.active():
                self._check(self._leased(held, now_s), f"no fault without a live lease: {held}")
            fired = [order_id for _at, what, order_id in agent.history if what == "injected"]
            self._check(len(fired) == len(set(fired)), f"no order takes effect twice: {agent.history}")

    def _leased(self, held: Held, now_s: float) -> bool:
        assert held.fires_s is not None
        hold_end_s = held.fires_s + held.order.hold_s
        return held.reverting() or now_s <= min(held.lease_s, hold_end_s) + SLACK_S

    def _check(self, true: bool, claim: str) -> None:
        if not true:
            raise Broken(f"seed {self.history.seed}: {claim}; happened: {sorted(self.history.happened)}")


async def history_of(seed: int) -> History:
    return await World(seed).play()
