"""A run's last act: measure, decide the verdict, keep the report, end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from blackstart_controller.measure import measure
from blackstart_controller.measure.model import FaultSpan, ProbeSeries, Recovery
from blackstart_controller.measure.verdict import Ending, decide
from blackstart_controller.report.build import build
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.evidence import fault_spans
from blackstart_controller.runs.record import Record, finished_of, view_text
from blackstart_controller.runs.samples import all_series
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunChange, StoreFailed

log = logging.getLogger(__name__)
RETRY_S = 1.0


async def finish(ctx: RunContext, result: Result) -> None:
    """The run is `ended`, its report is stored. A database that takes no writes is waited for."""
    while ctx.state != RunState.ENDED:
        try:
            await _end(ctx, result)
        except StoreFailed as error:
            log.error("run %s: its end cannot be stored yet: %s", ctx.id, error)
            await asyncio.sleep(RETRY_S)


async def _end(ctx: RunContext, result: Result) -> None:
    """Ended, unless a host's proof arrived meanwhile: then what would be said is not true any more."""
    unconfirmed = ctx.unconfirmed_hosts()
    record = await _record(ctx, result)
    ctx.if_confirmed = record.if_confirmed
    told = finished_of(ctx, record, await ctx.store.events(ctx.id))
    text = await asyncio.to_thread(lambda: view_text(build(told)))
    if ctx.unconfirmed_hosts() != unconfirmed:
        return
    await ctx.store.save_report(ctx.id, text)
    data = _ended_data(ctx, record)
    change = RunChange(
        state=RunState.ENDED,
        verdict=record.verdict.word,
        reverted=data["reverted"],
        exit_code=record.verdict.exit_code,
        ended=iso(ctx.clock.wall()),
        reason=result.why,
    )
    if result.halted_by:
        change["halted_by"] = result.halted_by
    await ctx.log.add("ended", data, change=change)
    ctx.state = RunState.ENDED


async def _record(ctx: RunContext, result: Result) -> Record:
    """Measured beside the event loop: of millions of samples too, and another run is halted at once."""
    spans = fault_spans(ctx)
    batches = await ctx.store.samples(ctx.id)
    series = await asyncio.to_thread(all_series, ctx.plan.probes, batches, ctx.clocks)
    until_ns = _until_ns(ctx, spans, series)
    recoveries, result = await asyncio.to_thread(_measured, ctx, result, spans, series, until_ns)
    confirmed = decide(result.ending, recoveries, reverted=True, why=result.why)
    if result.exit_code is not None:
        confirmed = replace(confirmed, exit_code=result.exit_code)
    verdict = confirmed
    if ctx.unreverted():
        verdict = decide(result.ending, recoveries, reverted=False, why=result.why)
    return Record(verdict, confirmed, recoveries, spans, series, until_ns, result.halted_by)


def _measured(
    ctx: RunContext,
    result: Result,
    spans: Sequence[FaultSpan],
    series: Sequence[ProbeSeries],
    until_ns: int,
) -> tuple[tuple[Recovery, ...], Result]:
    try:
        return measure(ctx.plan, spans, series, watched_until_ns=until_ns), result
    except Exception as error:
        log.exception("run %s could not be measured", ctx.id)
        broken = Result(Ending.ERROR, f"measuring failed: {type(error).__name__}: {error}")
        return measure(ctx.plan, (), (), watched_until_ns=until_ns), broken


def _until_ns(ctx: RunContext, spans: Sequence[FaultSpan], series: Sequence[ProbeSeries]) -> int:
    """The end of the watch, on the timeline of the run's own boot."""
    if ctx.boot_id == ctx.clock.boot_id:
        return ctx.clock.monotonic_ns()
    ends = [one.samples[-1].end_ns for one in series if one.samples]
    return max([*ends, *(span.end_ns or span.last_ns for span in spans)], default=0)


def _ended_data(ctx: RunContext, record: Record) -> dict[str, Any]:
    return {
        "verdict": record.verdict.word,
        "text": record.verdict.sentence,
        "exit_code": record.verdict.exit_code,
        "reverted": "unconfirmed" if ctx.unreverted() else "confirmed",
        "unconfirmed_hosts": ctx.unconfirmed_hosts(),
        "if_confirmed": {
            "sentence": record.if_confirmed.sentence,
            "exit_code": record.if_confirmed.exit_code,
        },
    }
