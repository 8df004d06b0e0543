"""Outcomes, edges and reasons, each from samples written by hand. Times are seconds; T0 is at 100 s."""

from __future__ import annotations

from dataclasses import replace

import pytest
from blackstart_controller.measure import measure
from blackstart_controller.measure.model import (
    Answer,
    Outcome,
)
from blackstart_controller.measure.outages import outages
from blackstart_controller.plan.model import Service
from support.measuring import END, MS, T0, UNTIL, S, every, ns, one, order, plan, sample, series, span

# ---- the five outcomes ------------------------------------------------------------------------------------


def test_no_bad_sample_is_unaffected() -> None:
    recovery = one(series(every()))
    assert (recovery.outcome, recovery.recovery, recovery.met) == (Outcome.UNAFFECTED, None, True)
    assert recovery.availability == 1.0


@pytest.mark.parametrize("period", [0.1, 0.25])
def test_what_is_called_unaffected_says_how_long_an_outage_it_may_have_missed(period: float) -> None:
    for step in range(60):
        down = (100.0 + step * 0.017, 100.0 + step * 0.017 + 0.01 * step)
        recovery = one(series(every([down], period=period)))
        hidden = recovery.outcome is Outcome.UNAFFECTED
        assert hidden or recovery.recovery is not None
        assert not hidden or down[1] - down[0] <= (recovery.unseen_s or 0.0) <= period + 0.005


def test_an_answer_that_took_long_may_have_hidden_an_outage_for_as_long() -> None:
    slow = [
        replace(one, end_ns=one.end_ns + ns(0.15)) if one.start_ns == ns(120.001) else one for one in every()
    ]
    assert one(series(slow)).unseen_s == pytest.approx(0.1 + 0.002 + 0.15)


def test_an_objective_that_is_finer_than_the_probes_is_not_met_by_seeing_nothing() -> None:
    recovery = one(series(every()), rto_s=0.05)
    assert (recovery.outcome, recovery.met) == (Outcome.UNAFFECTED, None)
    assert recovery.reason.endswith("its objective is 0.05 s: ask more often (every)")
    assert one(series(every()), rto_s=1.0).reason == ""


def test_back_while_the_fault_held_is_failed_over_and_timed_from_t0() -> None:
    recovery = one(series(every([(100.05, 104.31)])))
    assert recovery.outcome is Outcome.FAILED_OVER
    assert recovery.recovery is not None
    assert recovery.recovery.low <= 4.31 <= recovery.recovery.high
    assert recovery.recovery.high - recovery.recovery.low < 0.11
    assert (recovery.after_revert, recovery.met, recovery.relapses) == (None, True, 0)


def test_back_only_after_the_fault_came_back_and_is_timed_from_both() -> None:
    recovery = one(series(every([(100.05, 133.4)])))
    assert recovery.outcome is Outcome.CAME_BACK
    assert recovery.recovery is not None and recovery.after_revert is not None
    assert recovery.recovery.low <= 33.4 <= recovery.recovery.high
    assert recovery.after_revert.low <= 3.4 <= recovery.after_revert.high
    assert recovery.met is False


def test_a_service_that_heals_with_the_fault_came_back_even_when_the_kernel_was_a_tick_early() -> None:
    for back in (END - 0.05, END - 0.004, END):
        recovery = one(series(every([(100.05, back)])))
        assert recovery.outcome is Outcome.CAME_BACK
        assert recovery.reason == "it came back within error bars of the fault's end"


def test_a_fault_that_began_to_end_long_before_it_was_proved_gone_is_no_failover() -> None:
    frozen = replace(span(end=END + 3), ending_ns=ns(T0))
    assert one(series(every([(100.05, END)])), spans=[frozen]).outcome is Outcome.CAME_BACK
    assert one(series(every([(100.05, END)])), spans=[span(end=END + 3)]).outcome is Outcome.FAILED_OVER


def test_never_back_is_censored_and_misses_its_objective() -> None:
    recovery = one(series(every([(100.05, 999)])), rto_s=100.0)
    assert recovery.outcome is Outcome.NOT_BACK
    assert recovery.recovery is not None and recovery.recovery.censored
    assert 59.8 <= recovery.recovery.low <= 60.0
    assert recovery.met is False


