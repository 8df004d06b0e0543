"""An experiment in one paragraph that somebody who has to agree can read. No fleet is known here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from blackstart_controller.spec import flow
from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.faults.base import Held, Later, Targeted, listed
from blackstart_controller.spec.faults.host import SiteBlackout
from blackstart_controller.spec.stops import FailingProbe, FailingService, StopEntry, Threshold

MAX_PARTS: Final = 8  # of a list of steps; a paragraph is to be read


def in_words(experiment: Experiment) -> str:
    """Return what will be broken and for how long, who watches, what ends it early, and what is believed."""
    sentences = [
        _sentence(experiment.description) or f"This is the experiment {experiment.name}.",
        f"First everything must be well for {_time(experiment.baseline_ms)}, else nothing is touched.",
        f"Then {_steps(experiment.steps)}.",
        f"The last of it is over {_time(max(map(flow.length_ms, experiment.steps)))} after the beginning"
        f"; {_ending(experiment)}.",
        *_watching(experiment),
        *_limits(experiment),
    ]
    if experiment.stop:
        tripped = listed([*map(_stop, experiment.stop)], "or")
        sentences.append(f"It is ended early, and everything undone, when {tripped}.")
    if experiment.hypothesis:
        sentences.append(f"What is believed: {_sentence(experiment.hypothesis)}")
    return " ".join(sentences)


def _steps(steps: Sequence[flow.AnyStep]) -> str:
    return _together(steps) if len(steps) > 1 else _step(steps[0])


def _together(steps: Sequence[flow.AnyStep]) -> str:
    return f"at the same time: {'; '.join(_parts(steps))}"


def _parts(steps: Sequence[flow.AnyStep]) -> list[str]:
    shown = [f"({number}) {_step(step)}" for number, step in enumerate(steps[:MAX_PARTS], start=1)]
    return shown + ([f"and {len(steps) - MAX_PARTS} more steps"] if len(steps) > MAX_PARTS else [])


def _step(step: flow.AnyStep) -> str:
    match step:
        case flow.Wait():
            return _wait(step.wait)
        case flow.Sequence():
            return _later(step, f"one after the other: {'; '.join(_parts(step.sequence))}")
        case flow.Parallel():
            return _later(step, _together(step.parallel))
        case flow.Repeat():
            rounds = step.repeat
            what = f"{rounds.times} times in a row{_pause(rounds)}: {_steps(rounds.steps)}"
            return _later(step, what)
        case flow.Waves():
            waves = step.waves
            sizes = listed([*map(str, waves.sizes)])
            where = f"in waves of {sizes} of the hosts with {waves.on}{_pause(waves)}"
            return _later(step, f"{where}: on them {_fault(waves.fault)}")
        case SiteBlackout():
            return _later(step, f"on every host of the site {step.site} {_fault(step)}")
    return _later(step, f"on {_hosts(step)} {_fault(step)}")


def _fault(fault: Held) -> str:
    return fault.words(_time(fault.hold_ms))


def _wait(wait: flow.Waiting) -> str:
    if wait.steady_ms is None:
        return f"{_time(wait.length_ms)} of nothing"
    well = _time(wait.steady_ms)
    return f"a pause of {_time(wait.length_ms)}, at whose end all must have been well for {well}"


def _pause(paused: flow.Paused) -> str:
    if not paused.pause_ms:
        return ""
    if paused.steady_ms is None:
        return f", {_time(paused.pause_ms)} apart"
    well = _time(paused.steady_ms)
    return f", {_time(paused.pause_ms)} apart, each time only if all has been well for {well}"


def _later(step: Later, what: str) -> str:
    return f"{_time(step.at_ms)} later {what}" if step.at_ms else what


def _hosts(step: Targeted) -> str:
    if step.pick is None:
        return f"every host with {step.on}"
    count = step.pick.count
    some = f"{step.pick.percent}% of the hosts" if count is None else f"{count} host{'s' * (count > 1)}"
    return f"{some} with {step.on}, chosen by lot,"


def _ending(experiment: Experiment) -> str:
    if experiment.mode == "sealed":
        return "it ends at that time on every host by itself, even if the controller is gone"
    return f"if the controller is gone, everything ends by itself within {_time(experiment.lease_ms)}"


def _watching(experiment: Experiment) -> list[str]:
    if not experiment.services:
        return ["No service is watched, so nothing is measured."]
    names = [
        service.name
        + (
            f" (back within {_time(service.objective.rto_ms)})"
            if service.objective.rto_ms is not None
            else ""
        )
        for service in experiment.services
    ]
    one = "The service" if len(names) == 1 else "The services"
    is_are = "is" if len(names) == 1 else "are"
    return [
        f"{one} {listed(names)} {is_are} watched from hosts that are not hit, "
        f"until {_time(experiment.watch_ms)} after the last fault."
    ]


def _limits(experiment: Experiment) -> list[str]:
    limits = experiment.limits
    known = [
        (limits.max_hosts, f"{limits.max_hosts} host{'s' * (limits.max_hosts != 1)}"),
        (limits.max_sites, f"{limits.max_sites} site{'s' * (limits.max_sites != 1)}"),
        (limits.max_service_share, f"{limits.max_service_share}% of a service's hosts"),
    ]
    most = [text for limit, text in known if limit is not None]
    return [f"At most {listed(most)} may be hit, else it does not begin."] if most else []


def _stop(entry: StopEntry) -> str:
    match entry.condition:
        case FailingService() as service:
            return f"the service {service.name} fails for {_time(service.failing_ms)}"
        case FailingProbe() as probe:
            return f"the probe {probe.name} fails for {_time(probe.failing_ms)}"
        case Threshold() as metric:
            way = f"above {metric.above:g}" if metric.above is not None else f"below {metric.below:g}"
            return f"the metric {metric.name} is {way} for {_time(metric.for_ms)}"
        case webhook:
            return f"{webhook.name} no longer says go"


def _sentence(text: str) -> str:
    words = " ".join(text.split())
    return words if not words or words.endswith((".", "!", "?")) else f"{words}."


def _time(ms: int) -> str:
    return format_duration(ms)
