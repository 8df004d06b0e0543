"""The phases before anything is broken: resolve, arm, watch, wait for a steady state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from blackstart_proto.v1 import faults_pb2

from blackstart_controller.errors import BlackstartError, Unreachable
from blackstart_controller.measure.steady import unsteady
from blackstart_controller.measure.verdict import Ending
from blackstart_controller.plan.model import HostOrder, PlannedProbe
from blackstart_controller.runs.context import REFUSED_EXIT, Result, RunContext, Stop
from blackstart_controller.runs.decide import NS
from blackstart_controller.runs.states import OrderState, RunState
from blackstart_controller.runs.watchers import against_beginning

Ask = Callable[[str, HostOrder], Awaitable[faults_pb2.Resolution]]
UNREACHABLE_EXIT = 6
LOOK_S = 0.1


async def arm_all(ctx: RunContext) -> None:
    """Every target is armed; else Stop lists every reason of every host, and nothing was injected."""
    await ctx.enter(RunState.ARMING)
    # Late ones too. It touches nothing: one host's refusal costs the others nothing.
    await _all_agree(ctx, ctx.fleet.resolve, list(ctx.facts))
    early = [order_id for order_id in ctx.facts if order_id not in ctx.arm_at_s]
    count: dict[str, object] = {"orders": len(early), "late": len(ctx.arm_at_s)}
    await _advance(ctx, early, OrderState.ARMING, "arming", count)
    await _all_agree(ctx, ctx.fleet.arm, early)
    await _advance(ctx, early, OrderState.ARMED, "armed_all", count)


async def _advance(
    ctx: RunContext, order_ids: Iterable[str], state: OrderState, kind: str, data: dict[str, object]
) -> None:
    await ctx.advance([ctx.facts[order_id].advanced(state) for order_id in order_ids], kind, data)


async def arm_late(ctx: RunContext, order_id: str) -> None:
    """The order is armed while the run goes on, or its facts say why its host refused. Raises Unreachable."""
    order = ctx.facts[order_id].order
    resolution = await ctx.fleet.arm(ctx.id, order)
    if resolution.refusals:
        await _refused(ctx, order, resolution)
    else:
        await _advance(ctx, [order_id], OrderState.ARMED, "armed_late", {"host": order.host})


async def start_watching(ctx: RunContext) -> None:
    """Every probe has answered at least once, whatever the answer."""
    ctx.watching = True
    await ctx.fleet.measure_clocks(ctx.hosts)  # samples of a host whose clock is unknown cannot be placed
    await _each(
        ctx,
        _probes_of(ctx.plan.probes).items(),
        lambda item: ctx.fleet.start_probes(item[0], ctx.id, item[1]),
    )
    if not await ctx.log.pulse.until(lambda: not ctx.samples.silent(), ctx.settings.first_sample_s):
        silent = ", ".join(ctx.samples.silent())
        why = f"no sample within {ctx.settings.first_sample_s:g} s from {silent}; see the agents' logs there"
        raise Stop(Result(Ending.ERROR, why, UNREACHABLE_EXIT))


async def steady_state(ctx: RunContext) -> None:
    """The steady state has held for the plan's baseline; else Stop says who was not steady."""
    await ctx.enter(RunState.BASELINE)
    await start_watching(ctx)
    baseline_ns = int(ctx.plan.baseline_s * NS)
    started_ns = ctx.clock.monotonic_ns()
    deadline_ns = started_ns + baseline_ns + int(ctx.settings.baseline_grace_s * NS)
    await asyncio.sleep(baseline_ns / NS)
    told: frozenset[str] = frozenset()
    while reasons := _not_steady(ctx, baseline_ns):
        now_ns = ctx.clock.monotonic_ns()
        if now_ns >= deadline_ns:
            raise Stop(Result(Ending.NOT_STEADY, "; ".join(reasons)))
        # What is counted in a reason changes with every sample: who is named in it does not.
        if (named := frozenset(reason.partition(": ")[0] for reason in reasons)) != told:
            await ctx.log.add("not_steady_yet", {"reasons": reasons})
            told = named
        await asyncio.sleep(min(LOOK_S, (deadline_ns - now_ns) / NS))


def _not_steady(ctx: RunContext, baseline_ns: int) -> list[str]:
    now_ns = ctx.clock.monotonic_ns()
    from_ns = now_ns - baseline_ns
    wrong = unsteady(ctx.plan.probes, ctx.samples.series(), from_ns=from_ns, until_ns=now_ns)
    return [*wrong, *against_beginning(ctx)]


async def _all_agree(ctx: RunContext, ask: Ask, order_ids: Iterable[str]) -> None:
    answers = await asyncio.gather(*(_ask(ctx, ask, ctx.facts[order_id].order) for order_id in order_ids))
    refusals = [answer for answer in answers if answer is not None]
    if refusals:
        why = "; ".join(text for text, _code in refusals)
        raise Stop(Result(Ending.ERROR, why, max(code for _text, code in refusals)))


async def _ask(ctx: RunContext, ask: Ask, order: HostOrder) -> tuple[str, int] | None:
    """None when the host agreed, else why not and the exit code."""
    try:
        async with asyncio.timeout(ctx.settings.call_s):
            resolution = await ask(ctx.id, order)
    except (Unreachable, TimeoutError) as error:
        text = str(error) or f"no answer in {ctx.settings.call_s:g} s"
        text = text if order.host in text else f"{order.host}: {text}"
        await ctx.log.add("unreachable", {"reason": text}, host=order.host, order_id=order.id)
        return text, UNREACHABLE_EXIT
    if resolution.refusals:
        await _refused(ctx, order, resolution)
        return f"{order.host}: {'; '.join(resolution.refusals)}", REFUSED_EXIT
    await ctx.log.add("resolved", resolution_data(resolution), host=order.host, order_id=order.id)
    return None


async def _refused(ctx: RunContext, order: HostOrder, resolution: faults_pb2.Resolution) -> None:
    facts = replace(ctx.facts[order.id].advanced(OrderState.REFUSED), failed="; ".join(resolution.refusals))
    ctx.facts[order.id] = facts
    ctx.log.pulse.beat()
    await ctx.log.add(
        "refused",
        {"reasons": list(resolution.refusals)},
        host=order.host,
        order_id=order.id,
        order_states={order.id: facts.state},
    )


def resolution_data(resolution: faults_pb2.Resolution) -> dict[str, object]:
    hits = [{"what": hit.what, "target": hit.target, "effect": hit.effect} for hit in resolution.hits]
    return {"hits": hits, "refusals": list(resolution.refusals), "undo": list(resolution.undo)}


def _probes_of(probes: Iterable[PlannedProbe]) -> dict[str, list[PlannedProbe]]:
    observers: dict[str, list[PlannedProbe]] = {}
    for probe in probes:
        observers.setdefault(probe.observer, []).append(probe)
    return observers


async def _each(
    ctx: RunContext,
    items: Iterable[tuple[str, list[PlannedProbe]]],
    call: Callable[[tuple[str, list[PlannedProbe]]], Awaitable[None]],
) -> None:
    results = await asyncio.gather(*(call(item) for item in items), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        if not isinstance(failure, BlackstartError):
            raise failure
    if failures:
        raise Stop(Result(Ending.ERROR, "; ".join(str(failure) for failure in failures), UNREACHABLE_EXIT))
