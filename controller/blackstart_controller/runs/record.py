"""What a finished run leaves behind: everything a report is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blackstart_controller.measure.model import FaultSpan, Interval, ProbeSeries, Recovery
from blackstart_controller.measure.verdict import Verdict
from blackstart_controller.runs.clock import iso_at
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.evidence import skew
from blackstart_controller.store.model import RunEvent

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Record:
    result: Result
    verdict: Verdict
    exit_code: int
    recoveries: tuple[Recovery, ...]
    spans: tuple[FaultSpan, ...]
    series: tuple[ProbeSeries, ...]
    until_ns: int


def report_of(ctx: RunContext, record: Record, events: Sequence[RunEvent]) -> dict[str, Any]:
    """The run as report.json tells it."""
    return {
        "schema": SCHEMA,
        "run": ctx.id,
        "experiment": ctx.plan.experiment,
        "seed": ctx.plan.seed,
        "verdict": record.verdict.word,
        "reverted": "unconfirmed" if ctx.unreverted() else "confirmed",
        "unconfirmed_hosts": ctx.unconfirmed_hosts(),
        "exit_code": record.exit_code,
        "reason": record.result.why,
        "injection": _injection(ctx, record),
        "services": [_service(one) for one in record.recoveries],
        "events": [dataclasses.asdict(event) for event in events],
    }


def _injection(ctx: RunContext, record: Record) -> dict[str, Any]:
    found = skew(ctx, record.spans)
    return {
        "t0": None if ctx.t0_ns is None else iso_at(ctx.clock, ctx.t0_ns),
        "skew_ms": None if found is None else found.skew_ms,
        "skew_error_ms": None if found is None else found.error_ms,
        "hosts": sorted({span.host for span in record.spans}),
    }


def _service(one: Recovery) -> dict[str, Any]:
    return {
        "name": one.service,
        "outcome": one.outcome,
        "recovery": _interval(one.recovery),
        "after_revert": _interval(one.after_revert),
        "objective": {"rto_s": one.objective.rto_s, "rpo_s": one.objective.rpo_s},
        "met": one.met,
        "lost_writes": one.lost_writes,
        "availability": one.availability,
        "relapses": one.relapses,
        "waited_for": one.waited_for,
        "reason": one.reason,
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else dataclasses.asdict(interval)
