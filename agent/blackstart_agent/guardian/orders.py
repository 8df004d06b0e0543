"""What the guardian makes of an order before it looks at the host. Pure."""

from __future__ import annotations

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.guardian import leases
from blackstart_agent.guardian.journal import valid_id
from blackstart_agent.policy import OrderFacts

MODES = {pb.MODE_TETHERED: "tethered", pb.MODE_SEALED: "sealed"}


def refused(order: pb.Order, host_name: str) -> list[str]:
    """Every reason why this cannot be an order for this host, whatever the policy says."""
    reasons: list[str] = []
    if not valid_id(order.id):
        reasons.append(f"order id {order.id!r} is not a UUID in lower case")
    if order.host != host_name:
        reasons.append(f"the order is for host {order.host!r}; this is {host_name!r}")
    if order.mode not in MODES:
        reasons.append(f"mode {order.mode} is unknown to this agent; it knows tethered (1) and sealed (2)")
    return reasons + leases.times_refused(order.mode == pb.MODE_SEALED, order.lease_ms, order.hold_ms)


def facts(order: pb.Order, open_faults: int) -> OrderFacts:
    """What the policy judges."""
    return OrderFacts(order.fault.kind, MODES[order.mode], order.hold_ms, open_faults)


def resolution(order_id: str, refusals: list[str]) -> pb.Resolution:
    """The answer when an order is refused."""
    return pb.Resolution(order_id=order_id, refusals=refusals)
