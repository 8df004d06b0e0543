"""gate.json: outside tools read it. Fields are only ever added; the shape of those that exist is fixed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from blackstart_controller.gate.cases import cases_of
from blackstart_controller.gate.model import ORDER, WORDS, Attempt, Comparison, Gate, Gated, Span

SCHEMA = 1


def document(gate: Gate) -> dict[str, Any]:
    """The gate as JSON types. A recovery has the form it has in report.json: censored, it has no `high`."""
    return {
        "schema": SCHEMA,
        "exit_code": gate.exit_code,
        "result": WORDS[gate.exit_code],
        "order": list(ORDER),
        "trouble": gate.trouble,
        "files": [_file(gate, one) for one in gate.files],
    }


def text(gate: Gate) -> str:
    return json.dumps(document(gate), ensure_ascii=False, indent=2) + "\n"


def _file(gate: Gate, gated: Gated) -> dict[str, Any]:
    return {
        "file": gated.document.file,
        "experiment": gated.experiment,
        "exit_code": gated.exit_code,
        "result": gated.word,
        "flaky": gated.flaky,
        "skipped": gated.skipped,
        "attempts": [_attempt(gate, gated, one) for one in gated.attempts],
    }


def _attempt(gate: Gate, gated: Gated, attempt: Attempt) -> dict[str, Any]:
    run, report = attempt.run or {}, attempt.report or {}
    return {
        "number": attempt.number,
        "exit_code": attempt.exit_code,
        "run": attempt.run_id or None,
        "verdict": run.get("verdict"),
        "reverted": run.get("reverted"),
        "seed": report.get("seed"),
        "plan_hash": run.get("plan_hash"),
        "reason": attempt.reason or report.get("sentence", ""),
        "services": [
            {key: value for key, value in one.items() if key != "observers"}
            for one in report.get("services", ())
        ],
        "cases": [
            {**asdict(one), "status": str(one.status)}
            for one in cases_of(gated, attempt, fail_on_regression=gate.fail_on_regression)
        ],
        "comparisons": [_comparison(one) for one in attempt.comparisons],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "service": one.service,
        "result": str(one.trend),
        "sentence": one.sentence,
        "runs": one.runs,
        "chance": one.chance,
        "now": _span(one.now),
        "slowest": _span(one.slowest),
    }


def _span(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {"low": span.low_s, "high": span.high_s, "censored": span.high_s is None}
