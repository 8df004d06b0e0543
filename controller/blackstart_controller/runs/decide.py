"""What to do next while faults are due or held: read the facts, decide, change nothing. Pure.

Times are nanoseconds of the controller's CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from blackstart_controller.plan.model import HostOrder, Mode
from blackstart_controller.runs.facts import OrderFacts
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import OrderState

NS = 1_000_000_000
EARLY_NS = NS // 4  # hosts end their faults themselves, by their own clocks
HELD = frozenset({OrderState.FIRING, OrderState.INJECTED})


@dataclass(frozen=True, slots=True)
class Inject:
    host: str
    order_ids: tuple[str, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Renew:
    host: str
    order_ids: tuple[str, ...]
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Revert:
    host: str
    order_ids: tuple[str, ...]


Action: TypeAlias = Inject | Renew | Revert


@dataclass(frozen=True, slots=True)
class Abort:
    """The run must end now. `halted`: a fault is not what it should be; else the fault did not come about."""

    reason: str
    halted: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Everything the decision looks at. `renewed_ns`, `reverted_ns`: when an order was last sent one."""

    facts: Sequence[OrderFacts]
    t0_ns: int
    now_ns: int
    connected: Callable[[str], bool]
    renewed_ns: Mapping[str, int]
    reverted_ns: Mapping[str, int]
    settings: Settings

    def due_ns(self, order: HostOrder) -> int:
        return self.t0_ns + int(order.at_s * NS)

    def end_ns(self, order: HostOrder) -> int:
        return self.t0_ns + int((order.at_s + order.hold_s) * NS)


def actions(world: World) -> tuple[Action, ...]:
    """Everything that is due now, one message per host and kind."""
    injects: dict[tuple[str, int], list[str]] = {}
    renewals: dict[tuple[str, int], list[str]] = {}
    reverts: dict[str, list[str]] = {}
    for facts in world.facts:
        order = facts.order
        if _must_inject(world, facts):
            injects.setdefault((order.host, world.due_ns(order)), []).append(order.id)
        elif _must_renew(world, facts):
            renewals.setdefault((order.host, int(order.lease_s * 1000)), []).append(order.id)
        elif _must_revert(world, facts):
            reverts.setdefault(order.host, []).append(order.id)
    return (
        *(Inject(host, tuple(ids), at_ns) for (host, at_ns), ids in injects.items()),
        *(Renew(host, tuple(ids), lease_ms) for (host, lease_ms), ids in renewals.items()),
        *(Revert(host, tuple(ids)) for host, ids in reverts.items()),
    )


def abort(world: World) -> Abort | None:
    """Why the run cannot go on, if it cannot."""
    for facts in world.facts:
        who = f"{facts.host}: {facts.order.fault.kind}"
        if facts.failed:
            return Abort(f"{who} was not injected: {facts.failed}")
        if facts.not_proved:
            return Abort(f"{who} was injected but is not in effect: {facts.not_proved}", halted=True)
        if facts.state == OrderState.DISARMED:
            return Abort(f"{who} was disarmed by its host before it was injected")
        if facts.gone and world.now_ns < world.end_ns(facts.order) - EARLY_NS:
            return Abort(
                f"{who} ended before its time: {facts.why_gone or 'its host no longer has it'}", halted=True
            )
        if _is_overdue(world, facts):
            late_s = world.settings.inject_confirm_s
            return Abort(
                f"{who} was not confirmed within {late_s:g} s of its planned moment; it is being reverted"
            )
    return None


def all_confirmed(world: World) -> bool:
    """Every order that is due has been seen to be injected, or cannot tell because its host is sealed off."""
    due = [facts for facts in world.facts if world.now_ns >= world.due_ns(facts.order)]
    return bool(due) and all(facts.injected or _may_be_silent(world, facts) for facts in due)


def holds_over(world: World) -> bool:
    return all(world.now_ns >= world.end_ns(facts.order) or facts.gone for facts in world.facts)


def next_ns(world: World) -> int:
    """When to look again at the latest, if nothing happens before."""
    moments = [world.now_ns + NS]
    for facts in world.facts:
        order = facts.order
        moments += [world.due_ns(order) - _lead_ns(world), world.end_ns(order)]
        moments.append(world.renewed_ns.get(order.id, world.due_ns(order)) + _third_ns(order))
        moments.append(world.due_ns(order) + int(world.settings.inject_confirm_s * NS))
    return min(moment for moment in moments if moment > world.now_ns)


def _lead_ns(world: World) -> int:
    return int(world.settings.lead_s * NS)


def _third_ns(order: HostOrder) -> int:
    return int(order.lease_s * NS / 3)


def _must_inject(world: World, facts: OrderFacts) -> bool:
    return facts.state == OrderState.ARMED and world.now_ns >= world.due_ns(facts.order) - _lead_ns(world)


def _must_renew(world: World, facts: OrderFacts) -> bool:
    order = facts.order
    if order.mode != Mode.TETHERED or facts.state not in HELD or facts.gone:
        return False
    last_ns = world.renewed_ns.get(order.id, world.due_ns(order))
    return world.now_ns >= last_ns + _third_ns(order) and world.now_ns < world.end_ns(order)


def _must_revert(world: World, facts: OrderFacts) -> bool:
    patience_ns = int(world.settings.self_revert_s * NS)
    if facts.gone or world.now_ns < world.end_ns(facts.order) + patience_ns:
        return False
    again_ns = int(world.settings.revert_again_s * NS)
    return world.now_ns >= world.reverted_ns.get(facts.order.id, -again_ns) + again_ns


def _may_be_silent(world: World, facts: OrderFacts) -> bool:
    return facts.order.mode == Mode.SEALED and not world.connected(facts.host)


def _is_overdue(world: World, facts: OrderFacts) -> bool:
    if facts.injected or facts.gone or _may_be_silent(world, facts):
        return False
    return world.now_ns >= world.due_ns(facts.order) + int(world.settings.inject_confirm_s * NS)
