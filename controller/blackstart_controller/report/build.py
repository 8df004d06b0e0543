"""A finished run's data to one view. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from blackstart_controller.measure.faults import waves
from blackstart_controller.measure.model import Answer, FaultSpan, Outage, ProbeSeries, Recovery
from blackstart_controller.measure.verdict import Verdict
from blackstart_controller.plan.model import HostOrder, Plan, Service
from blackstart_controller.report.stops import stop_views
from blackstart_controller.report.view import (
    Band,
    EventView,
    HostSpan,
    ObserverView,
    ReportView,
    ServiceView,
    Tripped,
)

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind. Times are nanoseconds of the controller's monotonic clock."""

    run_id: str
    plan: Plan
    verdict: Verdict
    reverted: bool
    recoveries: tuple[Recovery, ...]
    spans: tuple[FaultSpan, ...]
    series: tuple[ProbeSeries, ...]
    events: tuple[EventView, ...]
    t0_ns: int  # the planned T0; where nothing was injected, the end of the baseline
    t0_iso: str | None
    watched_until_ns: int
    sites: Mapping[str, str]  # host -> site
    manual: Mapping[str, tuple[str, ...]]  # order id -> the commands that undo it by hand
    halted_by: str = ""
    tripped: Mapping[tuple[str, str], Tripped] = field(default_factory=dict)  # (kind, name) of a condition


def build(run: Finished) -> ReportView:
    """The view of a finished run, whatever its end."""
    plan = run.plan
    skew = _skew(run)
    return ReportView(
        run_id=run.run_id,
        experiment=plan.experiment,
        description=plan.description,
        hypothesis=plan.hypothesis,
        owner=plan.owner,
        tags=plan.tags,
        mode=str(plan.mode),
        seed=plan.seed,
        verdict=run.verdict,
        reverted=run.reverted,
        t0_iso=run.t0_iso,
        skew_ms=skew.ms,
        skew_error_ms=skew.error_ms,
        completed_ms=skew.completed_ms,
        from_s=-plan.baseline_s,
        until_s=max(1.0, (run.watched_until_ns - run.t0_ns) / NS_PER_S),
        hosts=tuple(_host(run, order) for order in plan.orders),
        services=tuple(_service(run, service) for service in plan.services),
        events=run.events,
        limits=limits(run),
        halted_by=run.halted_by,
        stops=stop_views(plan.stops, run.tripped),
    )


class Skew(NamedTuple):
    ms: float | None
    error_ms: float | None
    completed_ms: float | None


def _skew(run: Finished) -> Skew:
    """How far apart the hosts of the first wave began, and how long the whole of it took, milliseconds."""
    found = waves(run.plan, run.spans)
    if not found:
        return Skew(None, None, None)
    firsts = [span.first_ns for span in found[0].spans]
    completed = max(span.last_ns for span in found[0].spans) - min(firsts)
    errors = sorted(span.error_ns for span in found[0].spans)
    return Skew((max(firsts) - min(firsts)) / NS_PER_MS, sum(errors[-2:]) / NS_PER_MS, completed / NS_PER_MS)


def _host(run: Finished, order: HostOrder) -> HostSpan:
    span = next((one for one in run.spans if one.order_id == order.id), None)
    return HostSpan(
        host=order.host,
        site=run.sites.get(order.host, ""),
        order_id=order.id,
        kind=order.fault.kind,
        first_s=_relative(run, span.first_ns) if span else None,
        last_s=_relative(run, span.last_ns) if span else None,
        end_s=_relative(run, span.end_ns) if span and span.end_ns is not None else None,
        error_ms=span.error_ns / NS_PER_MS if span else 0.0,
        manual=run.manual.get(order.id, ()),
        path=order.path,
    )


def _service(run: Finished, service: Service) -> ServiceView:
    recovery = next(one for one in run.recoveries if one.service == service.name)
    series = [one for one in run.series if one.service == service.name]
    planned = (probe.observer for probe in run.plan.probes if probe.service == service.name)
    return ServiceView(
        recovery=recovery,
        members=service.members,
        depends_on=service.depends_on,
        observers=tuple(_observer(run, name, recovery, series) for name in dict.fromkeys(planned)),
    )


def _observer(run: Finished, name: str, recovery: Recovery, series: Sequence[ProbeSeries]) -> ObserverView:
    samples = [s for one in series if one.observer == name for s in one.samples]
    return ObserverView(
        observer=name,
        site=run.sites.get(name, ""),
        bands=tuple(_band(run, outage) for outage in recovery.outages if outage.observer == name),
        samples=len(samples),
        unusable=sum(s.answer is Answer.UNKNOWN for s in samples),
        worst_lag_ms=max((s.lag_ns for s in samples), default=0) / NS_PER_MS,
    )


def _band(run: Finished, outage: Outage) -> Band:
    return Band(
        start_low_s=_relative(run, outage.last_ok_ns) if outage.last_ok_ns is not None else None,
        start_high_s=_relative(run, outage.first_bad_ns),
        end_low_s=_relative(run, outage.last_bad_ns),
        end_high_s=_relative(run, outage.first_ok_ns) if outage.first_ok_ns is not None else None,
    )


def _relative(run: Finished, moment_ns: int) -> float:
    return round((moment_ns - run.t0_ns) / NS_PER_S, 6)


def limits(run: Finished) -> tuple[str, ...]:
    """What a sceptic must know: how finely each service was sampled, and what nobody looked at."""
    told: dict[str, list[str]] = {}
    for service in run.plan.services:
        told.setdefault(_limits_of(run, service), []).append(service.name)
    found = [f"{', '.join(names)}: {text}" for text, names in told.items()]
    found += [f"{finding.level}: {finding.text}" for finding in run.plan.findings if finding.level != "error"]
    if any(service.rpo_s is not None for service in run.plan.services):
        found.append("Lost data (RPO) was not measured: no ledger probe was running.")
    if not run.spans:
        found.append("Nothing was injected, so nothing is known about recovery.")
    return tuple(found)


def _limits_of(run: Finished, service: Service) -> str:
    probes = [probe for probe in run.plan.probes if probe.service == service.name]
    if not probes:
        return "nobody watched it."
    every_ms = max(probe.every_ms for probe in probes)
    kinds = ", ".join(dict.fromkeys(probe.spec.kind for probe in probes))
    observers = ", ".join(dict.fromkeys(probe.observer for probe in probes))
    return (
        f"asked by {kinds} every {every_ms} ms from {observers}; an outage shorter than "
        f"{3 * every_ms} ms may have been missed, and users elsewhere may have met another."
    )
