"""The stop conditions of a run, looked at for as long as a fault may be in effect."""

from __future__ import annotations

from blackstart_controller.runs.context import Halt, RunContext
from blackstart_controller.runs.stops import Facts, Standing, label, standings

LOOK_S = 0.25  # silence is no event: it has to be looked for


def standings_now(ctx: RunContext) -> tuple[Standing, ...]:
    facts = Facts(
        sights=ctx.samples.sights(),
        sources=ctx.sources,
        now_ns=ctx.clock.monotonic_ns(),
        misses=ctx.settings.stop_misses,
        t0_ns=ctx.t0_ns,
    )
    return standings(ctx.plan.stops, facts)


def against_beginning(ctx: RunContext) -> list[str]:
    """Why nothing may be injected now: a condition has tripped, is on its way to, or has not been read."""
    return [f"{label(one.stop)}: {one.tripped or one.reading}" for one in standings_now(ctx) if not one.quiet]


async def halt_when_tripped(ctx: RunContext) -> None:
    """The run is halted as soon as a stop condition has tripped; until then this does not return."""
    if not ctx.plan.stops:
        return
    try:
        await _look(ctx)
    except Exception as error:
        # Whatever it is: conditions that nobody looks at any more count as tripped.
        why = f"stop conditions could not be evaluated: {type(error).__name__}: {error}"
        ctx.halt_now(Halt("blackstart", why))
        raise


async def _look(ctx: RunContext) -> None:
    while not ctx.halt.done():
        change = ctx.log.pulse.next()
        found = next((one for one in standings_now(ctx) if one.tripped), None)
        if found is not None:
            await _trip(ctx, found)
            return
        await ctx.log.pulse.wait(LOOK_S, change)


async def _trip(ctx: RunContext, found: Standing) -> None:
    """Halted first, written down then: a database must not keep a fault alive."""
    by = label(found.stop)
    data = {"stop": found.stop.name, "kind": found.stop.kind, "by": by, "reason": found.tripped}
    if ctx.halt_now(Halt(by, found.tripped)):
        await ctx.log.try_add("stopped", data)