def test_a_service_that_was_down_when_the_run_was_cut_short_is_unknown_not_missing() -> None:
    watched = series(every([(100.05, 999)]))
    made = plan(watched)
    (recovery,) = measure(made, [span()], [watched], watched_until_ns=ns(END + 0.5))
    assert recovery.outcome is Outcome.UNKNOWN
    assert recovery.reason == "it was down when the run ended, too soon after the fault to tell"
    assert recovery.recovery is not None and recovery.recovery.censored


def test_a_streak_shorter_than_settle_at_the_end_of_the_watch_is_not_back() -> None:
    assert one(series(every([(100.05, 158.5)]))).outcome is Outcome.NOT_BACK
    assert one(series(every([(100.05, 157.5)]))).outcome is Outcome.CAME_BACK


def test_without_usable_samples_nothing_is_known_and_the_reason_is_told() -> None:
    recovery = one(series(every(blind=[(0, 999)])))
    assert recovery.outcome is Outcome.UNKNOWN
    assert recovery.reason == "s/0@o: no usable sample (prober late by 90 ms)"
    assert (recovery.recovery, recovery.met, recovery.availability) == (None, None, None)


def test_an_observer_that_went_silent_while_the_service_was_down_proves_no_never() -> None:
    recovery = one(series(every([(100.05, 999)], until=120.0)))
    assert recovery.outcome is Outcome.UNKNOWN
    assert "it was down when o stopped answering" in recovery.reason
    assert recovery.recovery is not None and recovery.recovery.censored


def test_answers_with_holes_between_them_prove_neither_that_it_is_back_nor_that_it_is_not() -> None:
    """A prober that is starved while the fault holds, and then spoils some of its samples in every second."""
    spoilt = [(100.9, END), *((END + n, END + n + 0.6) for n in range(int(UNTIL - END)))]
    recovery = one(series(every([(100.05, END)], blind=spoilt)))
    assert recovery.outcome is Outcome.UNKNOWN
    assert recovery.reason == "it answered again, but o was blind too often to see whether it stayed"
    assert recovery.recovery is not None and recovery.recovery.censored
    failing = [*((END + n + 0.8, END + n + 0.95) for n in range(int(UNTIL - END)))]
    again = one(series(every([(100.05, END), *failing], blind=spoilt)))
    assert again.outcome is Outcome.NOT_BACK, "bad to the very end is no question of holes"


def test_an_observer_that_went_silent_before_the_end_proves_no_unaffected() -> None:
    recovery = one(series(every(until=120.0)))
    assert recovery.outcome is Outcome.UNKNOWN
    assert recovery.reason == "o said nothing after T0 + 19.9 s"


def test_a_hole_in_which_an_outage_fits_proves_no_unaffected_but_a_second_observer_may() -> None:
    holed = series(every(blind=[(110.0, 113.0)]), observer="a")
    assert one(holed).outcome is Outcome.UNKNOWN
    assert "blind for 3.1 s" in one(holed).reason
    assert one(holed, series(every(), observer="b")).outcome is Outcome.UNAFFECTED


def test_down_before_the_fault_is_unknown() -> None:
    recovery = one(series(every([(97.0, 104.0)])))
    assert (recovery.outcome, recovery.reason) == (Outcome.UNKNOWN, "it was already down before the fault")


def test_an_outage_that_was_over_before_the_fault_does_not_count() -> None:
    assert one(series(every([(95.05, 95.5)]))).outcome is Outcome.UNAFFECTED


def test_nothing_injected_is_unknown() -> None:
    seen = series(every())
    (recovery,) = measure(plan(seen), [], [seen], watched_until_ns=ns(UNTIL))
    assert (recovery.outcome, recovery.reason) == (Outcome.UNKNOWN, "nothing was injected")


# ---- relapses and objectives ------------------------------------------------------------------------------


def test_a_relapse_is_counted_and_the_first_return_is_the_recovery() -> None:
    recovery = one(series(every([(100.05, 103.0), (110.0, 112.0), (120.0, 121.0)])))
    assert (recovery.outcome, recovery.relapses) == (Outcome.FAILED_OVER, 2)
    assert recovery.recovery is not None and recovery.recovery.high < 3.2


def test_an_ok_streak_shorter_than_settle_is_no_return() -> None:
    recovery = one(series(every([(100.05, 103.0), (104.5, 106.0)])))
    assert recovery.relapses == 0
    assert recovery.recovery is not None and recovery.recovery.low <= 6.0 <= recovery.recovery.high


