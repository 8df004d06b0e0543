"""Facts of orders as the measuring wants them: spans and skew on the controller's timeline."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart_controller.measure.model import FaultSpan
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.facts import OrderFacts

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Skew:
    """From the first to the last host's t0 of one planned moment; right to ± `error_ms`."""

    skew_ms: float
    error_ms: float
    hosts: int


def fault_spans(ctx: RunContext) -> tuple[FaultSpan, ...]:
    """Every order that was injected and can be placed in time."""
    spans = (_span(ctx, facts) for facts in ctx.facts.values())
    return tuple(span for span in spans if span is not None)


def _span(ctx: RunContext, facts: OrderFacts) -> FaultSpan | None:
    first, last = ctx.controller_ns(facts.host, facts.first), ctx.controller_ns(facts.host, facts.last)
    if first is None or last is None:
        return None
    end = ctx.controller_ns(facts.host, facts.end)
    errors = [error for _ns, error in (first, last, end or last)]
    return FaultSpan(
        order_id=facts.order.id,
        host=facts.host,
        kind=facts.order.fault.kind,
        first_ns=first[0],
        last_ns=last[0],
        end_ns=None if end is None else end[0],
        error_ns=max(errors),
    )


def skew(ctx: RunContext, spans: tuple[FaultSpan, ...]) -> Skew | None:
    """Of the faults that were planned for the earliest moment; None when none of them was placed in time."""
    earliest_s = min((order.at_s for order in ctx.plan.orders), default=0.0)
    first_wave = {order.id for order in ctx.plan.orders if order.at_s == earliest_s}
    moments = [(span.last_ns, span.error_ns) for span in spans if span.order_id in first_wave]
    if not moments:
        return None
    earliest, latest = min(moments), max(moments)
    alone = len(moments) == 1
    return Skew(
        skew_ms=(latest[0] - earliest[0]) / NS_PER_MS,
        error_ms=0.0 if alone else (latest[1] + earliest[1]) / NS_PER_MS,
        hosts=len({span.host for span in spans if span.order_id in first_wave}),
    )
