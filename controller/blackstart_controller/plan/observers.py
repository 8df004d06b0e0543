"""Who watches: hosts outside the blast radius, spread over sites. A target never observes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Final

from blackstart_controller.plan.model import Finding, FleetSnapshot, HostView, PlannedProbe, ProbeSpec
from blackstart_controller.plan.probes import probe_spec
from blackstart_controller.plan.targets import labels_of
from blackstart_controller.spec.experiment import ServiceEntry

MAX_OBSERVERS: Final = 3


def plan_probes(
    service: ServiceEntry, fleet: FleetSnapshot, targets: frozenset[str], seed: int
) -> tuple[tuple[PlannedProbe, ...], tuple[Finding, ...]]:
    """Return the service's probes on up to three observers, and an error finding when it has none."""
    specs = [probe_spec(probe) for probe in service.probes]
    kinds = sorted({spec.kind for spec in specs})
    wanted = [host for host in fleet.hosts if _wanted(service, host)]
    able = [
        host for host in wanted if host.name not in targets and host.connected and not _lacking(host, kinds)
    ]
    if not able:
        return (), (Finding("error", _nobody(service, wanted, targets, kinds)),)
    chosen = spread(able, random.Random(f"{seed}/{service.name}"))  # noqa: S311 - must be repeatable
    probes = [_planned(service, number, spec, host) for host in chosen for number, spec in enumerate(specs)]
    return tuple(probes), tuple(_unable(service, wanted, targets, kinds))


def spread(hosts: Sequence[HostView], chance: random.Random) -> tuple[HostView, ...]:
    """Return up to three of `hosts`, of as many sites as possible, by name; `chance` alone decides."""
    sites: dict[str, list[HostView]] = {}
    for host in sorted(hosts, key=lambda host: host.name):
        sites.setdefault(host.site, []).append(host)
    queues = [sites[site] for site in sorted(sites)]
    for queue in queues:
        chance.shuffle(queue)
    chance.shuffle(queues)
    turns = chain.from_iterable(zip_longest(*queues))
    chosen = [host for host in turns if host is not None][:MAX_OBSERVERS]
    return tuple(sorted(chosen, key=lambda host: host.name))


def _wanted(service: ServiceEntry, host: HostView) -> bool:
    return service.observers is None or service.observers.matches(labels_of(host))


def _lacking(host: HostView, kinds: Iterable[str]) -> list[str]:
    return [kind for kind in kinds if kind not in host.probe_kinds]


def _planned(service: ServiceEntry, number: int, spec: ProbeSpec, host: HostView) -> PlannedProbe:
    return PlannedProbe(
        id=f"{service.name}/{number}@{host.name}",
        service=service.name,
        observer=host.name,
        every_ms=service.every_ms,
        timeout_ms=service.timeout_ms,
        spec=spec,
    )


def _unable(
    service: ServiceEntry, wanted: Sequence[HostView], targets: frozenset[str], kinds: Sequence[str]
) -> Iterable[Finding]:
    """A selector says that a host is wanted; hosts that nobody asked for are passed over silently."""
    if service.observers is None:
        return
    for host in wanted:
        lacking = _lacking(host, kinds)
        if host.connected and host.name not in targets and lacking:
            what = f"{host.name} does not observe; its agent has no probe {', '.join(lacking)}"
            text = f"service {service.name}: {what}"
            yield Finding("warning", text)


def _nobody(
    service: ServiceEntry, wanted: Sequence[HostView], targets: frozenset[str], kinds: Sequence[str]
) -> str:
    """Say for each host that could have observed why it does not, the first reasons first."""
    who = f"service {service.name}: no observer"
    if not wanted:
        return f"{who}: no host matches {service.observers or 'any label'}"
    outside = [host for host in wanted if host.name not in targets]
    if not outside:
        names = ", ".join(host.name for host in wanted[:10])
        return (
            f"{who}: every host that could observe it is inside the blast radius ({names}); "
            "widen observers, or hit fewer hosts"
        )
    reasons = [f"{host.name} {_why_not(host, kinds)}" for host in outside[:10]]
    return f"{who} outside the blast radius: {'; '.join(reasons)}"


def _why_not(host: HostView, kinds: Sequence[str]) -> str:
    return f"has no probe {', '.join(_lacking(host, kinds))}" if host.connected else "is not connected"
