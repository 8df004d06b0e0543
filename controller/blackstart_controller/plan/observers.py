"""Who watches: hosts outside the blast radius, spread over sites. A target never observes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final

from blackstart_controller.plan.fleet import FleetSnapshot, HostView, labels_of
from blackstart_controller.plan.model import STOP_SERVICE, Finding, PlannedProbe, ProbeSpec
from blackstart_controller.plan.probes import probe_spec
from blackstart_controller.spec.services import Probe, Watched

MAX_OBSERVERS: Final = 3


def plan_probes(
    watched: Watched,
    probes: Sequence[Probe],
    fleet: FleetSnapshot,
    targets: frozenset[str],
    seed: int,
    *,
    prefix: str = "",
) -> tuple[tuple[PlannedProbe, ...], tuple[Finding, ...]]:
    """Return the probes on up to three observers, and an error finding when there is no observer.

    `prefix` stands before the name of what is no service.
    """
    service = _Service(prefix + watched.name, watched)
    specs = [probe_spec(probe) for probe in probes]
    kinds = sorted({spec.kind for spec in specs})
    wanted = [host for host in fleet.hosts if _wanted(watched, host)]
    able = [
        host for host in wanted if host.name not in targets and host.connected and not _lacking(host, kinds)
    ]
    if not able:
        return (), (Finding("error", _nobody(service, wanted, targets, kinds)),)
    chosen = spread(able, random.Random(f"{seed}/{service.name}"))  # noqa: S311 - must be repeatable
    planned = [_planned(service, number, spec, host) for host in chosen for number, spec in enumerate(specs)]
    return tuple(planned), tuple(_unable(service, wanted, targets, kinds))


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


@dataclass(frozen=True, slots=True)
class _Service:
    """What is watched, under the name that its probes carry."""

    name: str
    watched: Watched

    def __str__(self) -> str:
        return who(self.name)


def who(service: str) -> str:
    """Return what a probe's service is in words: a service, or a stop condition."""
    if service.startswith(STOP_SERVICE):
        return f"stop condition {service.removeprefix(STOP_SERVICE)}"
    return f"service {service}"


def _wanted(watched: Watched, host: HostView) -> bool:
    return watched.observers is None or watched.observers.matches(labels_of(host))


def _lacking(host: HostView, kinds: Iterable[str]) -> list[str]:
    return [kind for kind in kinds if kind not in host.probe_kinds]


def _planned(service: _Service, number: int, spec: ProbeSpec, host: HostView) -> PlannedProbe:
    return PlannedProbe(
        id=f"{service.name}/{number}@{host.name}",
        service=service.name,
        observer=host.name,
        every_ms=service.watched.every_ms,
        timeout_ms=service.watched.timeout_ms,
        spec=spec,
    )


def _unable(
    service: _Service, wanted: Sequence[HostView], targets: frozenset[str], kinds: Sequence[str]
) -> Iterable[Finding]:
    """A selector says that a host is wanted; hosts that nobody asked for are passed over silently."""
    if service.watched.observers is None:
        return
    for host in wanted:
        lacking = _lacking(host, kinds)
        if host.connected and host.name not in targets and lacking:
            what = f"{host.name} does not observe; its agent has no probe {', '.join(lacking)}"
            text = f"{service}: {what}"
            yield Finding("warning", text)


def _nobody(
    service: _Service, wanted: Sequence[HostView], targets: frozenset[str], kinds: Sequence[str]
) -> str:
    """Say for each host that could have observed why it does not, the first reasons first."""
    nobody = f"{service}: no observer"
    if not wanted:
        return f"{nobody}: no host matches {service.watched.observers or 'any label'}"
    outside = [host for host in wanted if host.name not in targets]
    if not outside:
        names = ", ".join(host.name for host in wanted[:10])
        return (
            f"{nobody}: every host that could observe it is inside the blast radius ({names}); "
            "widen observers, or hit fewer hosts"
        )
    reasons = [f"{host.name} {_why_not(host, kinds)}" for host in outside[:10]]
    return f"{nobody} outside the blast radius: {'; '.join(reasons)}"


def _why_not(host: HostView, kinds: Sequence[str]) -> str:
    return f"has no probe {', '.join(_lacking(host, kinds))}" if host.connected else "is not connected"
