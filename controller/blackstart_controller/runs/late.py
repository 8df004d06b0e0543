"""After a run's end: hosts that have not confirmed are asked until they have; then the run is corrected."""

from __future__ import annotations

import json

from blackstart_controller.measure.verdict import EXIT_CODES, Word
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.ending import revert_once
from blackstart_controller.store.model import RunChange, StoreFailed

EVERY_S = 5.0


async def watch_late(ctx: RunContext) -> None:
    """Return when every order of the ended run is proved gone; the run then says `confirmed`."""
    while ctx.unreverted():
        await revert_once(ctx, "the run has ended")
        await ctx.log.pulse.until(lambda: not ctx.unreverted(), EVERY_S)
    while not await _confirmed(ctx):
        await ctx.log.pulse.wait(EVERY_S)


async def _confirmed(ctx: RunContext) -> bool:
    try:
        row = await ctx.store.run(ctx.id)
        code = (
            ctx.exit_code
            if ctx.exit_code is not None
            else EXIT_CODES[Word(row.verdict or "error")]
            if row
            else 6
        )
        data = {
            "reverted": "confirmed",
            "text": "every fault is now proved to be reverted",
            "exit_code": code,
        }
        await _correct_report(ctx, code)
        await ctx.log.add("reverted_late", data, change=RunChange(reverted="confirmed", exit_code=code))
    except StoreFailed:
        return False
    return True


async def _correct_report(ctx: RunContext, exit_code: int) -> None:
    text = await ctx.store.report(ctx.id)
    if text is None:
        return
    report = json.loads(text) | {"reverted": "confirmed", "unconfirmed_hosts": [], "exit_code": exit_code}
    await ctx.store.save_report(ctx.id, json.dumps(report, ensure_ascii=False))