def test_a_relapse_longer_than_the_objective_misses_it() -> None:
    assert one(series(every([(100.05, 103.0), (110.0, 112.0)]))).met is True
    assert one(series(every([(100.05, 103.0), (110.0, 121.0)]))).met is False


def test_a_relapse_that_never_ends_is_not_back() -> None:
    assert one(series(every([(100.05, 103.0), (140.0, 999)]))).outcome is Outcome.NOT_BACK


def test_an_objective_within_the_error_bars_is_not_proved_to_be_met() -> None:
    assert one(series(every([(100.05, 104.31)])), rto_s=4.30).met is False
    assert one(series(every([(100.05, 104.31)])), rto_s=None).met is None


# ---- edges ------------------------------------------------------------------------------------------------


def test_a_hole_at_the_return_widens_the_edge_over_the_whole_hole() -> None:
    recovery = one(series(every([(100.05, 104.0)], blind=[(103.5, 106.0)])))
    assert recovery.recovery is not None
    assert recovery.recovery.low <= 3.5 and recovery.recovery.high >= 6.0


def test_a_slow_answer_that_began_while_up_does_not_move_the_start_behind_the_truth() -> None:
    quick = [sample(95 + k / 10) for k in range(50)]
    slow = sample(99.99, took=0.6)  # began just before the service hung, answered after it was back
    bad = [sample(100 + k / 10, Answer.FAIL, took=0.05) for k in range(4)]
    after = [sample(100.6 + k / 10) for k in range(40)]
    (outage,) = outages(series([*quick, slow, *bad, *after]), settle_ns=2 * S, until_ns=ns(UNTIL))
    assert outage.last_ok_ns == ns(99.9)
    assert outage.first_bad_ns == ns(100.05)


def test_an_answer_that_waited_out_the_outage_does_not_hide_how_late_the_service_was_back() -> None:
    before = [sample(95 + k / 10) for k in range(50)]
    bad = [sample(100 + k / 10, Answer.FAIL, took=1.0) for k in range(10)]  # time out at 101.0 to 101.9
    flicker = [sample(101.0, took=0.001)]  # up for a moment
    waited = [sample(101.1 + k / 10, took=1.5 - k / 10) for k in range(15)]  # all answered at 102.6
    after = [sample(102.7 + k / 10) for k in range(40)]
    (outage,) = outages(
        series([*before, *bad, *flicker, *waited, *after]), settle_ns=2 * S, until_ns=ns(UNTIL)
    )
    assert outage.first_ok_ns == ns(102.6)  # not 101.001: an outage fits between the flicker and 102.6


