"""What no single part of an experiment can know: names that refer to each other, and sums of durations."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_controller.spec.cycles import find_cycle
from blackstart_controller.spec.duration import format_duration, parse_duration
from blackstart_controller.spec.errors import Problem, one_of
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.faults.base import MAX_HOLD, Held
from blackstart_controller.spec.flow import (
    MAX_UNROLLED,
    AnyStep,
    Paused,
    Repeat,
    Waves,
    every_step,
    length_ms,
    unrolled,
)
from blackstart_controller.spec.yaml_source import Path


def check_experiment(experiment: Experiment) -> Iterator[Problem]:
    """Yield every contradiction between the parts of a document whose parts are all valid."""
    yield from _times(experiment)
    yield from _flow(experiment)
    yield from _service_names(experiment)
    yield from _dependencies(experiment)
    yield from _stops(experiment)


def _times(experiment: Experiment) -> Iterator[Problem]:
    if experiment.settle_ms >= experiment.watch_ms:
        settle, watch = format_duration(experiment.settle_ms), format_duration(experiment.watch_ms)
        path = ("settle",) if "settle_ms" in experiment.model_fields_set else ("watch",)
        yield Problem(
            path, f"settle ({settle}) must be shorter than watch ({watch}), or nothing is ever back"
        )
    if experiment.mode == "sealed" and "lease_ms" in experiment.model_fields_set:
        yield Problem(
            ("lease",), "has no meaning in mode sealed, where the lease is the step's for; remove it"
        )
    for number, step in enumerate(experiment.steps):
        yield from _length(step, ("steps", number))


def _length(step: AnyStep, path: Path) -> Iterator[Problem]:
    total_ms = length_ms(step)
    if total_ms <= parse_duration(MAX_HOLD):
        return
    total = format_duration(min(total_ms, parse_duration("1000h")))
    if isinstance(step, Held):
        yield Problem((*path, "for"), f"at and for add up to {total}; allowed: at most {MAX_HOLD}")
    else:
        more = " or more" if total == "1000h" else ""
        yield Problem(path, f"ends {total}{more} after T0; allowed: at most {MAX_HOLD}")


def _flow(experiment: Experiment) -> Iterator[Problem]:
    total = sum(map(unrolled, experiment.steps))
    if total > MAX_UNROLLED:
        shown = str(total) if total < 10**9 else "more than 1000000000"
        text = f"unrolled, these are {shown} faults and waits; allowed: at most {MAX_UNROLLED}"
        yield Problem(("steps",), text)
    faults = False
    for path, step in every_step(experiment.steps):
        faults = faults or isinstance(step, Held | Waves)
        if isinstance(step, Repeat):
            yield from _checkpoint(step.repeat, (*path, "repeat"))
        if isinstance(step, Waves):
            yield from _checkpoint(step.waves, (*path, "waves"))
            yield from _sizes(step, path)
    if not faults:
        yield Problem(("steps",), "nothing is broken; at least one step must have a fault")


def _checkpoint(paused: Paused, path: Path) -> Iterator[Problem]:
    if paused.steady_ms is not None and paused.pause_ms < paused.steady_ms:
        steady, pause = format_duration(paused.steady_ms), format_duration(paused.pause_ms)
        text = (
            f"{steady} of good answers do not fit into a pause of {pause}; give a pause of {steady} or more"
        )
        yield Problem((*path, "steady"), text)


def _sizes(step: Waves, path: Path) -> Iterator[Problem]:
    """Hosts and percentages cannot be compared before the fleet is known; then a wave never shrinks."""
    largest = {False: 0, True: 0}
    for index, size in enumerate(step.waves.sizes):
        if size.number <= largest[size.percent]:
            text = f"{size} is no more than a wave before it; each wave must be larger"
            yield Problem((*path, "waves", "sizes", index), text)
        largest[size.percent] = max(size.number, largest[size.percent])


def _service_names(experiment: Experiment) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, service in enumerate(experiment.services):
        if service.name in first:
            text = (
                f"{service.name} is the name of services[{first[service.name]}] already; each needs its own"
            )
            yield Problem(("services", number, "name"), text)
        first.setdefault(service.name, number)


def _dependencies(experiment: Experiment) -> Iterator[Problem]:
    names = [service.name for service in experiment.services]
    known = True
    for number, service in enumerate(experiment.services):
        for index, needed in enumerate(service.depends_on):
            if needed not in names or needed == service.name:
                known = False
                others = [name for name in names if name != service.name]
                text = f"unknown service {needed}; {one_of(others, needed)}"
                if needed == service.name:
                    text = f"{needed} cannot depend on itself; {one_of(others)}"
                yield Problem(("services", number, "depends_on", index), text)
    cycle = find_cycle({service.name: service.depends_on for service in experiment.services}) if known else ()
    if cycle:
        circle = " needs ".join((*cycle, cycle[0]))
        yield Problem(
            ("services", names.index(cycle[0]), "depends_on"), f"a circle: {circle}; remove one of them"
        )


def _stops(experiment: Experiment) -> Iterator[Problem]:
    services = [service.name for service in experiment.services]
    first: dict[str, int] = {}
    for number, entry in enumerate(experiment.stop):
        name = entry.condition.name
        path = ("stop", number, entry.kind, "name")
        if entry.service is not None and name not in services:
            yield Problem(path, f"unknown service {name}; {one_of(services, name)}")
        elif name in first:
            yield Problem(path, f"{name} is the name of stop[{first[name]}] already; each needs its own")
        first.setdefault(name, number)
