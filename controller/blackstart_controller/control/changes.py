"""How two plans differ, in words. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from blackstart_controller.plan.model import Plan

NAMED = 5
_APART = frozenset({"orders", "findings", "probes"})


def difference(old: Plan, new: Plan) -> str:
    """E.g. `db-3 is not hit any more; db-4 is hit now`; "" when nothing that a person sees differs."""
    parts = [
        *_moved(
            {order.host for order in old.orders},
            {order.host for order in new.orders},
            "not hit any more",
            "hit now",
        ),
        *_moved(
            {probe.observer for probe in old.probes},
            {probe.observer for probe in new.probes},
            "no observer any more",
            "an observer now",
        ),
        *_orders_changed(old, new),
        *(
            f"{field.name} changed"
            for field in dataclasses.fields(Plan)
            if field.name not in _APART and getattr(old, field.name) != getattr(new, field.name)
        ),
        *(f"new finding: {finding.text}" for finding in new.findings if finding not in old.findings),
        *(f"gone: {finding.text}" for finding in old.findings if finding not in new.findings),
    ]
    return "; ".join(parts)


def _moved(old: set[str], new: set[str], gone: str, come: str) -> Iterable[str]:
    if lost := sorted(old - new):
        yield f"{_names(lost)} {'is' if len(lost) == 1 else 'are'} {gone}"
    if found := sorted(new - old):
        yield f"{_names(found)} {'is' if len(found) == 1 else 'are'} {come}"


def _orders_changed(old: Plan, new: Plan) -> Iterable[str]:
    """Hosts that are hit by both, but not in the same way."""
    hit = {order.host for order in old.orders} & {order.host for order in new.orders}
    changed = [host for host in sorted(hit) if _of(old, host) != _of(new, host)]
    if changed:
        yield f"what is done to {_names(changed)} changed"


def _of(plan: Plan, host: str) -> list[object]:
    return [dataclasses.replace(order, id="") for order in plan.orders if order.host == host]


def _names(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= NAMED else f"{len(hosts)} hosts ({', '.join(hosts[:NAMED])} …)"
