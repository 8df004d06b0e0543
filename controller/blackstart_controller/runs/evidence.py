"""Facts of orders as the measuring wants them: spans on the controller's timeline."""

from __future__ import annotations

from blackstart_controller.measure.model import FaultSpan
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.facts import OrderFacts


def fault_spans(ctx: RunContext) -> tuple[FaultSpan, ...]:
    """Every order that was injected and can be placed in time."""
    spans = (_span(ctx, facts) for facts in ctx.facts.values())
    return tuple(span for span in spans if span is not None)


def _span(ctx: RunContext, facts: OrderFacts) -> FaultSpan | None:
    first, last = ctx.controller_ns(facts.host, facts.first), ctx.controller_ns(facts.host, facts.last)
    if first is None or last is None:
        return None
    end = ctx.controller_ns(facts.host, facts.end)
    # A guardian that died said nothing when its faults began to end: they may have, at any moment since.
    ending = ctx.controller_ns(facts.host, facts.ending) or last
    errors = [error for _ns, error in (first, last, ending, end or last)]
    return FaultSpan(
        order_id=facts.order.id,
        host=facts.host,
        kind=facts.order.fault.kind,
        first_ns=first[0],
        last_ns=last[0],
        end_ns=None if end is None else end[0],
        error_ns=max(errors),
        ending_ns=ending[0],
    )
