"""What a gate decides: one exit code, what is slower than before, JUnit, Markdown and annotations."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from blackstart_controller.gate import markdown
from blackstart_controller.gate.annotate import workflow_commands
from blackstart_controller.gate.cases import Case, Status, cases_of
from blackstart_controller.gate.document import document
from blackstart_controller.gate.history import FEWEST, compare
from blackstart_controller.gate.junit import junit
from blackstart_controller.gate.model import ORDER, Attempt, Gate, Gated, Trend, worst
from blackstart_controller.gate.places import Places
from blackstart_controller.spec.document import Document
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

TEXT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: host=a, for: 1s}
  - sequence:
      - {fault: process.kill, on: host=b, name: x, for: 1s}
services:
  - name: other
    probes: []
  - name: web
    probes: []
stop:
  - service: {name: web, failing_for: 20s}
"""


def service(
    low: float | None = 1.0, high: float | None = 1.2, *, name: str = "web", **more: Any
) -> dict[str, Any]:
    """A service of report.json; `high` None: censored."""
    censored = low is not None and high is None
    recovery = {"seconds": None if high is None else low, "low": low, "high": high, "censored": censored}
    objective = {"rto_s": 5.0, "rpo_s": None}
    usual = {"outcome": "came back", "met": True, "objective": objective, "after_revert": None, "reason": ""}
    return {"name": name, "recovery": recovery, **usual, **more}


def report(*services: dict[str, Any], **more: Any) -> dict[str, Any]:
    faults = [
        {"host": "a", "kind": "host.blackout", "path": "steps[0]", "first_s": 0.0},
        {"host": "b", "kind": "process.kill", "path": "steps[1].sequence[0]", "first_s": 0.0},
    ]
    injection = {"t0": "2026-11-23T12:00:00Z", "faults": faults}
    found = services or (service(),)
    usual = {"verdict": "pass", "sentence": "It held.", "hypothesis": "", "events": [], "undo": [], "seed": 3}
    return {"services": list(found), "injection": injection, **usual, **more}


def run(**more: Any) -> dict[str, Any]:
    return {"id": "run-1", "verdict": "pass", "reverted": "confirmed", "plan_hash": "ab", **more}


def gated(*attempts: Attempt) -> Gated:
    return Gated(Document(TEXT, "dark.yaml"), "dark", attempts)


def passed(number: int = 1) -> Attempt:
    return Attempt(number, 0, run(), report())


def missed(number: int = 1) -> Attempt:
    slow = service(6.0, 6.2, met=False)
    found = report(slow, verdict="fail", sentence="web missed its objective.")
    return Attempt(number, 1, run(verdict="fail"), found)


# ---- one exit code ----


def test_5_beats_every_other_code_and_what_was_not_tested_beats_a_miss() -> None:
    assert all(worst([5, other]) == 5 for other in ORDER)
    assert all(worst([1, other]) == other for other in (130, 4, 6, 7, 2, 3))
    assert worst([]) == 0
    assert worst([0, 99]) == 6  # not ours: our trouble


@given(st.lists(st.sampled_from(ORDER), min_size=1))
def test_the_order_of_the_files_does_not_matter_and_only_all_passed_is_0(codes: list[int]) -> None:
    assert worst(codes) == worst(reversed(codes)) == worst(set(codes))
    assert worst(codes) in codes
    assert (worst(codes) == 0) == (set(codes) == {0})


def test_a_retry_that_passes_hides_nothing() -> None:
    flaky = gated(missed(1), passed(2))
    assert (flaky.exit_code, flaky.flaky, flaky.word) == (1, True, "flaky, missed")
    assert Gate((flaky,)).exit_code == 1
    shown = document(Gate((flaky,)))["files"][0]
    assert [one["exit_code"] for one in shown["attempts"]] == [1, 0]
    suites = [suite.name for suite in JUnitXml.fromstring(junit(Gate((flaky,))))]
    assert suites == ["dark (attempt 1)", "dark (attempt 2)"]


# ---- compared with earlier runs ----


def earlier(*spans: tuple[float | None, float | None]) -> list[dict[str, Any]]:
    return [report(service(low, high)) for low, high in spans]


