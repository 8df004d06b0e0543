"""The fleet as it was at one moment, and who of it is meant by a selector. Frozen data, and pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from blackstart_controller.spec.selector import Selector


@dataclass(frozen=True, slots=True)
class HostView:
    """One host as the controller knows it. `labels` always holds `site` and `host`."""

    name: str
    site: str
    labels: dict[str, str]
    addresses: tuple[str, ...]
    connected: bool
    fault_kinds: tuple[str, ...] = ()
    unsupported: dict[str, str] = field(default_factory=dict)
    probe_kinds: tuple[str, ...] = ()
    open_faults: int = 0


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """`controller_addresses` are the controller's own: a tethered fault that would cut them is refused."""

    hosts: tuple[HostView, ...]
    controller_addresses: tuple[str, ...] = ()


def known_sites(fleet: FleetSnapshot) -> list[str]:
    return sorted({host.site for host in fleet.hosts})


def matching(selector: Selector, fleet: FleetSnapshot) -> tuple[HostView, ...]:
    """Return the hosts that `selector` selects, by name; `host` and `site` are labels of every host."""
    return by_name([host for host in fleet.hosts if selector.matches(labels_of(host))])


def labels_of(host: HostView) -> dict[str, str]:
    return {**host.labels, "host": host.name, "site": host.site}


def by_name(hosts: Sequence[HostView]) -> tuple[HostView, ...]:
    return tuple(sorted(hosts, key=lambda host: host.name))
