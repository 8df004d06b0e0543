"""The way back, always the same: revert, prove it, let the services settle, measure, say what is true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.errors import BlackstartError, Unreachable
from blackstart_controller.measure.verdict import Ending
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.decide import NS
from blackstart_controller.runs.states import CLEAN, RunState

# What an agent says of a fault that it does not have any more.
NOT_OPEN = frozenset({agent_pb2.FAULT_STATE_REVERTED})


async def hosts_revert_themselves(ctx: RunContext) -> None:
    """The planned end has passed: every host has reverted by itself, or is told to until it has."""
    await ctx.enter(RunState.REVERTING)
    if await ctx.log.pulse.until(lambda: not ctx.unreverted(), ctx.settings.self_revert_s):
        return
    await revert_until_gone(ctx, "the planned end has passed")


async def revert_until_gone(ctx: RunContext, reason: str) -> None:
    """Every order that may be on a host is proved gone, or `revert_confirm_s` is over."""
    deadline_ns = ctx.clock.monotonic_ns() + int(ctx.settings.revert_confirm_s * NS)
    while ctx.unreverted():
        await revert_once(ctx, reason)
        left_s = (deadline_ns - ctx.clock.monotonic_ns()) / NS
        if left_s <= 0:
            break
        await ctx.log.pulse.until(lambda: not ctx.unreverted(), min(left_s, ctx.settings.revert_again_s))
    if hosts := ctx.unconfirmed_hosts():
        orders = [facts.order.id for facts in ctx.unreverted()]
        await ctx.log.try_add("unconfirmed", {"hosts": hosts, "orders": orders})


async def revert_once(ctx: RunContext, reason: str) -> None:
    """Each host with an open order was told to revert, and asked what it still has."""
    await asyncio.gather(*(revert_host(ctx, host, reason) for host in ctx.unconfirmed_hosts()))


async def revert_host(ctx: RunContext, host: str, reason: str) -> None:
    order_ids = [facts.order.id for facts in ctx.unreverted() if facts.host == host]
    if not order_ids or not ctx.fleet.connected(host):
        return
    now_ns = ctx.clock.monotonic_ns()
    try:
        async with asyncio.timeout(ctx.settings.revert_again_s):
            told_before = all(order_id in ctx.sent.reverted_ns for order_id in order_ids)
            await ctx.fleet.revert(host, order_ids, reason)
            ctx.sent.reverted_ns.update(dict.fromkeys(order_ids, now_ns))
            if told_before:  # its own event is the better proof: ask only when that does not come
                heard(ctx, host, await ctx.fleet.report_faults(host))
    except (Unreachable, TimeoutError):
        return  # not an answer: it stays open, and is told again


def heard(ctx: RunContext, host: str, open_faults: Sequence[agent_pb2.OpenFault]) -> None:
    """A host has listed its open faults."""
    listed = frozenset(fault.order_id for fault in open_faults if fault.state not in NOT_OPEN)
    ctx.mark_absent(host, listed)


async def settle(ctx: RunContext) -> None:
    """Every service has been back for the plan's `settle_s`, or `watch_s` is over."""
    await ctx.enter(RunState.SETTLING)
    since_ns = ctx.clock.monotonic_ns()
    settle_ns = int(ctx.plan.settle_s * NS)
    await ctx.log.pulse.until(
        lambda: not ctx.samples.not_back(since_ns=since_ns, settle_ns=settle_ns), ctx.plan.watch_s
    )


async def stop_watching(ctx: RunContext) -> None:
    """The probes are stopped, and what they had seen until then has arrived, as far as it can."""
    if not ctx.watching:
        return  # a run that was refused has asked nobody: there is nothing to wait for
    stopped_ns = ctx.clock.monotonic_ns()
    observers = [host for host in sorted(ctx.observers) if ctx.fleet.connected(host)]
    for result in await asyncio.gather(
        *(ctx.fleet.stop_probes(host, ctx.id) for host in observers), return_exceptions=True
    ):
        if isinstance(result, BaseException) and not isinstance(result, BlackstartError):
            raise result
    with contextlib.suppress(Unreachable):
        await ctx.fleet.measure_clocks([host for host in ctx.hosts if ctx.fleet.connected(host)])
    await ctx.log.pulse.until(lambda: not _missing(ctx, stopped_ns), ctx.settings.drain_s)


async def hear_last_words(ctx: RunContext) -> None:
    """What a host still has to tell of faults that it no longer lists has arrived, as far as it can.

    A host that was cut off lists its open faults first and sends what happened meanwhile after it: the list
    proves that they are gone, only the events say when.
    """
    await ctx.log.pulse.until(lambda: not _untold(ctx), ctx.settings.drain_s)


def _untold(ctx: RunContext) -> bool:
    return any(facts.state not in CLEAN and ctx.fleet.connected(facts.host) for facts in ctx.facts.values())


def _missing(ctx: RunContext, stopped_ns: int) -> bool:
    """Whether samples must still be under way from an observer that is there."""
    slowest_ns = max((2 * p.every_ms + p.timeout_ms for p in ctx.plan.probes), default=0) * 1_000_000
    late = ctx.samples.behind(stopped_ns - slowest_ns)
    return any(ctx.fleet.connected(probe.observer) for probe in late)


COMPLETED = Result(Ending.COMPLETED)
