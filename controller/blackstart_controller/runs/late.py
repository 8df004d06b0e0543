"""After a run's end: hosts that have not confirmed are asked until they have; then the run is corrected."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart_controller.measure.verdict import EXIT_CODES, Verdict, Word
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.ending import hear_last_words, revert_once
from blackstart_controller.runs.record import corrected, ends_of, event_views, view_from, view_text
from blackstart_controller.store.model import RunChange, RunEvent, StoreFailed

EVERY_S = 5.0


async def watch_late(ctx: RunContext) -> None:
    """Return when every order of the ended run is proved gone; the run then says `confirmed`."""
    while ctx.unreverted():
        await revert_once(ctx, "the run has ended")
        await ctx.log.pulse.until(lambda: not ctx.unreverted(), EVERY_S)
    await hear_last_words(ctx)
    while not await _corrected(ctx):
        await ctx.log.pulse.wait(EVERY_S)


def verdict_in(log: Sequence[RunEvent]) -> Verdict | None:
    """What the run's verdict will be once every revert is proved, from its log."""
    for event in reversed(log):
        if event.type == "ended":
            told = event.data["if_confirmed"]
            return Verdict(Word(event.data["verdict"]), int(told["exit_code"]), str(told["sentence"]))
    return None


async def _corrected(ctx: RunContext) -> bool:
    verdict = ctx.if_confirmed or Verdict(Word.ERROR, EXIT_CODES[Word.ERROR], "The run's verdict was lost.")
    try:
        if (text := await ctx.store.report(ctx.id)) is not None:
            log = event_views(ctx, await ctx.store.events(ctx.id))
            view = corrected(view_from(text), verdict, ends_of(ctx), log)
            await ctx.store.save_report(ctx.id, view_text(view))
        await ctx.log.add(
            "reverted_late",
            {"text": "every fault is now proved to be reverted", "exit_code": verdict.exit_code},
            change=RunChange(reverted="confirmed", exit_code=verdict.exit_code),
        )
    except StoreFailed:
        return False
    return True
