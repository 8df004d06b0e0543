"""JUnit: a suite per run, a case per thing that was tested; what CI systems show of a stage."""

from __future__ import annotations

import re

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from blackstart_controller.gate.cases import Case, Status, cases_of
from blackstart_controller.gate.model import Attempt, Gate, Gated
from blackstart_controller.spec.document import Document

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(gate: Gate) -> bytes:
    """The gate as JUnit XML, UTF-8. Characters that XML cannot hold become U+FFFD."""
    xml = JUnitXml("blackstart gate")
    for gated in gate.files:
        for attempt in gated.attempts:
            xml.add_testsuite(_suite(gate, gated, attempt))
        if not gated.attempts:
            xml.add_testsuite(_not_run(gated))
    if gate.trouble:
        xml.add_testsuite(_trouble(gate))
    return b"<?xml version='1.0' encoding='utf-8'?>\n" + bytes(xml.tostring())  # type: ignore[no-untyped-call]


def _suite(gate: Gate, gated: Gated, attempt: Attempt) -> TestSuite:
    again = f" (attempt {attempt.number})" if len(gated.attempts) > 1 else ""
    suite = TestSuite(_clean(gated.experiment + again))
    run, report = attempt.run or {}, attempt.report or {}
    found = {
        "file": gated.document.file,
        "attempt": attempt.number,
        "exit_code": attempt.exit_code,
        "run": attempt.run_id,
        "seed": report.get("seed", ""),
        "plan_hash": run.get("plan_hash") or "",
        "verdict": run.get("verdict") or "",
        "reverted": run.get("reverted") or "",
        "flaky": "true" if gated.flaky else "false",
    }
    for name, value in found.items():
        suite.add_property(name, _clean(str(value)))
    for case in cases_of(gated, attempt, fail_on_regression=gate.fail_on_regression):
        suite.add_testcase(_case(gated, case, skipped=gated.skipped))
    return suite


def _case(gated: Gated, case: Case, *, skipped: str = "") -> TestCase:
    made = TestCase(_clean(case.name), classname=_clean(gated.experiment), time=case.seconds)
    text = _clean(case.text)
    kinds = {Status.FAILED: Failure, Status.ERROR: Error, Status.SKIPPED: Skipped}
    kind = Skipped if skipped else kinds.get(case.status)
    if kind is not None:
        result = kind((text.splitlines() or [""])[0], str(case.status))
        result.text = f"{_clean(gated.document.file)}:{case.position}: {text}"
        made.result = [result]
    elif text:
        made.system_out = f"warning: {text}" if case.warning else text
    return made


def _not_run(gated: Gated) -> TestSuite:
    suite = TestSuite(_clean(gated.experiment))
    suite.add_property("file", _clean(gated.document.file))
    suite.add_testcase(_case(gated, Case("the run starts", Status.SKIPPED, gated.skipped or "not run")))
    return suite


def _trouble(gate: Gate) -> TestSuite:
    suite = TestSuite("blackstart gate")
    stage = Gated(Document("", "gate"), "blackstart gate")
    suite.add_testcase(_case(stage, Case("the stage runs", Status.ERROR, gate.trouble)))
    return suite


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