SIX = ((1.0, 1.2), (1.1, 1.3), (0.9, 1.1), (1.0, 1.1), (1.2, 1.5), (1.0, 1.2))


@pytest.mark.parametrize(
    ("now", "before", "trend"),
    [
        ((1.9, 2.1), SIX, Trend.REGRESSION),  # above 1.5 s by more than 20 %
        ((1.7, 2.1), SIX, Trend.NO_REGRESSION),  # its low end is within the margin
        ((9.0, 9.9), SIX[: FEWEST - 1], Trend.NO_VERDICT),
        ((9.0, 9.9), (), Trend.NO_VERDICT),
        ((60.0, None), SIX, Trend.REGRESSION),  # censored: longer than 60 s is longer than 1.5 s
        ((1.6, None), SIX, Trend.NO_REGRESSION),  # it may be longer, and nobody knows
        ((90.0, 91.0), (*SIX, (60.0, None)), Trend.NO_VERDICT),  # an earlier one has no upper end
        ((None, None), SIX, Trend.NO_VERDICT),
    ],
)
def test_a_regression_is_only_what_the_intervals_prove(
    now: tuple[float | None, float | None], before: Any, trend: Trend
) -> None:
    (found,) = compare(report(service(*now)), earlier(*before), margin=0.2)
    assert found.trend is trend, found.text


def test_the_chance_of_a_false_alarm_is_told_and_only_where_it_is_known() -> None:
    slow = service(9.0, 9.9)
    (found,) = compare(report(slow), earlier(*SIX), margin=0.2)
    assert found.chance == pytest.approx(1 / 7)
    assert found.text.endswith("by chance at most once in 7 times")
    (found,) = compare(report(slow, verdict="fail"), earlier(*SIX), margin=0.2)
    assert (found.trend, found.chance) == (Trend.REGRESSION, None)


def test_of_all_orders_in_which_the_same_runs_can_come_one_in_n_is_called_a_regression() -> None:
    """The exact test: recoveries that nothing distinguishes, in every order, and no margin."""
    spans = [(float(low), low + 0.1) for low in range(1, FEWEST + 2)]
    orders = list(itertools.permutations(spans))
    alarms = 0
    for *before, now in orders:
        (found,) = compare(report(service(*now)), earlier(*before), margin=0.0)
        alarms += found.trend is Trend.REGRESSION
    assert alarms / len(orders) == pytest.approx(1 / (FEWEST + 1))


def test_a_service_that_was_never_affected_and_now_goes_down_is_slower() -> None:
    calm = [report(service(0.0, 0.11, outcome="unaffected")) for _ in range(FEWEST)]
    (found,) = compare(report(service(0.4, 0.5)), calm, margin=0.2)
    assert found.trend is Trend.REGRESSION


def test_a_regression_warns_and_fails_only_when_asked_to() -> None:
    attempt = replace(passed(), comparisons=compare(report(service(3.0, 3.1)), earlier(*SIX), margin=0.2))
    assert Gate((gated(attempt),)).exit_code == 0
    assert Gate((gated(attempt),), fail_on_regression=True).exit_code == 1
    assert [line.split()[0] for line in workflow_commands(Gate((gated(attempt),)))] == ["::warning"]
    failing = Gate((gated(attempt),), fail_on_regression=True)
    assert [line.split()[0] for line in workflow_commands(failing)] == ["::error"]


# ---- cases ----


def statuses(attempt: Attempt) -> dict[str, Status]:
    return {case.name: case.status for case in cases_of(gated(attempt), attempt)}


def test_a_run_that_was_not_steady_found_something_and_skipped_the_rest() -> None:
    quiet = report(verdict="not_steady", injection={"t0": None, "faults": []})
    found = statuses(Attempt(1, 3, run(verdict="not_steady"), quiet))
    assert found["steady before"] is Status.FAILED
    assert found["web recovers within 5 s"] is Status.SKIPPED
    assert found["revert confirmed"] is Status.PASSED


@pytest.mark.parametrize(("by", "status"), [("stop condition web", Status.FAILED), ("ann", Status.ERROR)])
def test_a_tripped_stop_condition_is_a_finding_and_a_halt_by_a_person_is_not(by: str, status: Status) -> None:
    halted = Attempt(1, 4, run(verdict="halted", halted_by=by), report(verdict="halted"))
    found = statuses(halted)
    assert found["ran to its end"] is status
    assert (found["stop condition web"] is Status.FAILED) == (status is Status.FAILED)


