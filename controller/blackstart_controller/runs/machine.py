"""One run, walked from planned to ended. Whatever happens on the way, the way back is walked to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from blackstart_controller.measure.verdict import Ending
from blackstart_controller.runs import ending
from blackstart_controller.runs.background import background
from blackstart_controller.runs.context import Result, RunContext, Stop
from blackstart_controller.runs.finish import finish
from blackstart_controller.runs.hold import halted, inject_and_hold
from blackstart_controller.runs.prepare import arm_all, steady_state
from blackstart_controller.runs.rejoin import keep_armed
from blackstart_controller.runs.sources import watch_sources
from blackstart_controller.runs.states import TRANSITIONS, RunState
from blackstart_controller.runs.watchers import halt_when_tripped
from blackstart_controller.store.model import RunChange

RETRY_S = 1.0
log = logging.getLogger(__name__)


async def walk(ctx: RunContext) -> None:
    """The run has ended, and what is stored of it is true."""
    result = await _until_halted(ctx)
    await come_back(ctx, result)


async def come_back(ctx: RunContext, result: Result) -> None:
    """Whatever may still be there is reverted, then the run has ended with `result`."""
    while ctx.state != RunState.ENDED:
        try:
            await _come_back(ctx, result)
        except Exception:  # the way back is walked again until its end: giving up would leave faults behind
            log.exception("run %s: the way back failed and is tried again", ctx.id)
            await asyncio.sleep(RETRY_S)


async def _come_back(ctx: RunContext, result: Result) -> None:
    if result.ending != Ending.COMPLETED:
        await _enter_way_back(ctx, result)
        await ending.revert_until_gone(ctx, result.why)
    await ending.hear_last_words(ctx)  # before the watch ends: measured is up to the end of the watch
    await ending.stop_watching(ctx)
    await finish(ctx, result)


async def _until_halted(ctx: RunContext) -> Result:
    forward = asyncio.create_task(_forward(ctx), name=f"run-{ctx.id}")
    try:
        waits: set[asyncio.Future[Any]] = {forward, ctx.halt}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not forward.done():
            # What was on its way to a host may arrive or not: all of it is reverted now.
            forward.cancel()
            await asyncio.wait({forward})
    if ctx.halt.done():
        return halted(ctx.halt.result())
    return forward.result()


async def _forward(ctx: RunContext) -> Result:
    try:
        async with background() as spawn:
            spawn(keep_armed(ctx))
            await ctx.enter(RunState.PLANNED)
            await arm_all(ctx)
            watch_sources(ctx, spawn)
            await steady_state(ctx)
            spawn(halt_when_tripped(ctx))  # from here until the last fault is proved to be gone
            await inject_and_hold(ctx)
            await ending.hosts_revert_themselves(ctx)
        await ending.settle(ctx)
    except Stop as stop:
        return stop.result
    except Exception as error:
        log.exception("run %s failed", ctx.id)
        return Result(Ending.ERROR, f"{type(error).__name__}: {error}")
    return ending.COMPLETED


async def _enter_way_back(ctx: RunContext, result: Result) -> None:
    halting = result.ending == Ending.HALTED or RunState.REVERTING not in TRANSITIONS[ctx.state]
    state = RunState.HALTING if halting else RunState.REVERTING
    if ctx.state != state:
        ctx.state = state
        change = RunChange(state=state, reason=result.why)
        if result.halted_by:
            change["halted_by"] = result.halted_by
        await ctx.log.try_add("state", {"state": state, "reason": result.why}, change=change)
