"""Edges contain the truth: random services, slow answers, clocks wrong within their bounds, void samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from blackstart_controller.measure import measure
from blackstart_controller.measure.model import Answer, FaultSpan, Outcome, ProbeSeries, SamplePoint
from blackstart_controller.measure.outages import low, outages, usable
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.model import HostOrder, Mode, Plan, PlannedProbe, Service, TcpProbe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MS = 1_000_000
S = 1_000_000_000
EXAMPLES = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class World:
    """What is really so. Downs are (start, end); an end beyond `until` means: not back."""

    downs: tuple[tuple[int, int], ...]
    until: int
    period: int
    settle: int
    timeout: int
    slowest_ok: int
    clock_error: int
    void_share: float
    hole: tuple[int, int] | None

    def up(self, moment: int) -> bool:
        return not any(start <= moment < end for start, end in self.downs)

    def outages(self, since: int = 0) -> list[tuple[int, int]]:
        """The downs that last beyond `since`, those with less than `settle` of up between them as one."""
        merged: list[tuple[int, int]] = []
        for start, end in (down for down in self.downs if down[1] > since):
            if merged and start - merged[-1][1] < self.settle:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return merged


@st.composite
def worlds(draw: st.DrawFn, *, max_downs: int = 4, holes: bool = True) -> World:
    period = draw(st.sampled_from([20, 50, 100, 250])) * MS
    timeout = draw(st.sampled_from([1, 3, 10])) * period
    settle = draw(st.sampled_from([8, 20, 40])) * period
    clock_error = draw(st.sampled_from([0, 1, 5, 30])) * MS
    slowest_ok = draw(st.sampled_from([0, period // 10, period, min(timeout, 4 * period)]))
    visible = 3 * period + slowest_ok + 2 * clock_error + period
    short_gap = settle - 3 * period - 2 * clock_error
    long_gap = settle + timeout + slowest_ok + 4 * period + 4 * clock_error
    now, downs = long_gap + 5 * period, []
    for _ in range(draw(st.integers(0, max_downs))):
        length = draw(st.integers(visible, visible + 20 * period))
        downs.append((now, now + length))
        short = short_gap > period and draw(st.booleans())
        gap = draw(st.integers(1, short_gap) if short else st.integers(long_gap, 2 * long_gap))
        now += length + gap
    until = now + long_gap
    if downs and draw(st.integers(0, 4)) == 0:
        downs[-1] = (downs[-1][0], until + 100 * S)
    hole = None
    if holes and draw(st.booleans()):
        begin = draw(st.integers(0, until))
        hole = (begin, begin + draw(st.integers(0, 2 * settle)))
    return World(
        downs=tuple(downs),
        until=until,
        period=period,
        settle=settle,
        timeout=timeout,
        slowest_ok=slowest_ok,
        clock_error=clock_error,
        void_share=draw(st.sampled_from([0.0, 0.02, 0.15])),
        hole=hole,
    )


def observe(world: World, seed: int, *, probe_id: str = "s/0@o", observer: str = "o") -> ProbeSeries:
    """What an open-loop prober with a wrong clock would write down."""
    rng = random.Random(seed)
    phase, drift = rng.randrange(world.period), rng.uniform(-1, 1)
    points = []
    for due in range(phase, world.until, world.period):
        start = due + rng.randrange(world.period // 4)
        points.append(_sample(world, rng, start, drift))
    return ProbeSeries(probe_id, "s", observer, world.period, tuple(points), world.timeout)


def _sample(world: World, rng: random.Random, start: int, drift: float) -> SamplePoint:
    wrong = int(world.clock_error * max(-1.0, min(1.0, drift + rng.uniform(-0.2, 0.2))))
    slow = rng.choice([0, world.timeout, rng.randrange(world.timeout)])
    end = start + slow
    ok = world.up(start + rng.randrange(slow + 1))
    if ok:  # answers are not slower than `slowest_ok`; ask again in the shorter time
        end = start + min(slow, world.slowest_ok)
        ok = world.up(start + rng.randrange(end - start + 1))
    hidden = rng.random() < world.void_share or (
        world.hole is not None and world.hole[0] <= start <= world.hole[1]
    )
    answer = Answer.UNKNOWN if hidden else Answer.OK if ok else Answer.FAIL
    return SamplePoint(start + wrong, end + wrong, answer, world.clock_error)


@EXAMPLES
@given(worlds(), st.integers(0, 2**32))
def test_every_reported_outage_has_a_true_one_within_both_its_edges(world: World, seed: int) -> None:
    series = observe(world, seed)
    found = outages(series, settle_ns=world.settle, until_ns=world.until)
    # A prober that was blind from the beginning takes what it sees first for how it was before.
    truth = world.outages(min((low(one) for one in usable(series, world.until)), default=0))
    for outage in found:
        starts = [
            (start, end)
            for start, end in truth
            if (outage.last_ok_ns is None or outage.last_ok_ns <= start) and start <= outage.first_bad_ns
        ]
        assert starts, (outage, truth)
        if outage.first_ok_ns is None:
            assert any(end > outage.last_bad_ns for _, end in truth), (outage, truth)
        else:
            back = outage.first_ok_ns
            assert any(outage.last_bad_ns <= end <= back for _, end in starts), (outage, truth)


@EXAMPLES
@given(worlds(holes=False), st.integers(0, 2**32))
def test_no_visible_outage_is_missed_while_the_prober_is_well(world: World, seed: int) -> None:
    series = observe(replace(world, void_share=0.0), seed)
    found = outages(series, settle_ns=world.settle, until_ns=world.until)
    assert len(found) == len(world.outages())


@EXAMPLES
@given(worlds(holes=False, max_downs=3), st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 50))
def test_the_recovery_interval_contains_the_true_recovery_for_any_number_of_observers(
    world: World, seed: int, observers: int, skew_ms: int
) -> None:
    world = replace(world, void_share=0.0)
    truth = world.outages()
    rng = random.Random(seed)
    t0 = truth[0][0] if truth else world.until // 2
    first, last = t0 - rng.randrange(skew_ms * MS + 1), t0
    end = rng.randrange(t0, world.until)
    wrong = rng.randint(-world.clock_error, world.clock_error)
    spans = [
        FaultSpan("o-1", "h1", "host.blackout", first + wrong, first + wrong, end + wrong, world.clock_error),
        FaultSpan("o-2", "h2", "host.blackout", last, last, end, world.clock_error),
    ]
    names = [f"observer-{n}" for n in range(observers)]
    series = [observe(world, seed + n, probe_id=f"s/0@{name}", observer=name) for n, name in enumerate(names)]
    (recovery,) = measure(plan_of(world, names, end - t0), spans, series, watched_until_ns=world.until)
    if not truth:
        assert recovery.outcome is Outcome.UNAFFECTED
        return
    if truth[-1][1] > world.until:
        cut_short = world.until < end + world.settle + 2 * world.clock_error
        assert recovery.outcome is Outcome.NOT_BACK or (cut_short and recovery.outcome is Outcome.UNKNOWN)
        assert recovery.recovery is not None and recovery.recovery.censored
        assert recovery.recovery.low <= (truth[-1][1] - t0) / S
        return
    assert recovery.outcome in (Outcome.FAILED_OVER, Outcome.CAME_BACK)
    assert recovery.recovery is not None
    assert recovery.relapses == len(truth) - 1
    for true_t0 in (first, last):
        assert recovery.recovery.low <= (truth[0][1] - true_t0) / S <= recovery.recovery.high
    check_side_of_the_fault_end(recovery.outcome, recovery.reason, truth[0][1], end)
    if recovery.after_revert is not None:
        assert recovery.after_revert.low <= max(0, truth[0][1] - end) / S <= recovery.after_revert.high


def check_side_of_the_fault_end(outcome: Outcome, reason: str, back: int, end: int) -> None:
    if "within error bars" not in reason:
        assert (outcome is Outcome.FAILED_OVER) == (back <= end)


def plan_of(world: World, observers: Sequence[str], hold_ns: int) -> Plan:
    orders = [
        HostOrder(f"o-{n}", f"h{n}", 0, HostBlackout(), Mode.TETHERED, 0.0, hold_ns / S, 15.0) for n in (1, 2)
    ]
    probes = [
        PlannedProbe(
            f"s/0@{name}", "s", name, world.period // MS, max(1, world.timeout // MS), TcpProbe("a:1")
        )
        for name in observers
    ]
    return Plan(
        experiment="e",
        description="",
        hypothesis="",
        seed=1,
        mode=Mode.TETHERED,
        baseline_s=1.0,
        settle_s=world.settle / S,
        watch_s=world.settle / S,
        hold_s=hold_ns / S,
        orders=tuple(orders),
        services=(Service("s", ("h1", "h2")),),
        probes=tuple(probes),
    )


@pytest.mark.parametrize("period_ms", [10, 100])
def test_a_long_time_out_does_not_widen_the_moment_of_return(period_ms: int) -> None:
    period = period_ms * MS
    world = World(((10 * S, 15 * S),), 25 * S, period, 2 * S, S, 0, 0, 0.0, None)
    samples = []
    for due in range(0, world.until, period):
        down = not world.up(due)
        samples.append(SamplePoint(due, due + (S if down else 1 * MS), Answer.FAIL if down else Answer.OK))
    (outage,) = outages(
        ProbeSeries("p", "s", "o", period, tuple(samples), S), settle_ns=world.settle, until_ns=world.until
    )
    assert outage.first_ok_ns is not None
    assert outage.first_ok_ns - outage.last_bad_ns <= period + 1 * MS
    assert outage.last_bad_ns <= 15 * S <= outage.first_ok_ns
