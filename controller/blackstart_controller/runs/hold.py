"""Inject at T0 and hold: send what `decide` says is due, until the holds are over or something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from blackstart_controller.errors import Unreachable
from blackstart_controller.measure.verdict import Ending
from blackstart_controller.runs import decide
from blackstart_controller.runs.background import Spawn, background
from blackstart_controller.runs.checkpoints import unmet
from blackstart_controller.runs.clock import iso_at
from blackstart_controller.runs.context import Halt, Result, RunContext, Stop
from blackstart_controller.runs.decide import NS, World
from blackstart_controller.runs.prepare import arm_late
from blackstart_controller.runs.states import RANK, OrderState, RunState

NS_PER_MS = 1_000_000


async def inject_and_hold(ctx: RunContext) -> None:
    """Every fault was injected at its moment and held; else Stop. On return the holds are over."""
    await _check_clocks(ctx)
    ctx.t0_ns = ctx.clock.monotonic_ns() + int(ctx.settings.lead_s * NS)
    await ctx.enter(RunState.INJECTING)
    await ctx.log.add("t0", {"t0_ns": ctx.t0_ns, "at": iso_at(ctx.clock, ctx.t0_ns)})
    async with background() as spawn:
        spawn(_measure_clocks(ctx))
        await _hold(ctx, spawn)


async def _check_clocks(ctx: RunContext) -> None:
    """Measure right before T0; the drift since an older measurement would widen the error."""
    estimates = await ctx.fleet.measure_clocks(ctx.hosts)
    wrong = []
    for host in sorted(ctx.targets):
        if host not in estimates:
            wrong.append(f"{host}: its clock could not be measured")
        elif estimates[host].error_ns > ctx.plan.max_skew_ms * NS_PER_MS:
            error_ms = estimates[host].error_ns / NS_PER_MS
            limit = f"limits.max_skew is {ctx.plan.max_skew_ms:g} ms"
            wrong.append(f"{host}: its clock is known to ± {error_ms:.1f} ms only, {limit}")
    if wrong:
        raise Stop(Result(Ending.ERROR, "; ".join(wrong)))


async def _measure_clocks(ctx: RunContext) -> None:
    while True:
        await asyncio.sleep(ctx.settings.clocks_every_s)
        with contextlib.suppress(Unreachable):
            await ctx.fleet.measure_clocks([host for host in ctx.hosts if ctx.fleet.connected(host)])


async def _hold(ctx: RunContext, spawn: Spawn) -> None:
    while True:
        world = world_of(ctx)
        if (found := decide.abort(world)) is not None:
            raise Stop(_result_of(found))
        await _judge_checkpoints(ctx, world)
        for action in decide.actions(world_of(ctx)):
            await _record(ctx, action)
            spawn(_send(ctx, action))  # one slow host must not delay another's lease
        if ctx.state == RunState.INJECTING and decide.all_confirmed(world):
            await ctx.enter(RunState.HOLDING)
        if ctx.state == RunState.HOLDING and decide.holds_over(world):
            return
        world = world_of(ctx)
        await ctx.log.pulse.wait((decide.next_ns(world) - world.now_ns) / NS)


async def _judge_checkpoints(ctx: RunContext, world: World) -> None:
    """Every checkpoint whose verdict is due is met; else Stop, and what comes after it is never sent."""
    for point in decide.to_judge(world):
        why = unmet(point, ctx.samples.sights(), now_ns=world.now_ns, t0_ns=world.t0_ns)
        if why:
            raise Stop(halted(Halt("blackstart", why)))
        await ctx.log.add("checkpoint", {"path": point.path, "text": f"{point.path} is met"})
        ctx.met.add(point)


def world_of(ctx: RunContext) -> World:
    assert ctx.t0_ns is not None
    return World(
        facts=tuple(ctx.facts.values()),
        t0_ns=ctx.t0_ns,
        now_ns=ctx.clock.monotonic_ns(),
        connected=ctx.fleet.connected,
        renewed_ns=ctx.sent.renewed_ns,
        reverted_ns=ctx.sent.reverted_ns,
        settings=ctx.settings,
        arm_at_s=ctx.arm_at_s,
        unmet=[point for point in ctx.plan.checkpoints if point not in ctx.met],
    )


def _result_of(found: decide.Abort) -> Result:
    ending = Ending.HALTED if found.halted else Ending.ERROR
    return Result(ending, found.reason, halted_by="blackstart" if found.halted else "")


async def _record(ctx: RunContext, action: decide.Action) -> None:
    """Intent first: after a crash right here the order counts as sent, and is reverted."""
    now_ns = ctx.clock.monotonic_ns()
    match action:
        case decide.Arm(host, order_ids):
            arming = [ctx.facts[order_id].advanced(OrderState.ARMING) for order_id in order_ids]
            await ctx.advance(arming, "arming", {"host": host, "orders": list(order_ids)})
        case decide.Inject(host, order_ids, at_ns):
            firing = [
                replace(ctx.facts[order_id].advanced(OrderState.FIRING), fire_at_ns=at_ns)
                for order_id in order_ids
            ]
            await ctx.advance(firing, "injecting", {"host": host, "orders": list(order_ids), "at_ns": at_ns})
        case decide.Renew():
            ctx.sent.renewed_ns.update(dict.fromkeys(action.order_ids, now_ns))
        case decide.Revert():
            ctx.sent.reverted_ns.update(dict.fromkeys(action.order_ids, now_ns))


async def _send(ctx: RunContext, action: decide.Action) -> None:
    try:
        async with asyncio.timeout(ctx.settings.call_s):
            match action:
                case decide.Arm(_host, order_ids):
                    for order_id in order_ids:
                        await arm_late(ctx, order_id)
                case decide.Inject(host, order_ids, at_ns):
                    await ctx.fleet.inject(host, order_ids, at_ns)
                case decide.Renew(host, order_ids, lease_ms):
                    await ctx.fleet.renew(host, order_ids, lease_ms)
                case decide.Revert(host, order_ids):
                    await ctx.fleet.revert(host, order_ids, "the planned end has passed")
    except (Unreachable, TimeoutError) as error:
        _unanswered(ctx, action, str(error) or "no answer")
        # A renewal or revert that does not arrive is sent again; the lease is what ends the fault meanwhile.


def _unanswered(ctx: RunContext, action: decide.Action, why: str) -> None:
    """Unknown whether it arrived, so everything is reverted; unless the host has told it by an event."""
    match action:
        case decide.Arm(_host, order_ids):
            wanted = OrderState.ARMED
        case decide.Inject(_host, order_ids, _at_ns):
            wanted = OrderState.INJECTED
        case _:
            return
    for order_id in order_ids:
        facts = ctx.facts[order_id]
        if RANK[facts.state] < RANK[wanted]:
            ctx.facts[order_id] = replace(facts, failed=why)
    ctx.log.pulse.beat()


def halted(halt: Halt) -> Result:
    return Result(Ending.HALTED, halt.reason, halted_by=halt.by)
