"""A finished run, measured from invented samples: the largest of three sites goes dark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from blackstart_controller.measure import measure
from blackstart_controller.measure.model import Answer, FaultSpan, ProbeSeries, SamplePoint
from blackstart_controller.measure.verdict import Ending, decide
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.model import Finding, HostOrder, Mode, Plan, PlannedProbe, RedisProbe, Service
from blackstart_controller.report.build import Finished, build
from blackstart_controller.report.view import EventView, ReportView

S = 1_000_000_000
MS = 1_000_000
T0 = 1_000 * S
UNTIL = T0 + 45 * S
SITES = {"m1": "pangyo", "m2": "busan", "m3": "seoul", "l1": "pangyo", "p1": "pangyo", "w1": "busan"}
HIT = ("m1", "l1", "p1")

# service -> when it is down, in seconds after T0
DOWNS: dict[str, Sequence[tuple[float, float]]] = {
    "messenger": [(0.004, 4.313), (12.0, 12.9)],
    "news": [(0.004, 2.871)],
    "login": [(0.004, 31.442)],
    "payments": [(0.004, 32.918)],
    "search": [(0.004, 100.0)],
    "mail": [],
}


def probe_of(service: str, observer: str, every_ms: int = 100) -> PlannedProbe:
    spec = RedisProbe(("m1:26379",), sentinel_master=service, write=True)
    return PlannedProbe(f"{service}/0@{observer}", service, observer, every_ms, 1000, spec)


def series_of(probe: PlannedProbe, downs: Sequence[tuple[float, float]], seed: int) -> ProbeSeries:
    """Samples with small answers' times, time-outs while down, and a few that the prober spoilt."""
    rng = random.Random(seed)
    period = probe.every_ms * MS
    points = []
    for due in range(T0 - 5 * S + rng.randrange(period), UNTIL, period):
        start = due + rng.randrange(2 * MS)
        down = any(T0 + a * S <= start < T0 + b * S for a, b in downs)
        answer = Answer.UNKNOWN if rng.random() < 0.005 else Answer.FAIL if down else Answer.OK
        took = S if down else rng.randrange(1 * MS, 6 * MS)
        points.append(SamplePoint(start, start + took, answer, error_ns=200_000, lag_ns=start - due))
    return ProbeSeries(probe.id, probe.service, probe.observer, period, tuple(points), S)


def plan(names: Sequence[str] = tuple(DOWNS)) -> Plan:
    services = {
        "messenger": Service("messenger", ("m1", "m2", "m3"), rto_s=10.0, rpo_s=0.0),
        "news": Service("news", ("m1", "m2", "m3"), rto_s=10.0),
        "login": Service("login", ("l1",), rto_s=30.0),
        "payments": Service("payments", ("p1",), depends_on=("login",), rto_s=60.0),
        "search": Service("search", ("p1",), depends_on=("login",)),
        "mail": Service("mail", ("w1",), rto_s=10.0),
    }
    return Plan(
        experiment="pangyo-goes-dark",
        description="The largest site loses power for thirty seconds.",
        hypothesis="Messenger and news fail over; nobody notices for longer than ten seconds.",
        seed=7,
        mode=Mode.TETHERED,
        baseline_s=3.0,
        settle_s=2.0,
        watch_s=15.0,
        hold_s=30.0,
        orders=tuple(
            HostOrder(f"o-{n}", host, 0, HostBlackout(), Mode.TETHERED, 0.0, 30.0, 15.0)
            for n, host in enumerate(HIT)
        ),
        services=tuple(services[name] for name in names),
        probes=tuple(probe_of(name, observer) for name in names for observer in ("m2", "m3")),
        findings=(Finding("warning", "payments lives in one site only"),),
        tags=("site", "rehearsal"),
        owner="sre@example.com",
    )


def spans() -> tuple[FaultSpan, ...]:
    return tuple(
        FaultSpan(
            f"o-{n}",
            host,
            "host.blackout",
            T0 + n * 300_000,
            T0 + (n + 4) * 300_000,
            T0 + 30 * S + n * 2 * MS,
            120_000,
        )
        for n, host in enumerate(HIT)
    )


def finished(names: Sequence[str] = tuple(DOWNS), *, reverted: bool = True) -> Finished:
    made = plan(names)
    series = tuple(series_of(probe, DOWNS[probe.service], n) for n, probe in enumerate(made.probes))
    held = spans() if reverted else (replace(spans()[0], end_ns=None), *spans()[1:])
    recoveries = measure(made, held, series, watched_until_ns=UNTIL)
    return Finished(
        run_id="r-20261123-1930-7f3a",
        plan=made,
        verdict=decide(Ending.COMPLETED, recoveries, reverted=reverted),
        reverted=reverted,
        recoveries=recoveries,
        spans=held,
        series=series,
        events=(
            EventView("2026-11-23T19:30:02Z", -6.2, "", "armed", "3 orders on 3 hosts"),
            EventView("2026-11-23T19:30:08Z", 0.0, "m1", "injected", "host.blackout"),
            EventView("2026-11-23T19:30:38Z", 30.004, "m1", "reverted", "expired"),
        ),
        t0_ns=T0,
        t0_iso="2026-11-23T19:30:08.214Z",
        watched_until_ns=UNTIL,
        sites=SITES,
        manual={"o-0": ("nft delete table netdev blackstart_o0", "sv up /run/service/redis")},
    )


def sample_view(*, reverted: bool = True) -> ReportView:
    return build(finished(reverted=reverted))
