"""Make a run's context: for a new run, and again from the store after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blackstart_proto.v1 import agent_pb2
from pydantic import TypeAdapter

from blackstart_controller.outside.ports import Outside
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.arming import late_arms
from blackstart_controller.runs.clock import Clock
from blackstart_controller.runs.clocks import Timelines
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.facts import OrderFacts, reduce
from blackstart_controller.runs.late import verdict_in
from blackstart_controller.runs.log import RunLog
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.samples import LiveSamples
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import OrderState, RunState
from blackstart_controller.store.model import OrderRow, RunEvent, RunRow
from blackstart_controller.store.ports import Store

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
EVENT_TYPES = {
    kind: agent_pb2.EventKind.Name(kind).removeprefix("EVENT_KIND_").lower()
    for kind in agent_pb2.EventKind.values()
    if kind != agent_pb2.EVENT_KIND_UNSPECIFIED
}
KINDS = {name: kind for kind, name in EVENT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class World:
    """What all runs of one controller share."""

    fleet: Fleet
    store: Store
    clock: Clock
    settings: Settings
    clocks: Timelines
    outside: Outside


def plan_text(plan: Plan) -> str:
    return _PLAN.dump_json(plan).decode()


def plan_of(text: str) -> Plan:
    return _PLAN.validate_json(text)


def context_of(world: World, row: RunRow, plan: Plan) -> RunContext:
    window_s = plan.baseline_s + world.settings.baseline_grace_s
    return RunContext(
        id=row.id,
        plan=plan,
        fleet=world.fleet,
        store=world.store,
        clock=world.clock,
        # Monotonic times of two boots must never meet: a run keeps to the estimates of its own.
        clocks=world.clocks if row.boot_id == world.clock.boot_id else Timelines(),
        outside=world.outside,
        settings=world.settings,
        log=RunLog(row.id, world.store, world.clock),
        facts={order.id: OrderFacts(order) for order in plan.orders},
        samples=LiveSamples(plan.probes, window_s),
        created=row.created,
        plan_hash=row.plan_hash,
        state=RunState(row.state),
        boot_id=row.boot_id,
        arm_at_s=late_arms(plan.orders, world.settings),
    )


def event_data(event: agent_pb2.HostEvent) -> dict[str, Any]:
    """A host's event as the log keeps it: enough to rebuild the facts."""
    data: dict[str, Any] = {
        "detail": event.detail,
        "fault_kind": event.fault_kind,
        "host_boot_id": event.boot_id,
        "mono_ns": event.mono_ns,
    }
    if event.kind == agent_pb2.EVENT_KIND_INJECTED:
        data |= {"first_ns": event.first_ns, "last_ns": event.last_ns}
    return data


async def restored(world: World, row: RunRow) -> RunContext:
    """The context of a run of an earlier life of this controller, as far as the store knows."""
    ctx = context_of(world, row, plan_of(row.plan))
    events = await world.store.events(row.id)
    ctx.facts = _facts_of(ctx.facts, await world.store.orders(row.id), events)
    ctx.t0_ns = next((int(event.data["t0_ns"]) for event in events if event.type == "t0"), None)
    ctx.watching = ctx.state not in (RunState.CREATED, RunState.PLANNED, RunState.ARMING)
    ctx.if_confirmed = verdict_in(events)
    for estimate in await world.store.estimates(ctx.hosts, row.boot_id):
        ctx.clocks.add(estimate)
    return ctx


def _facts_of(
    facts: dict[str, OrderFacts], orders: Sequence[OrderRow], events: Iterable[RunEvent]
) -> dict[str, OrderFacts]:
    found = dict(facts)
    for event in events:
        if event.type in KINDS and event.order_id in found:
            found[event.order_id] = reduce(found[event.order_id], _event_of(event))
    for row in orders:
        if row.id in found:
            found[row.id] = found[row.id].advanced(OrderState(row.state))
    return {order_id: replace(one, failed="") for order_id, one in found.items()}


def _event_of(event: RunEvent) -> agent_pb2.HostEvent:
    data = event.data
    return agent_pb2.HostEvent(
        kind=KINDS[event.type],
        boot_id=data.get("host_boot_id", ""),
        mono_ns=data.get("mono_ns", 0),
        detail=data.get("detail", ""),
        order_id=event.order_id,
        first_ns=data.get("first_ns", 0),
        last_ns=data.get("last_ns", 0),
    )
