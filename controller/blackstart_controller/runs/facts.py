"""What is known of each order, from what its host told. Pure.

Knowledge only grows: an event that comes twice or late never takes an order back to an earlier state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.plan.model import HostOrder
from blackstart_controller.runs.states import CLEAN, RANK, OrderState

_STATE_AFTER: Mapping[int, OrderState] = MappingProxyType(
    {
        agent_pb2.EVENT_KIND_ARMED: OrderState.ARMED,
        agent_pb2.EVENT_KIND_INJECTED: OrderState.INJECTED,
        agent_pb2.EVENT_KIND_INJECT_FAILED: OrderState.REVERTING,
        agent_pb2.EVENT_KIND_REVERTING: OrderState.REVERTING,
        agent_pb2.EVENT_KIND_REVERTED: OrderState.REVERTED,
        agent_pb2.EVENT_KIND_REVERT_FAILED: OrderState.REVERTING,
        agent_pb2.EVENT_KIND_DISARMED: OrderState.DISARMED,
    }
)


@dataclass(frozen=True, slots=True)
class HostMoment:
    """A moment on a host's CLOCK_MONOTONIC, of one boot."""

    boot_id: str
    mono_ns: int


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """`absent`: the host listed its open faults after a revert was sent, and this was not among them."""

    order: HostOrder
    state: OrderState = OrderState.PLANNED
    fire_at_ns: int | None = None  # controller's clock
    first: HostMoment | None = None
    last: HostMoment | None = None
    ending: HostMoment | None = None  # the revert began
    end: HostMoment | None = None  # and was proved
    failed: str = ""  # why it did not take effect
    not_proved: str = ""
    revert_failed: str = ""
    why_gone: str = ""  # in its host's words
    absent: bool = False

    @property
    def host(self) -> str:
        return self.order.host

    @property
    def gone(self) -> bool:
        """Nothing of it is on its host, as far as anyone can prove."""
        return self.absent or self.state in CLEAN

    @property
    def injected(self) -> bool:
        return self.last is not None

    def advanced(self, state: OrderState) -> OrderFacts:
        return replace(self, state=state) if RANK[state] > RANK[self.state] else self


def reduce(facts: OrderFacts, event: agent_pb2.HostEvent) -> OrderFacts:
    """The facts with one more event of the order's host."""
    state = _STATE_AFTER.get(event.kind)
    if state is not None and RANK[state] > RANK[facts.state]:
        facts = replace(facts, state=state, absent=False)  # newer than the list that it was not in
    match event.kind:
        case agent_pb2.EVENT_KIND_INJECTED:
            first = HostMoment(event.boot_id, event.first_ns or event.mono_ns)
            return replace(facts, first=first, last=HostMoment(event.boot_id, event.last_ns or event.mono_ns))
        case agent_pb2.EVENT_KIND_INJECT_FAILED:
            return replace(facts, failed=event.detail or "no reason given")
        case agent_pb2.EVENT_KIND_NOT_PROVED:
            return replace(facts, not_proved=event.detail or "no reason given")
        case agent_pb2.EVENT_KIND_REVERT_FAILED:
            return replace(facts, revert_failed=event.detail or "no reason given")
        case agent_pb2.EVENT_KIND_REVERTING:
            return replace(facts, ending=facts.ending or HostMoment(event.boot_id, event.mono_ns))
        case agent_pb2.EVENT_KIND_REVERTED | agent_pb2.EVENT_KIND_DISARMED:
            end = HostMoment(event.boot_id, event.mono_ns)
            return replace(facts, end=end, revert_failed="", why_gone=event.detail)
        case _:
            return facts


def open_orders(facts: Iterable[OrderFacts]) -> tuple[OrderFacts, ...]:
    return tuple(order for order in facts if not order.gone)


def by_host(facts: Iterable[OrderFacts]) -> dict[str, list[OrderFacts]]:
    hosts: dict[str, list[OrderFacts]] = {}
    for order in facts:
        hosts.setdefault(order.host, []).append(order)
    return hosts
