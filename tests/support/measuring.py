"""Samples, spans and plans written by hand, for tests of measuring. Times are seconds; T0 is at 100 s."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from blackstart_controller.measure import measure
from blackstart_controller.measure.model import (
    Answer,
    FaultSpan,
    ProbeSeries,
    Recovery,
    SamplePoint,
)
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.model import HostOrder, Mode, Plan, PlannedProbe, Service, TcpProbe

S = 1_000_000_000
MS = 1_000_000
T0, END, UNTIL = 100.0, 130.0, 160.0


def ns(seconds: float) -> int:
    return round(seconds * S)


def sample(
    start: float, answer: Answer = Answer.OK, took: float = 0.002, error_ms: float = 0.0
) -> SamplePoint:
    return SamplePoint(ns(start), ns(start + took), answer, ns(error_ms / 1000))


def every(
    downs: Iterable[tuple[float, float]] = (),
    *,
    blind: Iterable[tuple[float, float]] = (),
    until: float = UNTIL,
    period: float = 0.1,
) -> list[SamplePoint]:
    """A sample every `period` from 95 s: refused while down, void while blind."""
    found = []
    for k in range(round((until - 95.0) / period)):
        start = 95.0 + k * period + 0.001
        answer = Answer.FAIL if any(a <= start < b for a, b in downs) else Answer.OK
        if any(a <= start < b for a, b in blind):
            answer = Answer.UNKNOWN
        found.append(
            replace(sample(start, answer), detail="prober late by 90 ms" * (answer is Answer.UNKNOWN))
        )
    return found


def series(
    samples: Sequence[SamplePoint], service: str = "s", observer: str = "o", probe: int = 0
) -> ProbeSeries:
    return ProbeSeries(f"{service}/{probe}@{observer}", service, observer, 100 * MS, tuple(samples), 1 * S)


def span(host: str = "h1", first: float = T0, end: float | None = END, order: str = "o-1") -> FaultSpan:
    return FaultSpan(order, host, "host.blackout", ns(first), ns(first), None if end is None else ns(end), 0)


def order(host: str = "h1", at_s: float = 0.0, hold_s: float = 30.0, name: str = "o-1") -> HostOrder:
    return HostOrder(name, host, 0, HostBlackout(), Mode.TETHERED, at_s, hold_s, 15.0)


def plan(
    *all_series: ProbeSeries, services: Sequence[Service] = (), orders: Sequence[HostOrder] = ()
) -> Plan:
    probes = [
        PlannedProbe(one.probe_id, one.service, one.observer, 100, 1000, TcpProbe("a:1"))
        for one in all_series
    ]
    return Plan(
        experiment="e",
        description="",
        hypothesis="",
        seed=1,
        mode=Mode.TETHERED,
        baseline_s=3.0,
        settle_s=2.0,
        watch_s=30.0,
        hold_s=30.0,
        orders=tuple(orders) or (order(),),
        services=tuple(services) or (Service("s", ("h1",), rto_s=10.0),),
        probes=tuple(probes),
    )


def one(*all_series: ProbeSeries, spans: Sequence[FaultSpan] = (), rto_s: float | None = 10.0) -> Recovery:
    made = plan(*all_series, services=[Service("s", ("h1",), rto_s=rto_s)])
    (recovery,) = measure(made, spans or [span()], all_series, watched_until_ns=ns(UNTIL))
    return recovery
