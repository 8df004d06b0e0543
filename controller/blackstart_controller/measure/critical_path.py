"""Which dependency a service waited for: the one that was last back before the service itself was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blackstart_controller.measure.model import Interval, Outcome, Recovery
from blackstart_controller.plan.model import Service


def waited_for(
    service: Service, services: Mapping[str, Service], recoveries: Mapping[str, Recovery]
) -> str | None:
    """The transitive dependency that was last back before `service`, or is not back at all while it is not
    either.

    None when the service had no outage, or no dependency of it had one that ended before its own did.
    """
    own = recoveries[service.name]
    if own.recovery is None:
        return None
    candidates = [
        (_back(recoveries[name].recovery), -depth, name)
        for depth, name in enumerate(transitive(service, services))
        if name in recoveries and recoveries[name].recovery is not None
    ]
    earlier = [found for found in candidates if found[0] <= _latest(own)]
    return max(earlier)[2] if earlier else None


def transitive(service: Service, services: Mapping[str, Service]) -> Sequence[str]:
    """All that `service` depends on, nearest first, itself left out; a cycle ends where it began."""
    found: dict[str, None] = {}
    queue = list(service.depends_on)
    while queue:
        name = queue.pop(0)
        if name in found or name == service.name or name not in services:
            continue
        found[name] = None
        queue += services[name].depends_on
    return tuple(found)


def _back(interval: Interval | None) -> float:
    if interval is None or interval.censored:
        return float("inf")
    return interval.seconds


def _latest(recovery: Recovery) -> float:
    if recovery.recovery is None or recovery.outcome is Outcome.NOT_BACK or recovery.recovery.censored:
        return float("inf")
    return recovery.recovery.high
