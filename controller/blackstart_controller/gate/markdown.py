"""What a pull request or a step summary shows: the result first, then what is wrong, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_controller.gate.cases import Status, cases_of
from blackstart_controller.gate.model import WORDS, Attempt, Gate, Gated, Trend
from blackstart_controller.report.format import format_interval, format_met, format_seconds
from blackstart_controller.report.markdown import code, safe

MARKS = {0: "✅", 1: "❌", 5: "🚨"}
OTHER = "⚠️"


def text(gate: Gate) -> str:
    """GitHub's Markdown. Every text from outside is escaped."""
    result = f"{MARKS.get(gate.exit_code, OTHER)} blackstart gate: {WORDS[gate.exit_code]}"
    lines = [f"## {result} (exit code {gate.exit_code})", ""]
    if gate.trouble:
        lines += [safe(gate.trouble), ""]
    lines += ["| experiment | result | runs | file |", "|---|---|---|---|", *map(_row, gate.files), ""]
    for gated in gate.files:
        for attempt in gated.attempts:
            lines += _attempt(gate, gated, attempt)
    return "\n".join(lines)


def _row(gated: Gated) -> str:
    runs = ", ".join(f"`{code(one.run_id)}`" for one in gated.attempts if one.run_id) or "–"
    result = f"{MARKS.get(gated.exit_code, OTHER)} {gated.word}" if gated.attempts else f"– {gated.word}"
    return f"| {safe(gated.experiment)} | {result} | {runs} | `{code(gated.document.file)}` |"


def _attempt(gate: Gate, gated: Gated, attempt: Attempt) -> Iterator[str]:
    again = f", attempt {attempt.number}" if len(gated.attempts) > 1 else ""
    yield f"### {safe(gated.experiment)}{again}: {WORDS.get(attempt.exit_code, str(attempt.exit_code))}"
    yield ""
    report = attempt.report or {}
    yield safe(str(attempt.reason or report.get("sentence", "")))
    yield ""
    yield from _problems(gate, gated, attempt)
    yield from _services(attempt)
    yield from _trends(attempt)


def _problems(gate: Gate, gated: Gated, attempt: Attempt) -> Iterator[str]:
    cases = cases_of(gated, attempt, fail_on_regression=gate.fail_on_regression)
    wrong = [one for one in cases if one.status in (Status.FAILED, Status.ERROR)]
    for case in wrong:
        yield f"- **{safe(case.name)}**: {safe(case.text)} (`{code(gated.document.file)}:{case.position}`)"
    if wrong:
        yield ""


def _services(attempt: Attempt) -> Iterator[str]:
    services = (attempt.report or {}).get("services", ())
    if not services:
        return
    yield "| service | outcome | recovery | after revert | objective | met |"
    yield "|---|---|---|---|---|---|"
    for one in services:
        cells = (
            safe(one["name"]),
            one["outcome"],
            format_interval(one["recovery"]),
            format_interval(one["after_revert"]),
            format_seconds(one["objective"]["rto_s"]),
            format_met(one["met"]),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _trends(attempt: Attempt) -> Iterator[str]:
    for one in attempt.comparisons:
        mark = "⚠️ " if one.trend is Trend.REGRESSION else ""
        yield f"- {mark}{safe(one.service)}: {safe(one.text)}"
    if attempt.comparisons:
        yield ""
