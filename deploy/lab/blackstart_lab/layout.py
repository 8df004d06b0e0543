"""Pure: from a lab file to addresses, names and finished texts. Nothing here touches the system."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from blackstart_lab.document import Lab, LabFile, LabHost, LabUnit
from blackstart_lab.errors import LabError
from blackstart_lab.templates import Facts, HostFacts, LabFacts, SiteFacts, render

FIRST_HOST: Final = 10  # below are the router (.1) and room for addresses that services share
CONTROLLER_UNIT: Final = "blackstart-controller"
AGENT_UNIT: Final = "blackstart-agent"


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file as it lies in the host; files of a unit belong to the unit's user."""

    path: str
    content: bytes
    mode: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class PlacedUnit:
    """A unit with every template filled in. `after` are units of the same host."""

    name: str
    command: tuple[str, ...]
    user: str = ""
    environment: Mapping[str, str] | None = None
    directory: str = "/"
    after: tuple[str, ...] = ()
    once: bool = False
    ready_tcp: int | None = None
    ready_command: tuple[str, ...] | None = None
    finish: tuple[str, ...] = ()
    down: bool = False


@dataclass(frozen=True, slots=True)
class PlacedSite:
    """A bridge with its two subnets; the router has the first address of both."""

    name: str
    number: int
    subnet4: ipaddress.IPv4Network
    subnet6: ipaddress.IPv6Network
    latency_ms: int

    @property
    def router4(self) -> str:
        return str(self.subnet4.network_address + 1)

    @property
    def router6(self) -> str:
        return str(self.subnet6.network_address + 1)


@dataclass(frozen=True, slots=True)
class PlacedHost:
    """A host with its addresses, files and units, ready to be made."""

    name: str
    number: int
    site: PlacedSite
    labels: Mapping[str, str]
    address4: str
    address6: str
    agent: bool
    controller: bool
    files: tuple[PlacedFile, ...]
    units: tuple[PlacedUnit, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    sites: tuple[PlacedSite, ...]
    hosts: tuple[PlacedHost, ...]

    @property
    def controller(self) -> PlacedHost | None:
        return next((host for host in self.hosts if host.controller), None)


def lay_out(lab: Lab, directory: Path) -> Layout:
    """The whole lab, addressed and rendered. `source` files are read beside the lab file in `directory`."""
    sites = _sites(lab)
    addresses = _addresses(lab, sites)
    facts = {
        name: HostFacts(name, host.site, *_both(addresses[name]), labels=_labels(name, host))
        for name, host in lab.hosts.items()
    }
    hosts = tuple(
        _host(lab, name, number, sites[host.site], addresses[name], facts, directory)
        for number, (name, host) in enumerate(lab.hosts.items())
    )
    return Layout(lab.lab, tuple(sites.values()), hosts)


def _both(addresses: tuple[str, str]) -> tuple[str, tuple[str, str], str]:
    return addresses[0], addresses, addresses[1]


def _labels(name: str, host: LabHost) -> Mapping[str, str]:
    return {**host.labels, "site": host.site, "host": name}


def _sites(lab: Lab) -> dict[str, PlacedSite]:
    taken = [ipaddress.ip_network(site.subnet) for site in lab.sites.values() if site.subnet]
    sites = {}
    for number, (name, site) in enumerate(lab.sites.items(), start=1):
        subnet4 = _free_subnet(number, taken)
        subnet6 = ipaddress.IPv6Network(f"fd00:b5:0:{number:x}::/64")
        given = ipaddress.ip_network(site.subnet) if site.subnet else None
        if isinstance(given, ipaddress.IPv4Network):
            subnet4 = given
        elif given is not None:
            subnet6 = given
        sites[name] = PlacedSite(name, number, subnet4, subnet6, site.latency_ms)
    return sites


def _free_subnet(
    number: int, taken: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> ipaddress.IPv4Network:
    """A /24 that no site of the file has claimed for itself."""
    wanted = ipaddress.IPv4Network(f"10.{100 + number}.0.0/24")
    while any(isinstance(other, ipaddress.IPv4Network) and other.overlaps(wanted) for other in taken):
        wanted = ipaddress.IPv4Network((int(wanted.network_address) + 256, 24))
    return wanted


def _addresses(lab: Lab, sites: Mapping[str, PlacedSite]) -> dict[str, tuple[str, str]]:
    addresses = {}
    for name, site in sites.items():
        members = list(lab.hosts_of(name))
        for subnet in (site.subnet4, site.subnet6):
            room = subnet.num_addresses - 3  # network, router, broadcast
            if len(members) > room:
                raise LabError(
                    f"site {name}: {subnet} has room for {max(room, 0)} hosts, not for {len(members)}"
                )
        first = min(FIRST_HOST, site.subnet4.num_addresses - 1 - len(members))
        for number, host in enumerate(members):
            address6 = str(site.subnet6.network_address + min(FIRST_HOST, first) + number)
            addresses[host] = (str(site.subnet4.network_address + first + number), address6)
    return addresses


def _host(
    lab: Lab,
    name: str,
    number: int,
    site: PlacedSite,
    addresses: tuple[str, str],
    hosts: Mapping[str, HostFacts],
    directory: Path,
) -> PlacedHost:
    host = lab.hosts[name]
    facts = Facts(hosts[name], hosts, SiteFacts(site.name, str(site.subnet4)), LabFacts(lab.lab))
    files = [("", path, file) for path, file in host.files.items()]
    files += [(unit.user, path, file) for unit in host.units.values() for path, file in unit.files.items()]
    return PlacedHost(
        name=name,
        number=number,
        site=site,
        labels=dict(host.labels),
        address4=addresses[0],
        address6=addresses[1],
        agent=host.agent,
        controller=host.controller,
        files=tuple(_file(path, file, user, facts, directory) for user, path, file in files),
        units=tuple(_unit(unit, host.units[unit], facts) for unit in start_order(host.units)),
    )


def start_order(units: Mapping[str, LabUnit]) -> tuple[str, ...]:
    """Unit names, each behind all that it comes after; otherwise as in the file."""
    return tuple(TopologicalSorter({name: unit.after for name, unit in units.items()}).static_order())


def _file(path: str, file: LabFile, user: str, facts: Facts, directory: Path) -> PlacedFile:
    if file.text is not None:
        return PlacedFile(path, render(file.text, facts).encode(), file.mode, user)
    source = directory / (file.source or "")
    try:
        content = source.read_bytes()
        if file.template:
            content = render(content.decode(), facts).encode()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise LabError(f"host {facts.host.name}: file {path}: source {source}: {cause}") from error
    return PlacedFile(path, content, file.mode, user)


def _unit(name: str, unit: LabUnit, facts: Facts) -> PlacedUnit:
    ready = unit.ready
    return PlacedUnit(
        name=name,
        command=tuple(render(argument, facts) for argument in unit.command),
        user=unit.user,
        environment={key: render(value, facts) for key, value in unit.environment.items()},
        directory=unit.directory or "/",
        after=unit.after,
        once=unit.once,
        ready_tcp=ready.tcp if ready else None,
        ready_command=tuple(render(argument, facts) for argument in ready.command)
        if ready and ready.command
        else None,
    )
