"""A host is back while a run is alive: its leases are renewed and its probes go on, or its faults end."""

from __future__ import annotations

import asyncio
import contextlib

from blackstart_controller.errors import Unreachable
from blackstart_controller.plan.model import Mode
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.decide import NS
from blackstart_controller.runs.ending import revert_host
from blackstart_controller.runs.facts import OrderFacts, by_host
from blackstart_controller.runs.states import OrderState, RunState

FORWARD = frozenset({RunState.ARMING, RunState.BASELINE, RunState.INJECTING, RunState.HOLDING})
WATCHING = FORWARD | {RunState.REVERTING, RunState.SETTLING} - {RunState.ARMING}
KEPT = frozenset({OrderState.ARMED, OrderState.FIRING, OrderState.INJECTED})
MAX_ARM_LEASE_S = 15.0  # an agent gives an armed order up after its lease, at most so long, without a word


async def rejoin(ctx: RunContext, host: str) -> None:
    """What a new stream of `host` needs now. A stream that is lost again meanwhile comes here again."""
    with contextlib.suppress(Unreachable):
        if ctx.state in FORWARD and not ctx.halt.done():
            await _renew(ctx, host)
        else:
            await revert_host(ctx, host, "the run is over")
        if ctx.state in WATCHING:
            probes = [probe for probe in ctx.plan.probes if probe.observer == host]
            if probes:  # the same ones again change nothing, unless the prober had died
                await ctx.fleet.start_probes(host, ctx.id, probes)


async def keep_armed(ctx: RunContext) -> None:
    """For ever: what is armed and waits for its moment does not expire."""
    lease_s = min(min(facts.order.lease_s, MAX_ARM_LEASE_S) for facts in ctx.facts.values())
    while True:
        await asyncio.sleep(lease_s / 3)
        for host, facts in by_host(ctx.facts.values()).items():
            armed = [one for one in facts if one.state == OrderState.ARMED]
            if armed and ctx.fleet.connected(host):
                with contextlib.suppress(Unreachable):
                    await _renew_orders(ctx, host, armed)


async def _renew(ctx: RunContext, host: str) -> None:
    """Its agent has shortened every lease to the grace when the stream was lost."""
    now_ns = ctx.clock.monotonic_ns()
    held = [
        facts
        for facts in ctx.facts.values()
        if facts.host == host and facts.state in KEPT and not _hold_over(ctx, facts, now_ns)
    ]
    await _renew_orders(ctx, host, held)


async def _renew_orders(ctx: RunContext, host: str, held: list[OrderFacts]) -> None:
    for lease_ms in sorted({int(facts.order.lease_s * 1000) for facts in held if _renewable(facts)}):
        ids = [
            facts.order.id
            for facts in held
            if _renewable(facts) and int(facts.order.lease_s * 1000) == lease_ms
        ]
        await ctx.fleet.renew(host, ids, lease_ms)


def _renewable(facts: OrderFacts) -> bool:
    return facts.order.mode == Mode.TETHERED or facts.state == OrderState.ARMED


def _hold_over(ctx: RunContext, facts: OrderFacts, now_ns: int) -> bool:
    end_s = facts.order.at_s + facts.order.hold_s
    return ctx.t0_ns is not None and now_ns >= ctx.t0_ns + int(end_s * NS)
