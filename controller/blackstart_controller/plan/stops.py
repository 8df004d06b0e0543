"""Stop conditions as the plan carries them."""

from __future__ import annotations

from blackstart_controller.plan.model import MetricStop, ProbeStop, ServiceStop, StopCondition, WebhookStop
from blackstart_controller.spec.stops import FailingProbe, FailingService, StopEntry, Threshold, Webhook


def stop_of(entry: StopEntry) -> StopCondition:
    """Return the plan's form of one stop condition. One of a service has the service's name."""
    match entry.condition:
        case FailingService() as service:
            return ServiceStop(service.name, service.name, service.failing_ms / 1000)
        case FailingProbe() as probe:
            return ProbeStop(probe.name, probe.failing_ms / 1000)
        case Webhook() as webhook:
            return WebhookStop(webhook.name, webhook.url, webhook.every_ms / 1000)
        case Threshold() as metric:
            return MetricStop(
                name=metric.name,
                url=metric.prometheus,
                query=metric.query,
                above=metric.above,
                below=metric.below,
                for_s=metric.for_ms / 1000,
                every_s=metric.every_ms / 1000,
            )
