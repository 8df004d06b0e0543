"""A run at this moment, as plain JSON types, for people who watch it."""

from __future__ import annotations

from typing import Any

from blackstart_controller.plan.model import Mode
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.decide import NS
from blackstart_controller.runs.facts import OrderFacts
from blackstart_controller.runs.states import OrderState
from blackstart_controller.runs.watchers import standings_now


def live_state(ctx: RunContext) -> dict[str, Any]:
    """`now_s` is counted from T0: negative before, None until T0 has been set."""
    return {
        "phase": str(ctx.state),
        "now_s": None if ctx.t0_ns is None else round((ctx.clock.monotonic_ns() - ctx.t0_ns) / NS, 3),
        "hold_s": ctx.plan.hold_s,
        "orders": orders_state(ctx),
        "services": ctx.samples.up(),
        "stops": [
            {
                "name": one.stop.name,
                "kind": one.stop.kind,
                "reading": one.tripped or one.reading,
                "tripped": bool(one.tripped),
            }
            for one in standings_now(ctx)
        ],
        "checkpoints": [
            {"path": point.path, "at_s": point.at_s, "steady_s": point.steady_s, "met": point in ctx.met}
            for point in ctx.plan.checkpoints
        ],
        "unconfirmed_hosts": ctx.unconfirmed_hosts(),
    }


def orders_state(ctx: RunContext) -> list[dict[str, Any]]:
    """Each is due `at_s` after T0 and ends `hold_s` later; `path` says where in the document it stands.

    `lease_left_s`: when its host would end it without a further word from here; None unless it is in effect.
    """
    return [
        {
            "id": one.order.id,
            "host": one.host,
            "kind": one.order.fault.kind,
            "state": str(one.state),
            "gone": one.gone,
            "at_s": one.order.at_s,
            "hold_s": one.order.hold_s,
            "path": one.order.path,
            "lease_left_s": lease_left_s(ctx, one),
        }
        for one in ctx.facts.values()
    ]


def lease_left_s(ctx: RunContext, one: OrderFacts) -> float | None:
    since_ns = ctx.sent.renewed_ns.get(one.order.id, one.fire_at_ns)
    if one.order.mode is Mode.SEALED or one.state != OrderState.INJECTED or since_ns is None:
        return None
    return round(one.order.lease_s - (ctx.clock.monotonic_ns() - since_ns) / NS, 1)
