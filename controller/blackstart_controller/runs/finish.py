"""A run's last act: measure, decide the verdict, keep the report, end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from blackstart_controller.measure import measure
from blackstart_controller.measure.model import FaultSpan, ProbeSeries
from blackstart_controller.measure.verdict import decide
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.evidence import fault_spans
from blackstart_controller.runs.record import Record, view_of, view_text
from blackstart_controller.runs.samples import all_series
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunChange, StoreFailed


async def finish(ctx: RunContext, result: Result) -> None:
    """The run is `ended`, its report is stored."""
    record = await _record(ctx, result)
    ctx.if_confirmed = record.if_confirmed
    reverted = not ctx.unreverted()
    await ctx.log.try_add("verdict", _verdict_data(ctx, record))
    await _keep_report(ctx, record)
    ctx.state = RunState.ENDED
    change = RunChange(
        state=RunState.ENDED,
        verdict=record.verdict.word,
        reverted="confirmed" if reverted else "unconfirmed",
        exit_code=record.verdict.exit_code,
        ended=iso(ctx.clock.wall()),
        reason=result.why,
    )
    if result.halted_by:
        change["halted_by"] = result.halted_by
    await ctx.log.try_add("ended", {"sentence": record.verdict.sentence}, change=change)


async def _record(ctx: RunContext, result: Result) -> Record:
    spans = fault_spans(ctx)
    series = all_series(ctx.plan.probes, await ctx.store.samples(ctx.id), ctx.clocks)
    until_ns = _until_ns(ctx, spans, series)
    recoveries = measure(ctx.plan, spans, series, watched_until_ns=until_ns)
    confirmed = decide(result.ending, recoveries, reverted=True, why=result.why)
    if result.exit_code is not None:
        confirmed = replace(confirmed, exit_code=result.exit_code)
    verdict = confirmed
    if ctx.unreverted():
        verdict = decide(result.ending, recoveries, reverted=False, why=result.why)
    return Record(verdict, confirmed, recoveries, spans, series, until_ns)


def _until_ns(ctx: RunContext, spans: Sequence[FaultSpan], series: Sequence[ProbeSeries]) -> int:
    """The end of the watch, on the timeline of the run's own boot."""
    if ctx.boot_id == ctx.clock.boot_id:
        return ctx.clock.monotonic_ns()
    ends = [one.samples[-1].end_ns for one in series if one.samples]
    return max([*ends, *(span.end_ns or span.last_ns for span in spans)], default=0)


def _verdict_data(ctx: RunContext, record: Record) -> dict[str, Any]:
    return {
        "verdict": record.verdict.word,
        "sentence": record.verdict.sentence,
        "exit_code": record.verdict.exit_code,
        "reverted": "unconfirmed" if ctx.unreverted() else "confirmed",
        "unconfirmed_hosts": ctx.unconfirmed_hosts(),
        "if_confirmed": {
            "sentence": record.if_confirmed.sentence,
            "exit_code": record.if_confirmed.exit_code,
        },
    }


async def _keep_report(ctx: RunContext, record: Record) -> None:
    try:
        view = view_of(ctx, record, await ctx.store.events(ctx.id))
        await ctx.store.save_report(ctx.id, view_text(view))
    except StoreFailed as error:
        ctx.log.lost = str(error)
