"""What to do next while faults are due or held: read the facts, decide, change nothing. Pure.

Times are nanoseconds of the controller's CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from blackstart_controller.plan.model import Checkpoint, HostOrder, Mode
from blackstart_controller.runs.checkpoints import judge_ns
from blackstart_controller.runs.facts import OrderFacts
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import OrderState

NS = 1_000_000_000
EARLY_NS = NS // 4  # hosts end their faults themselves, by their own clocks
NOT_ARMED = frozenset({OrderState.PLANNED, OrderState.ARMING, OrderState.REFUSED})
HELD = frozenset({OrderState.FIRING, OrderState.INJECTED})


@dataclass(frozen=True, slots=True)
class Arm:
    """One order: its host may refuse it, and says why."""

    host: str
    order_ids: tuple[str, ...]


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


Action: TypeAlias = Arm | Inject | Renew | Revert


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
    arm_at_s: Mapping[str, float] = field(default_factory=dict)
    unmet: Collection[Checkpoint] = ()

    def arm_ns(self, order: HostOrder) -> int | None:
        """When the order is armed; None: it was before T0."""
        at_s = self.arm_at_s.get(order.id)
        return None if at_s is None else self.t0_ns + int(at_s * NS)

    def judge_ns(self, point: Checkpoint) -> int:
        return judge_ns(point, self.t0_ns, _lead_ns(self))

    def due_ns(self, order: HostOrder) -> int:
        return self.t0_ns + int(order.at_s * NS)

    def end_ns(self, order: HostOrder) -> int:
        return self.t0_ns + int((order.at_s + order.hold_s) * NS)


def actions(world: World) -> tuple[Action, ...]:
    """Everything that is due now, one message per host and kind; each order is armed by itself."""
    arms: list[Arm] = []
    injects: dict[tuple[str, int], list[str]] = {}
    renewals: dict[tuple[str, int], list[str]] = {}
    reverts: dict[str, list[str]] = {}
    for facts in world.facts:
        order = facts.order
        if _must_arm(world, facts):
            arms.append(Arm(order.host, (order.id,)))
        elif _must_inject(world, facts):
            injects.setdefault((order.host, world.due_ns(order)), []).append(order.id)
        elif _must_renew(world, facts):
            renewals.setdefault((order.host, int(order.lease_s * 1000)), []).append(order.id)
        elif _must_revert(world, facts):
            reverts.setdefault(order.host, []).append(order.id)
    return (
        *arms,
        *(Inject(host, tuple(ids), at_ns) for (host, at_ns), ids in injects.items()),
        *(Renew(host, tuple(ids), lease_ms) for (host, lease_ms), ids in renewals.items()),
        *(Revert(host, tuple(ids)) for host, ids in reverts.items()),
    )


def abort(world: World) -> Abort | None:
    """Why the run cannot go on, if it cannot."""
    if unarmed := [why for facts in world.facts if (why := _unarmed(world, facts))]:
        return Abort("; ".join(unarmed), halted=True)
    for facts in world.facts:
        who = f"{facts.host}: {facts.order.fault.kind}"
        if facts.state == OrderState.PLANNED:
            continue  # its time has not come
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
    """No checkpoint is left, and every order has had its time or is gone; one to be armed yet is neither."""
    return not world.unmet and all(
        world.now_ns >= world.end_ns(facts.order) or (facts.gone and facts.state != OrderState.PLANNED)
        for facts in world.facts
    )


def to_judge(world: World) -> tuple[Checkpoint, ...]:
    """The checkpoints whose verdict is due."""
    return tuple(point for point in world.unmet if world.now_ns >= world.judge_ns(point))


def next_ns(world: World) -> int:
    """When to look again at the latest, if nothing happens before."""
    moments = [world.now_ns + NS, *(world.judge_ns(point) for point in world.unmet)]
    for facts in world.facts:
        order = facts.order
        if facts.state == OrderState.PLANNED and (arm_ns := world.arm_ns(order)) is not None:
            moments.append(arm_ns)
        moments += [world.due_ns(order) - _lead_ns(world), world.due_ns(order), world.end_ns(order)]
        moments.append(world.renewed_ns.get(order.id, world.due_ns(order)) + _third_ns(order))
        moments.append(world.due_ns(order) + int(world.settings.inject_confirm_s * NS))
    return min(moment for moment in moments if moment > world.now_ns)


def _lead_ns(world: World) -> int:
    return int(world.settings.lead_s * NS)


def _third_ns(order: HostOrder) -> int:
    return int(order.lease_s * NS / 3)


def _must_arm(world: World, facts: OrderFacts) -> bool:
    arm_ns = world.arm_ns(facts.order)
    return facts.state == OrderState.PLANNED and arm_ns is not None and world.now_ns >= arm_ns


def _must_inject(world: World, facts: OrderFacts) -> bool:
    if facts.state != OrderState.ARMED or world.now_ns < world.due_ns(facts.order) - _lead_ns(world):
        return False
    return all(facts.order.at_s < point.at_s for point in world.unmet)


def _unarmed(world: World, facts: OrderFacts) -> str:
    """Why an order that is armed late was not, if so."""
    if world.arm_ns(facts.order) is None or facts.state not in NOT_ARMED:
        return ""
    who = f"{facts.host}: {facts.order.fault.kind}"
    if facts.failed:
        return f"{who} could not be armed: {facts.failed}"
    if world.now_ns < world.due_ns(facts.order):
        return ""
    return f"{who} was not armed by its moment, {facts.order.at_s:g} s after T0: no answer yet"


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
