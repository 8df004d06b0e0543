"""Which injection and which end of a fault a recovery is counted from.

Orders that were planned for the same moment are one wave; its t0 is an interval: from the first to the last
confirmation across hosts, widened by their clock errors. So is its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from blackstart_controller.measure.model import FaultSpan, Outage
from blackstart_controller.plan.model import HostOrder, Plan, Service

KERNEL_TICK_NS = 10_000_000  # the longest tick of a Linux kernel (HZ=100)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened between `low_ns` and `high_ns`."""

    low_ns: int
    high_ns: int


@dataclass(frozen=True, slots=True)
class Wave:
    """Faults that began together."""

    t0: Moment
    spans: tuple[FaultSpan, ...]


def waves(plan: Plan, spans: Sequence[FaultSpan]) -> tuple[Wave, ...]:
    """The spans by planned start, in order of their t0."""
    orders = {order.id: order for order in plan.orders}
    groups = _grouped(spans, orders, lambda order: order.at_s)
    return tuple(sorted((Wave(_t0(group), tuple(group)) for group in groups), key=lambda w: w.t0.low_ns))


def cause(found: Sequence[Wave], outage: Outage) -> Wave:
    """The first wave that can have been the cause: it began after the service was last seen up, and before it
    was seen down. Without such a one, the last that began before.
    """
    before = [wave for wave in found if wave.t0.low_ns <= outage.first_bad_ns]
    if outage.last_ok_ns is not None:
        after_ok = [wave for wave in before if wave.t0.high_ns >= outage.last_ok_ns]
        before = after_ok[:1] or before
    return before[-1] if before else found[0]


def ends(plan: Plan, wave: Wave, service: Service) -> tuple[Moment | None, ...]:
    """The ends of the wave's faults, one per planned end; of the service's own members when it has any in the
    wave.
    """
    own = [span for span in wave.spans if span.host in service.members]
    orders = {order.id: order for order in plan.orders}
    groups = _grouped(own or wave.spans, orders, lambda order: order.at_s + order.hold_s)
    return tuple(_end(group) for group in groups)


def held_until_ns(plan: Plan, wave: Wave) -> int:
    """Until when the wave's faults were planned to hold at least."""
    holds = [order.hold_s for order in plan.orders if any(order.id == span.order_id for span in wave.spans)]
    return wave.t0.low_ns + int(min(holds, default=0.0) * 1e9)


def _grouped(
    spans: Iterable[FaultSpan], orders: Mapping[str, HostOrder], key: Callable[[HostOrder], float]
) -> list[list[FaultSpan]]:
    groups: dict[float, list[FaultSpan]] = {}
    for span in spans:
        order = orders.get(span.order_id)
        groups.setdefault(key(order) if order else 0.0, []).append(span)
    return [groups[name] for name in sorted(groups)]


def _t0(group: Sequence[FaultSpan]) -> Moment:
    return Moment(min(s.first_ns - s.error_ns for s in group), max(s.last_ns + s.error_ns for s in group))


def _may_end_ns(span: FaultSpan) -> int:
    """From when on the fault may have been over: the kernel ends a cut up to a tick before its lease."""
    began = span.end_ns if span.ending_ns is None else span.ending_ns
    return (span.last_ns if began is None else began) - KERNEL_TICK_NS


def _end(group: Sequence[FaultSpan]) -> Moment | None:
    known = [(_may_end_ns(s) - s.error_ns, s.end_ns + s.error_ns) for s in group if s.end_ns is not None]
    if len(known) < len(group):
        return None
    return Moment(min(lo for lo, _ in known), max(hi for _, hi in known))
