"""A plan in words, for `blackstart plan` and for the head of a report. Pure strings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blackstart_controller.plan.faults.base import few
from blackstart_controller.plan.model import (
    HostOrder,
    MetricStop,
    Mode,
    Plan,
    ProbeStop,
    ServiceStop,
    StopCondition,
    WebhookStop,
)
from blackstart_controller.spec.duration import format_duration


def explain(plan: Plan) -> str:
    """Return one paragraph: what will be broken, for how long, who watches, and what ends it."""
    hosts = sorted({order.host for order in plan.orders})
    names = {service.name for service in plan.services}
    observers = sorted({probe.observer for probe in plan.probes if probe.service in names})
    services = few([service.name for service in plan.services])
    sentences = [
        f"{plan.experiment} hits {_count(len(hosts), 'host')} ({few(hosts)}) with {_kinds(plan.orders)}.",
        f"Everything must be steady for {seconds(plan.baseline_s)} first, else nothing is injected.",
        f"The faults hold until {seconds(plan.hold_s)} after T0; {_ending(plan)}",
    ]
    if plan.services:
        watched = f"{_count(len(plan.services), 'service')} ({services})"
        sentences.append(f"{_count(len(observers), 'observer')} ({few(observers)}) probe {watched}.")
        sentences.append(
            f"A service counts as back after {seconds(plan.settle_s)} of good answers, and is waited for "
            f"{seconds(plan.watch_s)} after the last revert."
        )
    if plan.checkpoints or plan.stops:
        counted = [_count(len(plan.checkpoints), "checkpoint"), _count(len(plan.stops), "stop condition")]
        sentences.append(f"{' and '.join(counted)} can halt it before.")
    sentences.append(f"Seed {plan.seed} made every choice.")
    return " ".join(sentences)


def order_lines(plan: Plan) -> list[str]:
    """Return the orders as aligned lines, a header first: when, where, what, for how long, by which step."""
    rows = [("AT", "HOST", "FAULT", "FOR", "LEASE", "STEP", "WHAT")]
    in_time = sorted(plan.orders, key=lambda order: (order.at_s, order.step, order.host))
    rows += [
        (
            f"+{seconds(order.at_s)}",
            order.host,
            order.fault.kind,
            seconds(order.hold_s),
            seconds(order.lease_s),
            order.path,
            order.fault.what(),
        )
        for order in in_time
    ]
    return align(rows)


def service_lines(plan: Plan) -> list[str]:
    """Return the services as aligned lines, a header first: what is watched, by whom, for which objective."""
    rows = [("SERVICE", "MEMBERS", "OBJECTIVE", "PROBES", "OBSERVERS")]
    for service in plan.services:
        probes = [probe for probe in plan.probes if probe.service == service.name]
        objective = "-" if service.rto_s is None else f"back in {seconds(service.rto_s)}"
        kinds = dict.fromkeys(probe.spec.kind for probe in probes)
        observers = dict.fromkeys(probe.observer for probe in probes)
        rows.append(
            (service.name, few(service.members), objective, ", ".join(kinds) or "-", few([*observers]))
        )
    return align(rows) if plan.services else []


def halting_lines(plan: Plan) -> list[str]:
    """Return what would halt the run, a line each: checkpoints in time, then stop conditions."""
    checkpoints = [
        f"checkpoint at +{seconds(point.at_s)} ({point.path}): every service ok for {seconds(point.steady_s)}"
        for point in plan.checkpoints
    ]
    return checkpoints + [f"stop condition {stop.name}: {stop_words(stop)}" for stop in plan.stops]


def stop_words(stop: StopCondition) -> str:
    """Return when a stop condition trips, in a few words."""
    match stop:
        case ServiceStop():
            return f"service {stop.service} has failed for {seconds(stop.failing_s)}"
        case ProbeStop():
            return f"its probe has failed for {seconds(stop.failing_s)}"
        case MetricStop():
            way = f"above {stop.above:g}" if stop.above is not None else f"below {stop.below:g}"
            return f"{stop.query} at {stop.url} is {way} for {seconds(stop.for_s)}"
        case WebhookStop():
            return f"{stop.url} does not answer 2xx"


def finding_lines(plan: Plan) -> list[str]:
    """Return the findings as lines, errors first."""
    return [f"{finding.level}: {finding.text}" for finding in plan.findings]


def seconds(value_s: float) -> str:
    """Return seconds the way documents write them."""
    return format_duration(round(value_s * 1000))


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines whose columns stand under each other, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _ending(plan: Plan) -> str:
    if plan.mode is Mode.SEALED:
        return "they are sealed: each ends at its own time, even if the controller is gone."
    lease = seconds(min(order.lease_s for order in plan.orders))
    return f"they are tethered: each ends at most {lease} after the controller is gone."


def _kinds(orders: Iterable[HostOrder]) -> str:
    return few(sorted({order.fault.kind for order in orders}))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
