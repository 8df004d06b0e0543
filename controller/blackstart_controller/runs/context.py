"""One run while it is alive: what is known, what was sent, and who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from blackstart_controller.measure.verdict import Ending, Verdict
from blackstart_controller.outside.ports import Outside
from blackstart_controller.plan.model import Checkpoint, Plan, StopCondition
from blackstart_controller.runs.clock import Clock
from blackstart_controller.runs.clocks import Timelines
from blackstart_controller.runs.facts import HostMoment, OrderFacts, open_orders
from blackstart_controller.runs.log import RunLog
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.samples import LiveSamples
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import RANK, RunState, check_transition
from blackstart_controller.runs.stops import Source
from blackstart_controller.store.model import RunChange
from blackstart_controller.store.ports import Store

REFUSED_EXIT = 7  # a host's policy or the plan's limits said no


@dataclass(frozen=True, slots=True)
class Halt:
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """How the run came to its end. `exit_code` overrides the verdict's own."""

    ending: Ending
    why: str = ""
    exit_code: int | None = None
    halted_by: str = ""


class Stop(Exception):
    """A run cannot go on: everything is reverted, then it ends with this result."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.why)


@dataclass(slots=True)
class Sent:
    """When an order was last sent something, on the controller's clock."""

    renewed_ns: dict[str, int] = field(default_factory=dict)
    reverted_ns: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RunContext:
    id: str
    plan: Plan
    fleet: Fleet
    store: Store
    clock: Clock
    clocks: Timelines
    outside: Outside
    settings: Settings
    log: RunLog
    facts: dict[str, OrderFacts]
    samples: LiveSamples
    created: str
    plan_hash: str
    boot_id: str  # the controller's, whose timeline this run is measured on
    state: RunState = RunState.CREATED
    watching: bool = False  # observers may have been told to probe
    t0_ns: int | None = None
    if_confirmed: Verdict | None = None  # the verdict once every revert is proved
    sent: Sent = field(default_factory=Sent)
    halt: asyncio.Future[Halt] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    shown_up: dict[str, bool] = field(default_factory=dict)
    arm_at_s: Mapping[str, float] = field(default_factory=dict)  # orders that are armed late: after T0
    sources: dict[StopCondition, Source] = field(default_factory=dict)  # what they have said
    met: set[Checkpoint] = field(default_factory=set)

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(order.host for order in self.plan.orders)

    @property
    def observers(self) -> frozenset[str]:
        return frozenset(probe.observer for probe in self.plan.probes)

    @property
    def hosts(self) -> list[str]:
        return sorted(self.targets | self.observers)

    def unreverted(self) -> tuple[OrderFacts, ...]:
        return open_orders(self.facts.values())

    def unconfirmed_hosts(self) -> list[str]:
        return sorted({facts.host for facts in self.unreverted()})

    async def enter(self, state: RunState) -> None:
        """The run is in `state`, durably."""
        check_transition(self.state, state)
        self.state = state
        await self.log.add("state", {"state": state}, change=RunChange(state=state))

    async def advance(self, facts: Iterable[OrderFacts], kind: str, data: dict[str, object]) -> None:
        """Record intent before acting: these orders are about to be sent something."""
        changed = {one.order.id: one for one in facts}
        await self.log.add(
            kind, data, order_states={order_id: one.state for order_id, one in changed.items()}
        )
        for order_id, one in changed.items():  # its host may have told more while this was being written
            known = self.facts[order_id]
            if RANK[one.state] > RANK[known.state]:
                self.facts[order_id] = replace(known, state=one.state, fire_at_ns=one.fire_at_ns)

    def halt_now(self, halt: Halt) -> bool:
        """Everything is being reverted from this moment on. False when the run was being halted already."""
        if self.halt.done():
            return False
        self.halt.set_result(halt)
        self.log.pulse.beat()
        return True

    def mark_absent(self, host: str, listed: frozenset[str]) -> None:
        """A host listed its open faults: what we have told it to revert and is not among them, is gone."""
        for order_id, facts in self.facts.items():
            told = order_id in self.sent.reverted_ns
            if facts.host == host and told and order_id not in listed and not facts.gone:
                self.facts[order_id] = replace(facts, absent=True)
        self.log.pulse.beat()

    def controller_ns(self, host: str, moment: HostMoment | None) -> tuple[int, int] | None:
        """(controller's time, error) of a host's moment; None when that clock was never measured."""
        if moment is None:
            return None
        mapping = self.clocks.mapping(host, moment.boot_id, moment.mono_ns)
        return None if mapping is None else (moment.mono_ns + mapping.offset_ns, mapping.error_ns)
