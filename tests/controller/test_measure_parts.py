"""Steady state, verdict, clocks: the parts of measuring, each from samples written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from blackstart_controller.measure.model import (
    Answer,
    Interval,
    Mapping,
    Outcome,
    Recovery,
    SamplePoint,
)
from blackstart_controller.measure.steady import unsteady
from blackstart_controller.measure.timeline import HostSample, mapping_at, point, points, probe_series
from blackstart_controller.measure.verdict import Ending, decide
from blackstart_controller.plan.model import PlannedProbe, TcpProbe
from support.measuring import MS, S, every, ns, one, plan, series

# ---- steady state -----------------------------------------------------------------------------------------


def check_steady(samples: Sequence[SamplePoint]) -> tuple[str, ...]:
    seen = series(samples)
    return unsteady(plan(seen).probes, [seen], from_ns=ns(97), until_ns=ns(100))


def test_a_steady_state_is_seen_up_without_a_hole() -> None:
    assert check_steady(every()) == ()
    assert check_steady(every(until=99.2)) == ()  # the last second may still be under way


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (every([(98.0, 98.15)]), "s seen from o (s/0@o): 2 of 30 samples failed, last: no reason given"),
        (every(blind=[(0, 999)]), "s seen from o (s/0@o): no usable sample, last: prober late by 90 ms"),
        (every(blind=[(97.5, 98.5)]), "not watched for 1.1 s; at most 0.5 s may be missed"),
        (every(until=98.0), "not watched for 1.1 s"),
        (every()[30:], "not watched for 1.0 s"),
        ([], "no usable sample"),
    ],
)
def test_what_is_not_steady_has_its_reason(samples: Sequence[SamplePoint], reason: str) -> None:
    (text,) = check_steady(samples)
    assert reason in text


def test_a_probe_without_a_series_is_not_steady() -> None:
    assert unsteady(plan(series([])).probes, [], from_ns=0, until_ns=S) == (
        "s seen from o (s/0@o): no sample arrived",
    )


# ---- verdict ----------------------------------------------------------------------------------------------


def recovered(outcome: Outcome, *, met: bool | None, rto_s: float | None = 10.0) -> Recovery:
    made = one(series(every()), rto_s=rto_s)
    return replace(made, outcome=outcome, met=met)


FINE = recovered(Outcome.FAILED_OVER, met=True)


@pytest.mark.parametrize(
    ("recoveries", "code", "text"),
    [
        (
            [FINE],
            0,
            "The hypothesis held: 1 of 1 objectives met; 1 failed over while the fault held.",
        ),
        ([FINE, recovered(Outcome.CAME_BACK, met=False)], 1, "s missed its objective"),
        ([FINE, recovered(Outcome.NOT_BACK, met=None, rto_s=None)], 1, "s is not back"),
        ([FINE, recovered(Outcome.UNKNOWN, met=None)], 1, "s could not be judged"),
        ([FINE, recovered(Outcome.UNKNOWN, met=None, rto_s=None)], 0, "held"),
        ([recovered(Outcome.UNKNOWN, met=None)], 6, "Nothing could be measured"),
        ([], 0, "no objective was set"),
    ],
)
def test_a_completed_run_is_judged_by_its_services(
    recoveries: Sequence[Recovery], code: int, text: str
) -> None:
    verdict = decide(Ending.COMPLETED, recoveries, reverted=True)
    assert verdict.exit_code == code
    assert text in verdict.sentence


@pytest.mark.parametrize(
    ("ending", "code"),
    [(Ending.COMPLETED, 0), (Ending.NOT_STEADY, 3), (Ending.HALTED, 4), (Ending.ERROR, 6)],
)
def test_an_unconfirmed_revert_beats_every_other_ending(ending: Ending, code: int) -> None:
    assert decide(ending, [FINE], reverted=True, why="because").exit_code == code
    beaten = decide(ending, [FINE], reverted=False, why="because")
    assert beaten.exit_code == 5
    assert beaten.sentence.startswith("Not every fault is confirmed to be reverted. ")


# ---- clocks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    boot_id: str
    offset_ns: int
    error_ns: int
    at_ns: int


READINGS = [Reading("b1", 1000 * S, 100_000, 1100 * S), Reading("b1", 1000 * S + 50_000, 200_000, 1200 * S)]


def test_the_reading_with_the_smallest_error_at_that_moment_counts() -> None:
    assert mapping_at(READINGS, "b1", 100 * S) == Mapping(1000 * S, 100_000)
    assert mapping_at(READINGS, "b1", 101 * S) == Mapping(1000 * S, 150_000)  # 50 ppm of a second more
    late = mapping_at(READINGS, "b1", 199 * S)
    assert late is not None and late.offset_ns == 1000 * S + 50_000


def test_a_sample_of_another_boot_cannot_be_placed() -> None:
    told = HostSample(100 * S, 100 * S, 100 * S + 5 * MS, Answer.OK)
    assert points([told], READINGS, "b2") == ()
    (placed,) = points([told], READINGS, "b1")
    assert (placed.start_ns, placed.end_ns) == (1100 * S, 1100 * S + 5 * MS)
    assert placed.error_ns == 100_000 + 250


def test_a_sample_later_than_half_its_period_is_void_whatever_it_says() -> None:
    probe = PlannedProbe("s/0@o", "s", "o", 100, 1000, TcpProbe("a:1"))
    mapping = Mapping(0, 0)
    samples = [
        point(HostSample(due * S, due * S + lag * MS, due * S + 90 * MS, Answer.FAIL), mapping)
        for due, lag in ((3, 0), (1, 50), (2, 51))
    ]
    made = probe_series(probe, samples)
    assert [s.answer for s in made.samples] == [Answer.FAIL, Answer.UNKNOWN, Answer.FAIL]
    assert made.samples[1].detail == "prober late by 51 ms"
    assert (made.period_ns, made.timeout_ns) == (100 * MS, S)


def test_a_censored_interval_is_never_a_number_to_average() -> None:
    recovery = one(series(every([(100.05, 999)])))
    assert isinstance(recovery.recovery, Interval)
    assert recovery.recovery.censored and recovery.recovery.low == recovery.recovery.high
