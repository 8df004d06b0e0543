"""Stop conditions in words, and how each of them stood when the run was over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blackstart_controller.plan.model import MetricStop, ProbeStop, ServiceStop, StopCondition, WebhookStop
from blackstart_controller.report.view import StopView, Tripped


def stop_views(
    stops: Sequence[StopCondition], tripped: Mapping[tuple[str, str], Tripped]
) -> tuple[StopView, ...]:
    """One per condition, in the plan's order. `tripped` by kind and name."""
    return tuple(
        StopView(stop.name, stop.kind, condition(stop), tripped.get((stop.kind, stop.name))) for stop in stops
    )


def condition(stop: StopCondition) -> str:
    """When the condition trips. A webhook's URL is not told: its path may be a secret."""
    match stop:
        case ServiceStop():
            return f"service {stop.service} fails for {stop.failing_s:g} s"
        case ProbeStop():
            return f"its probe fails for {stop.failing_s:g} s"
        case MetricStop():
            above, below = stop.above, stop.below
            limit = f"above {above:g}" if above is not None else f"below {below:g}"
            return f"{stop.query} is {limit} for {stop.for_s:g} s"
        case WebhookStop():
            return "it answers anything but 2xx"


def result(stop: StopView, *, injected: bool) -> str:
    """What became of it, in a few words."""
    if stop.tripped is None:
        return "not tripped" if injected else "nothing was injected"
    when = "before T0" if stop.tripped.s is None else f"at T0 {stop.tripped.s:+.1f} s"
    return f"tripped {when}: {stop.tripped.reason}"
