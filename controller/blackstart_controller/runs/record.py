"""What a finished run leaves behind: the view that every report format is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from blackstart_controller.measure.model import FaultSpan, ProbeSeries, Recovery
from blackstart_controller.measure.verdict import Verdict
from blackstart_controller.report.build import Finished
from blackstart_controller.report.view import EventView, ReportView, Tripped
from blackstart_controller.runs.clock import iso_at
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.decide import NS
from blackstart_controller.store.model import RunEvent

_VIEW: TypeAdapter[ReportView] = TypeAdapter(ReportView)
_DETAILS = ("text", "detail", "reason", "state", "sentence")


@dataclass(frozen=True, slots=True)
class Record:
    """`verdict` as it is now; `if_confirmed` as it will be once every revert is proved."""

    verdict: Verdict
    if_confirmed: Verdict
    recoveries: tuple[Recovery, ...]
    spans: tuple[FaultSpan, ...]
    series: tuple[ProbeSeries, ...]
    until_ns: int
    halted_by: str = ""


def finished_of(ctx: RunContext, record: Record, events: Sequence[RunEvent]) -> Finished:
    """Everything that the report is built of, as it is at this moment."""
    injected = bool(record.spans)
    t0_ns = ctx.t0_ns if ctx.t0_ns is not None else record.until_ns
    return Finished(
        run_id=ctx.id,
        plan=ctx.plan,
        verdict=record.verdict,
        reverted=not ctx.unreverted(),
        recoveries=record.recoveries,
        spans=record.spans,
        series=record.series,
        events=tuple(_event_view(event, t0_ns, ctx.boot_id) for event in events),
        t0_ns=t0_ns,
        t0_iso=_t0_iso(ctx, events) if injected else None,
        watched_until_ns=record.until_ns,
        sites={view.name: view.site for view in ctx.fleet.snapshot().hosts},
        manual=manual_of(events),
        halted_by=record.halted_by,
        tripped=tripped_of(events, ctx.t0_ns, ctx.boot_id),
    )


def view_text(view: ReportView) -> str:
    return _VIEW.dump_json(view).decode()


def view_from(text: str) -> ReportView:
    return _VIEW.validate_json(text)


def corrected(
    view: ReportView, verdict: Verdict, ends_s: Mapping[str, float], events: Sequence[EventView]
) -> ReportView:
    """The view once every revert is proved. `ends_s`: when each order's fault ended, from T0."""
    hosts = tuple(
        replace(span, end_s=ends_s.get(span.order_id, span.end_s)) if span.end_s is None else span
        for span in view.hosts
    )
    return replace(view, reverted=True, verdict=verdict, hosts=hosts, events=tuple(events))


def event_views(ctx: RunContext, events: Sequence[RunEvent]) -> tuple[EventView, ...]:
    """The log as the report shows it; without a T0 the last event is the zero of time."""
    t0_ns = ctx.t0_ns if ctx.t0_ns is not None else max((event.at_ns for event in events), default=0)
    return tuple(_event_view(event, t0_ns, ctx.boot_id) for event in events)


def ends_of(ctx: RunContext) -> dict[str, float]:
    """When each order's fault ended, in seconds from T0, where that is known."""
    if ctx.t0_ns is None:
        return {}
    ends = {order_id: ctx.controller_ns(facts.host, facts.end) for order_id, facts in ctx.facts.items()}
    return {order_id: (end[0] - ctx.t0_ns) / NS for order_id, end in ends.items() if end is not None}


def manual_of(events: Sequence[RunEvent]) -> dict[str, tuple[str, ...]]:
    """The commands that undo each order by hand, as its own agent gave them when it was armed."""
    return {event.order_id: tuple(event.data.get("undo", ())) for event in events if event.type == "resolved"}


def tripped_of(events: Sequence[RunEvent], t0_ns: int | None, boot_id: str) -> dict[tuple[str, str], Tripped]:
    """The stop condition that ended the run, if one did, by kind and name."""
    found = {}
    for event in events:
        if event.type == "stopped":
            timed = t0_ns is not None and event.boot_id == boot_id
            seconds = round((event.at_ns - (t0_ns or 0)) / NS, 3) if timed else None
            found[event.data["kind"], event.data["stop"]] = Tripped(seconds, event.data["reason"])
    return found


def _t0_iso(ctx: RunContext, events: Sequence[RunEvent]) -> str | None:
    told = next((str(event.data["at"]) for event in events if event.type == "t0"), None)
    return told or (None if ctx.t0_ns is None else iso_at(ctx.clock, ctx.t0_ns))


def _event_view(event: RunEvent, t0_ns: int, boot_id: str) -> EventView:
    seconds = round((event.at_ns - t0_ns) / NS, 6) if event.boot_id == boot_id else None
    return EventView(event.at, seconds, event.host, event.type, _detail(event.data))


def _detail(data: Mapping[str, Any]) -> str:
    found = next((str(data[key]) for key in _DETAILS if data.get(key)), "")
    return found or "; ".join(str(reason) for reason in data.get("reasons", ()))
