"""Workflow commands of GitHub Actions: an annotation on the line of the document that says what failed."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_controller.gate.cases import Case, Status, cases_of
from blackstart_controller.gate.model import Gate, Gated

TITLE = "blackstart gate"


def workflow_commands(gate: Gate) -> Iterator[str]:
    """`::error file=…,line=…` lines: failures and errors, and warnings for what is flaky or slower."""
    for gated in gate.files:
        if gated.skipped:
            continue
        for attempt in gated.attempts:
            for case in cases_of(gated, attempt, fail_on_regression=gate.fail_on_regression):
                if case.status in (Status.FAILED, Status.ERROR) or case.warning:
                    yield _annotation(gated, case)
        if gated.flaky:
            yield _annotation(gated, Case("flaky", Status.PASSED, _flaky(gated), warning=True))
    if gate.trouble:
        yield f"::error title={_property(TITLE)}::{_data(gate.trouble)}"


def _annotation(gated: Gated, case: Case) -> str:
    level = "warning" if case.warning else "error"
    place = f"file={_property(gated.document.file)},line={case.position.line},col={case.position.column}"
    title = _property(f"{gated.experiment}: {case.name}")
    return f"::{level} {place},title={title}::{_data(case.text or case.name)}"


def _flaky(gated: Gated) -> str:
    codes = ", ".join(str(attempt.exit_code) for attempt in gated.attempts)
    return f"{len(gated.attempts)} attempts ended with the exit codes {codes}; the worst counts"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
