"""Fleets for tests of plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from blackstart_controller.plan.faults import KINDS
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.make import make_plan
from blackstart_controller.plan.model import Plan
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment

FAULT_KINDS: Final = tuple(KINDS)
PROBE_KINDS: Final = ("http", "tcp", "redis", "nats", "command")
SITES: Final = ("busan", "jeju", "pangyo")


def host(name: str, site: str, number: int = 1, **changes: Any) -> HostView:
    """Return a connected, able and clean host with one address of each family."""
    labels = {"site": site, "host": name, "role": name.rstrip("0123456789")}
    plain = HostView(
        name=name,
        site=site,
        labels=labels,
        addresses=(f"10.0.0.{number}", f"fd00::{number:x}"),
        connected=True,
        fault_kinds=FAULT_KINDS,
        probe_kinds=PROBE_KINDS,
    )
    return replace(plain, **changes)


def fleet(hosts: int = 9, **changes: Any) -> FleetSnapshot:
    """Return `hosts` hosts in three sites, roles db, login, messenger in turn: each site has one of each."""
    views = tuple(
        host(f"{('db', 'login', 'messenger')[number // 3 % 3]}{number}", SITES[number % 3], number + 1)
        for number in range(hosts)
    )
    return replace(FleetSnapshot(views), **changes)


def with_host(snapshot: FleetSnapshot, name: str, **changes: Any) -> FleetSnapshot:
    """Return the fleet with one host changed."""
    assert name in {view.name for view in snapshot.hosts}
    hosts = tuple(replace(view, **changes) if view.name == name else view for view in snapshot.hosts)
    return replace(snapshot, hosts=hosts)


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"order-{next(numbers)}"


def planned(
    *steps: str,
    services: Sequence[str] = ("{name: web, members: role=login, probes: [{tcp: {address: 'login3:80'}}]}",),
    head: str = "",
    snapshot: FleetSnapshot | None = None,
    seed: int | None = None,
) -> Plan:
    """Return the plan of a document with `steps` and `services` in flow style, `head` lines first."""
    text = f"experiment: test\n{head}\nsteps: [{', '.join(steps)}]\nservices: [{', '.join(services)}]\n"
    return make_plan(
        load_experiment(Document(text, "test.yaml")), snapshot or fleet(), ids=numbered(), seed=seed
    )
