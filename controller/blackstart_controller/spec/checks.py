"""What no single part of an experiment can know: names that refer to each other, and sums of durations."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_controller.spec.cycles import find_cycle
from blackstart_controller.spec.duration import format_duration, parse_duration
from blackstart_controller.spec.errors import Problem, one_of
from blackstart_controller.spec.experiment import MAX_HOLD, Experiment


def check_experiment(experiment: Experiment) -> Iterator[Problem]:
    """Yield every contradiction between the parts of a document whose parts are all valid."""
    yield from _times(experiment)
    yield from _service_names(experiment)
    yield from _dependencies(experiment)


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
    longest_ms = parse_duration(MAX_HOLD)
    for number, step in enumerate(experiment.steps):
        if step.at_ms + step.hold_ms > longest_ms:
            total = format_duration(step.at_ms + step.hold_ms)
            yield Problem(
                ("steps", number, "for"), f"at and for add up to {total}; allowed: at most {MAX_HOLD}"
            )


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
