"""Who is hit: every step's hosts, chosen by the seed alone, so that the same plan can be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from blackstart_controller.errors import NoTargets
from blackstart_controller.plan.model import FleetSnapshot, HostView
from blackstart_controller.spec.errors import one_of
from blackstart_controller.spec.experiment import Experiment, Pick, SiteBlackout, Step
from blackstart_controller.spec.selector import Selector


def choose_targets(
    experiment: Experiment, fleet: FleetSnapshot, seed: int
) -> tuple[tuple[HostView, ...], ...]:
    """Return each step's hosts, by name. Raises NoTargets, listing every step that matches no host."""
    chosen = tuple(_targets(step, number, fleet, seed) for number, step in enumerate(experiment.steps))
    empty = [
        f"steps[{number}] {step.fault}: {_nobody(step, fleet)}"
        for number, step in enumerate(experiment.steps)
        if not chosen[number]
    ]
    if empty:
        raise NoTargets("\n".join(empty))
    return chosen


def known_sites(fleet: FleetSnapshot) -> list[str]:
    return sorted({host.site for host in fleet.hosts})


def matching(selector: Selector, fleet: FleetSnapshot) -> tuple[HostView, ...]:
    """Return the hosts that `selector` selects, by name; `host` and `site` are labels of every host."""
    return _by_name([host for host in fleet.hosts if selector.matches(labels_of(host))])


def labels_of(host: HostView) -> dict[str, str]:
    return {**host.labels, "host": host.name, "site": host.site}


def _targets(step: Step, number: int, fleet: FleetSnapshot, seed: int) -> tuple[HostView, ...]:
    if isinstance(step, SiteBlackout):
        return _by_name([host for host in fleet.hosts if host.site == step.site])
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - must be repeatable
    return _picked(matching(step.on, fleet), step.pick, chance)


def _picked(hosts: tuple[HostView, ...], pick: Pick | None, chance: random.Random) -> tuple[HostView, ...]:
    if pick is None:
        return hosts
    wanted = pick.count if pick.count is not None else -(-len(hosts) * (pick.percent or 0) // 100)
    return _by_name(chance.sample(hosts, min(wanted, len(hosts))))


def _by_name(hosts: Sequence[HostView]) -> tuple[HostView, ...]:
    return tuple(sorted(hosts, key=lambda host: host.name))


def _nobody(step: Step, fleet: FleetSnapshot) -> str:
    """Say why a step matches no host, and what it could have matched."""
    if not fleet.hosts:
        return "no host has ever enrolled; see blackstart token create"
    if isinstance(step, SiteBlackout):
        return f"no host is in site {step.site}; {one_of(known_sites(fleet), step.site, word='known')}"
    reasons = []
    for requirement in step.on.requirements:
        values = sorted(
            {labels_of(host)[requirement.key] for host in fleet.hosts if requirement.key in labels_of(host)}
        )
        if requirement.values and not set(values) & set(requirement.values):
            reasons.append(f"{requirement.key} is one of: {', '.join(values[:20]) or 'nothing on any host'}")
    return f"no host matches {step.on}" + "".join(f"; {reason}" for reason in reasons)
