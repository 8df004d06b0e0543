"""What no single part of a lab file can know: names that refer to each other."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from blackstart_controller.spec.cycles import find_cycle
from blackstart_controller.spec.errors import Problem, one_of

from blackstart_lab.document import Lab, LabHost


def check_lab(lab: Lab) -> Iterator[Problem]:
    """Yield every reference that leads nowhere, every circle, and every second controller."""
    controllers = [name for name, host in lab.hosts.items() if host.controller]
    for name, host in lab.hosts.items():
        if host.site not in lab.sites:
            yield Problem(
                ("hosts", name, "site"), f"unknown site {host.site}; {one_of(lab.sites, host.site)}"
            )
        if host.controller and name != controllers[0]:
            text = f"a second controller; {controllers[0]} is one already; allowed: at most one host"
            yield Problem(("hosts", name, "controller"), text)
        yield from _units(name, host)
        yield from _placed_twice(name, host)
    yield from _subnets(lab)


def _subnets(lab: Lab) -> Iterator[Problem]:
    """Two sites in one network could not be told apart by the router."""
    given = [(name, ip_network(site.subnet)) for name, site in lab.sites.items() if site.subnet is not None]
    for number, (name, subnet) in enumerate(given):
        for other, taken in given[:number]:
            if subnet.overlaps(taken):
                text = f"{subnet} overlaps with {taken} of site {other}; each site needs its own"
                yield Problem(("sites", name, "subnet"), text)


def _units(name: str, host: LabHost) -> Iterator[Problem]:
    known = True
    for unit_name, unit in host.units.items():
        others = [other for other in host.units if other != unit_name]
        for number, after in enumerate(unit.after):
            if after not in others:
                known = False
                place = ("hosts", name, "units", unit_name, "after", number)
                yield Problem(place, f"unknown unit {after}; {one_of(others, after)}")
    cycle = find_cycle({unit_name: unit.after for unit_name, unit in host.units.items()}) if known else ()
    if cycle:
        path = ("hosts", name, "units", cycle[0], "after")
        yield Problem(path, f"a circle: {' after '.join((*cycle, cycle[0]))}; remove one of them")


def _placed_twice(name: str, host: LabHost) -> Iterator[Problem]:
    owner: dict[str, str] = dict.fromkeys(host.files, "the host")
    for unit_name, unit in host.units.items():
        for path in unit.files:
            if path in owner:
                where = ("hosts", name, "units", unit_name, "files", path)
                yield Problem(where, f"placed already by {owner[path]}; give each file once", key=True)
            owner.setdefault(path, f"unit {unit_name}")
