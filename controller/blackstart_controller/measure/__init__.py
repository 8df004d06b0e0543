"""Pure: spans of faults and samples of probes in, one recovery per service out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blackstart_controller.measure.combine import NS_PER_S, Window
from blackstart_controller.measure.critical_path import waited_for
from blackstart_controller.measure.faults import waves
from blackstart_controller.measure.model import FaultSpan, Objective, Outcome, ProbeSeries, Recovery
from blackstart_controller.measure.recovery import Scene, measure_service
from blackstart_controller.plan.model import Plan, Service

__all__ = ["measure"]


def measure(
    plan: Plan, spans: Sequence[FaultSpan], series: Sequence[ProbeSeries], *, watched_until_ns: int
) -> tuple[Recovery, ...]:
    """The measured result of every service of the plan, in the plan's order.

    `spans` are the faults that were injected; without any, every outcome is unknown. Samples begun after
    `watched_until_ns` (controller's monotonic clock) do not count.
    """
    found = waves(plan, spans)
    if not found:
        return tuple(_not_injected(service) for service in plan.services)
    window = Window(found[0].t0.low_ns, watched_until_ns, int(plan.settle_s * NS_PER_S))
    scene = Scene(plan, found, window)
    alone = {
        service.name: measure_service(scene, service, [one for one in series if one.service == service.name])
        for service in plan.services
    }
    services = {service.name: service for service in plan.services}
    return tuple(
        replace(alone[service.name], waited_for=waited_for(service, services, alone))
        for service in plan.services
    )


def _not_injected(service: Service) -> Recovery:
    return Recovery(
        service=service.name,
        outcome=Outcome.UNKNOWN,
        recovery=None,
        after_revert=None,
        availability=None,
        relapses=0,
        waited_for=None,
        met=None,
        lost_writes=None,
        outages=(),
        objective=Objective(service.rto_s, service.rpo_s),
        reason="nothing was injected",
    )