def test_a_revert_without_proof_is_an_error_with_the_commands_that_undo_it() -> None:
    undo = [{"host": "a", "order": "1", "commands": ["nft delete table x"]}]
    attempt = Attempt(1, 5, run(reverted="unconfirmed"), report(undo=undo))
    (case,) = [one for one in cases_of(gated(attempt), attempt) if one.name == "revert confirmed"]
    assert case.status is Status.ERROR
    assert "a: nft delete table x" in case.text


def test_a_run_whose_end_is_unknown_is_all_error() -> None:
    found = statuses(Attempt(1, 5, {"id": "run-1"}, None, "the controller has gone"))
    assert (found["ran to its end"], found["revert confirmed"]) == (Status.ERROR, Status.ERROR)


def test_the_hosts_own_refusal_stands_at_its_fault() -> None:
    faults = [{"host": "a", "kind": "host.blackout", "path": "steps[0]", "first_s": None}]
    events = [{"what": "refused", "host": "a", "detail": "policy: not allowed"}]
    quiet = report(verdict="error", injection={"t0": None, "faults": faults}, events=events)
    attempt = Attempt(1, 7, run(verdict="error"), quiet)
    (case,) = [one for one in cases_of(gated(attempt), attempt) if one.name == "host.blackout on a"]
    assert (case.status, case.text, case.position.line) == (Status.ERROR, "policy: not allowed", 3)


def test_places_are_those_of_the_document() -> None:
    places = Places.of(Document(TEXT, "dark.yaml"))
    assert places.service("web").line == 9
    assert places.step("steps[1].sequence[0]").line == 5
    assert [(name, at.line) for name, at in places.stops()] == [("web", 12)]
    assert str(Places.of(Document("{", "broken.yaml")).service("web")) == "1:1"


def test_an_invalid_document_has_a_case_for_each_of_its_lines() -> None:
    reason = "dark.yaml:3:5: steps: wrong\ndark.yaml:9:1: services: wrong too"
    cases = cases_of(gated(), Attempt(1, 2, reason=reason))
    assert [(str(case.position), case.status) for case in cases] == [
        ("3:5", Status.ERROR),
        ("9:1", Status.ERROR),
    ]


# ---- written down ----


def test_nothing_that_a_report_says_can_break_xml_or_markdown_or_a_workflow() -> None:
    evil = "a\x00\x1b[31m]]>&<b>|`x`\n::error::owned % \ud800"
    bad = report(service(met=False, reason=evil, name=evil), sentence=evil, hypothesis=evil)
    gate = Gate((gated(Attempt(1, 1, run(verdict="fail"), bad)),), trouble=evil, trouble_code=6)
    ET.fromstring(junit(gate))
    text = markdown.text(gate)
    assert "<b>" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
    for line in workflow_commands(gate):
        assert line.startswith("::error ")
        assert len(line.splitlines()) == 1


def test_an_annotation_names_file_line_and_case() -> None:
    (line, *_) = workflow_commands(Gate((gated(missed()),)))
    assert line.startswith(
        "::error file=dark.yaml,line=9,col=5,title=dark%3A web recovers within 5 s::came back"
    )


def test_what_is_not_run_is_skipped_and_fails_nothing() -> None:
    gate = Gate((gated(passed()), replace(gated(), skipped="not run: a.yaml ended with exit code 4")))
    assert gate.exit_code == 0
    assert [suite.skipped for suite in JUnitXml.fromstring(junit(gate))] == [0, 1]
    assert "not run" in markdown.text(gate) or "skipped" in markdown.text(gate)


def test_the_json_has_its_schema_and_every_case() -> None:
    shown = document(Gate((gated(missed()),)))
    assert (shown["schema"], shown["exit_code"], shown["result"]) == (1, 1, "missed")
    (attempt,) = shown["files"][0]["attempts"]
    assert {"name", "status", "text", "position", "seconds", "warning"} == set(attempt["cases"][0])
    assert Case("x", Status.PASSED).warning is False
