"""A run's last act: measure, decide the verdict, keep the report, end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from blackstart_controller.measure import measure
from blackstart_controller.measure.model import FaultSpan, ProbeSeries, Recovery
from blackstart_controller.measure.verdict import EXIT_UNREVERTED, Verdict, decide
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.evidence import fault_spans
from blackstart_controller.runs.record import Record, report_of
from blackstart_controller.runs.samples import all_series
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunChange, StoreFailed


async def finish(ctx: RunContext, result: Result) -> None:
    """The run is `ended`, its report is stored."""
    until_ns = ctx.clock.monotonic_ns()
    spans = fault_spans(ctx) if ctx.measurable else ()
    series = await _series(ctx) if ctx.measurable else ()
    recoveries = _measure(ctx, spans, series, until_ns)
    reverted = not ctx.unreverted()
    verdict = decide(result.ending, recoveries, reverted=reverted, why=result.why)
    ctx.exit_code = exit_code_of(result, decide(result.ending, recoveries, reverted=True, why=result.why))
    exit_code = ctx.exit_code if reverted else EXIT_UNREVERTED
    record = Record(result, verdict, exit_code, tuple(recoveries), tuple(spans), tuple(series), until_ns)
    await _keep_report(ctx, record)
    ctx.state = RunState.ENDED
    change = RunChange(
        state=RunState.ENDED,
        verdict=verdict.word,
        reverted="confirmed" if reverted else "unconfirmed",
        exit_code=exit_code,
        ended=iso(ctx.clock.wall()),
        reason=result.why,
    )
    if result.halted_by:
        change["halted_by"] = result.halted_by
    await ctx.log.try_add("ended", ended_data(ctx, verdict, exit_code), change=change)


def exit_code_of(result: Result, verdict: Verdict) -> int:
    """The result's own code where it has one."""
    return verdict.exit_code if result.exit_code is None else result.exit_code


def ended_data(ctx: RunContext, verdict: Verdict, exit_code: int) -> dict[str, Any]:
    return {
        "verdict": verdict.word,
        "sentence": verdict.sentence,
        "exit_code": exit_code,
        "reverted": "unconfirmed" if ctx.unreverted() else "confirmed",
        "unconfirmed_hosts": ctx.unconfirmed_hosts(),
    }


async def _series(ctx: RunContext) -> Sequence[ProbeSeries]:
    return all_series(ctx.plan.probes, await ctx.store.samples(ctx.id), ctx.clocks)


def _measure(
    ctx: RunContext, spans: Sequence[FaultSpan], series: Sequence[ProbeSeries], until_ns: int
) -> Sequence[Recovery]:
    if not spans:
        return measure(ctx.plan, (), (), watched_until_ns=until_ns)
    return measure(ctx.plan, spans, series, watched_until_ns=until_ns)


async def _keep_report(ctx: RunContext, record: Record) -> None:
    try:
        events = await ctx.store.events(ctx.id)
        await ctx.store.save_report(ctx.id, json.dumps(report_of(ctx, record, events), ensure_ascii=False))
    except StoreFailed as error:
        ctx.log.lost = str(error)
