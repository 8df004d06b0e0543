"""Who is hit: every fault's hosts, chosen by the seed alone, so that the same plan can be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from blackstart_controller.errors import NoTargets
from blackstart_controller.plan.fleet import (
    FleetSnapshot,
    HostView,
    by_name,
    known_sites,
    labels_of,
    matching,
)
from blackstart_controller.plan.unroll import Aim, Picked, Timed, Wave
from blackstart_controller.spec.errors import one_of
from blackstart_controller.spec.faults.base import Pick


def choose_targets(
    faults: Sequence[Timed], fleet: FleetSnapshot, seed: int
) -> tuple[tuple[HostView, ...], ...]:
    """Return each fault's hosts, by name. Raises NoTargets, listing every step that matches no host."""
    if not fleet.hosts:
        raise NoTargets("no host has ever enrolled; see blackstart token create")
    chosen = tuple(_targets(timed, fleet, seed) for timed in faults)
    empty = dict.fromkeys(
        f"{timed.path} {timed.fault.fault}: {_nobody(timed.aim, fleet)}"
        for timed, hosts in zip(faults, chosen, strict=True)
        if not hosts
    )
    if empty:
        raise NoTargets("\n".join(empty))
    return chosen


def _targets(timed: Timed, fleet: FleetSnapshot, seed: int) -> tuple[HostView, ...]:
    match timed.aim:
        case Picked(on, pick):
            return _picked(matching(on, fleet), pick, _chance(seed, timed.number))
        case Wave():
            return _wave(timed.aim, fleet, seed)
        case site:
            return by_name([host for host in fleet.hosts if host.site == site])


def _wave(wave: Wave, fleet: FleetSnapshot, seed: int) -> tuple[HostView, ...]:
    """Every wave takes the beginning of one shuffled list, so none leaves out an earlier one's hosts."""
    hosts = list(matching(wave.on, fleet))
    _chance(seed, wave.first).shuffle(hosts)
    return by_name(hosts[: max(size.of(len(hosts)) for size in wave.sizes)])


def _chance(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")  # noqa: S311 - must be repeatable


def _picked(hosts: tuple[HostView, ...], pick: Pick | None, chance: random.Random) -> tuple[HostView, ...]:
    if pick is None:
        return hosts
    wanted = pick.count if pick.count is not None else -(-len(hosts) * (pick.percent or 0) // 100)
    return by_name(chance.sample(hosts, min(wanted, len(hosts))))


def _nobody(aim: Aim, fleet: FleetSnapshot) -> str:
    """Say why a fault matches no host, and what it could have matched."""
    if isinstance(aim, str):
        return f"no host is in site {aim}; {one_of(known_sites(fleet), aim, word='known')}"
    reasons = []
    for requirement in aim.on.requirements:
        values = sorted(
            {labels_of(host)[requirement.key] for host in fleet.hosts if requirement.key in labels_of(host)}
        )
        if requirement.values and not set(values) & set(requirement.values):
            reasons.append(f"{requirement.key} is one of: {', '.join(values[:20]) or 'nothing on any host'}")
    return f"no host matches {aim.on}" + "".join(f"; {reason}" for reason in reasons)