def test_a_question_that_waited_into_an_outage_makes_no_second_one_of_it() -> None:
    """Asked long before the service went down, it failed only then; what was asked after it was answered."""
    waited = sample(104.0, Answer.FAIL, took=0.9)
    samples = [waited if one.start_ns == ns(104.001) else one for one in every([(104.85, 106.0)])]
    found = outages(series(samples), settle_ns=S // 2, until_ns=ns(UNTIL))
    assert len(found) == 1
    assert (found[0].last_ok_ns or 0) <= ns(104.85) <= found[0].first_bad_ns


def test_the_clock_error_widens_both_edges() -> None:
    exact, vague = every([(100.05, 104.31)]), every([(100.05, 104.31)])
    vague = [replace(s, error_ns=30 * MS) for s in vague]
    tight, wide = one(series(exact)).recovery, one(series(vague)).recovery
    assert tight is not None and wide is not None
    assert wide.low == pytest.approx(tight.low - 0.03) and wide.high == pytest.approx(tight.high + 0.03)


def test_skew_between_hosts_widens_the_recovery() -> None:
    seen = series(every([(100.05, 104.31)]))
    made = plan(seen, orders=[order("h1", name="o-1"), order("h2", name="o-2")])
    spans = [span("h1", 99.98), replace(span("h2", 100.02, order="o-2"), error_ns=5 * MS)]
    (recovery,) = measure(made, spans, [seen], watched_until_ns=ns(UNTIL))
    assert recovery.recovery is not None
    assert recovery.recovery.low <= 104.31 - 100.025 and recovery.recovery.high >= 104.31 - 99.98


# ---- several probes, observers, faults --------------------------------------------------------------------


def test_a_service_is_up_only_when_all_its_probes_are() -> None:
    recovery = one(series(every([(100.05, 104.0)])), series(every([(101.0, 107.0)]), probe=1))
    assert recovery.recovery is not None and recovery.recovery.low <= 7.0 <= recovery.recovery.high
    assert len(recovery.outages) == 1


def test_recovery_counts_for_the_unluckiest_observer_and_who_saw_nothing_is_named() -> None:
    recovery = one(
        series(every([(100.05, 104.0)]), observer="a"),
        series(every([(100.05, 108.0)]), observer="b"),
        series(every(), observer="c"),
        series(every(blind=[(0, 999)]), observer="d"),
    )
    assert recovery.recovery is not None and recovery.recovery.low <= 8.0 <= recovery.recovery.high
    assert {outage.observer for outage in recovery.outages} == {"a", "b"}
    assert "no outage seen by c" in recovery.reason
    assert "d was blind" in recovery.reason


def test_a_missing_series_is_a_blind_observer() -> None:
    here, missing = series(every()), series([], observer="far")
    (recovery,) = measure(plan(here, missing), [span()], [here], watched_until_ns=ns(UNTIL))
    assert recovery.outcome is Outcome.UNAFFECTED
    assert recovery.reason == "far was blind (s/0@far: no sample arrived)"


def test_each_outage_counts_from_the_fault_that_can_have_caused_it() -> None:
    seen = series(every([(110.05, 113.0)]))
    made = plan(seen, orders=[order("h9", name="o-1"), order("h1", at_s=10.0, hold_s=10.0, name="o-2")])
    spans = [span("h9"), span("h1", 110.0, 120.0, order="o-2")]
    (recovery,) = measure(made, spans, [seen], watched_until_ns=ns(UNTIL))
    assert recovery.outcome is Outcome.FAILED_OVER
    assert recovery.recovery is not None and recovery.recovery.low <= 3.0 <= recovery.recovery.high


def test_of_two_faults_within_an_uncertain_start_the_earlier_one_counts() -> None:
    timed_out = [
        sample(100.05 + k / 10, Answer.FAIL, took=1.0) for k in range(40)
    ]  # down from 99.95 to 101.05
    up = [*every(until=100.0), *timed_out, *(sample(104.05 + k / 10) for k in range(500))]
    seen = series(up)
    made = plan(seen, orders=[order("h9", name="o-1"), order("h1", at_s=0.5, name="o-2")])
    spans = [span("h9"), span("h1", 100.5, order="o-2")]
    (recovery,) = measure(made, spans, [seen], watched_until_ns=ns(150))
    assert recovery.recovery is not None
    assert recovery.recovery.low <= 4.0 <= recovery.recovery.high


def test_back_after_the_own_hosts_fault_ended_is_no_failover_though_another_holds() -> None:
    seen = series(every([(100.05, 111.0)]))
    made = plan(seen, orders=[order("h1", hold_s=10.0, name="o-1"), order("h9", hold_s=30.0, name="o-2")])
    spans = [span("h1", end=110.0), span("h9", end=130.0, order="o-2")]
    (recovery,) = measure(made, spans, [seen], watched_until_ns=ns(UNTIL))
    assert recovery.outcome is Outcome.CAME_BACK
    assert recovery.after_revert is not None
    assert recovery.after_revert.low <= 1.0 <= recovery.after_revert.high


def test_an_end_that_nobody_confirmed_decides_only_what_was_before_it_was_planned() -> None:
    early, late = series(every([(100.05, 104.0)])), series(every([(100.05, 135.0)]))
    assert one(early, spans=[span(end=None)]).outcome is Outcome.FAILED_OVER
    unknown = one(late, spans=[span(end=None)])
    assert unknown.outcome is Outcome.UNKNOWN
    assert unknown.recovery is not None and unknown.recovery.low <= 35.0 <= unknown.recovery.high


def test_a_service_waits_for_the_dependency_that_was_last_back_before_it() -> None:
    downs = {"a": [(100.05, 131.0)], "b": [(100.05, 133.0)], "c": [(100.05, 132.0)], "d": [(100.05, 150.0)]}
    seen = [series(every(down), service=name) for name, down in downs.items()]
    services = [
        Service("a", ("h1",)),
        Service("b", ("h1",), depends_on=("c", "d")),
        Service("c", ("h1",), depends_on=("a", "b")),
        Service("d", ("h1",), depends_on=("gone",)),
    ]
    found = measure(plan(*seen, services=services), [span()], seen, watched_until_ns=ns(UNTIL))
    assert {one.service: one.waited_for for one in found} == {"a": None, "b": "c", "c": "a", "d": None}
