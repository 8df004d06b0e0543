"""Pure: when a schedule is due. The same answer to the same question, whoever asks, after every restart."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeAlias
from zoneinfo import ZoneInfo

from blackstart_controller.runs.clock import iso
from blackstart_controller.schedule import cron
from blackstart_controller.schedule.model import Cron, Due, Once, Random, Spec
from blackstart_controller.schedule.windows import after_open_time, open_share
from blackstart_controller.schedule.zones import DAY, LOOK_BACK, Stretch, comes_twice, stretches

HORIZON = timedelta(days=8 * 366)  # a 29 February comes within it (but around 2100)
SHOWN = 3  # of the local times that a clock change swallows
Times: TypeAlias = Callable[[datetime, datetime], Iterator[datetime]]  # local ones, from, to before
Found: TypeAlias = tuple[datetime, str, bool]  # at, note, lost


def dues(spec: Spec, after: datetime, until: datetime) -> Iterator[Due]:
    """The due times after `after` up to `until`, in order.

    `after` is a due time of the schedule or the moment it was made; the next random one follows from it and
    the seed. None starts before an earlier one, however large the jitter is.
    """
    began = after
    for at, note, lost in _found(spec, after, until):
        starts = at if lost else max(began, at + _jitter(spec, at))
        began = max(began, starts)
        yield Due(at, starts, note, lost)


def next_due(spec: Spec, after: datetime) -> Due | None:
    """The first one after `after` (see `dues`), if there is one within eight years."""
    return next(dues(spec, after, after + HORIZON), None)


def _found(spec: Spec, after: datetime, until: datetime) -> Iterator[Found]:
    zone = ZoneInfo(spec.zone)
    match spec.timing:
        case Cron(expression):
            times = partial(cron.local_times, expression)
            return _by_the_clock(times, zone, after, until, fixed=not cron.by_intervals(expression))
        case Once(local):
            return _by_the_clock(partial(_one, local), zone, after, until, fixed=True)
        case Random() as timing:
            return _at_random(spec, timing, zone, after, until)


def _one(local: datetime, start: datetime, end: datetime) -> Iterator[datetime]:
    return iter([local] if start <= local < end else [])


# ---- local times ----


def _by_the_clock(
    times: Times, zone: ZoneInfo, after: datetime, until: datetime, *, fixed: bool
) -> Iterator[Found]:
    start = (after - LOOK_BACK).replace(microsecond=0)
    for stretch in stretches(zone, start, until + timedelta(seconds=1)):
        for found in _in_stretch(times, zone, stretch, fixed=fixed):
            if after < found[0] <= until:
                yield found


def _in_stretch(times: Times, zone: ZoneInfo, stretch: Stretch, *, fixed: bool) -> Iterator[Found]:
    """Fixed times that a gap swallows are made up for at its end; those that come twice count once."""
    start, shift = stretch.local_start, stretch.shift
    gone = list(times(start - shift, start)) if shift > timedelta(0) else []
    if gone:
        there = next(times(start, start + timedelta(minutes=1)), None) == start
        yield stretch.start, _gap_note(gone, start, shift, made_up=fixed), not (fixed or there)
    for local in times(start, stretch.local_end):
        at = (local - stretch.offset).replace(tzinfo=stretch.start.tzinfo)
        if gone and at == stretch.start:
            continue
        inner = (
            start + DAY <= local < stretch.local_end - DAY
        )  # far from any clock change: saves half the time
        if inner or not comes_twice(local, zone):
            yield at, "", False
        elif at.astimezone(zone).fold == 0:
            yield at, f"{local:%H:%M} comes twice on {local:%Y-%m-%d}: this is the first", False
        elif not fixed:
            yield at, f"{local:%H:%M} comes twice on {local:%Y-%m-%d}: this is the second", False


def _gap_note(gone: list[datetime], start: datetime, shift: timedelta, *, made_up: bool) -> str:
    shown = ", ".join(f"{local:%H:%M}" for local in islice(gone, SHOWN))
    more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
    verb = "does" if len(gone) == 1 else "do"
    clock = f"the clock goes from {start - shift:%H:%M} to {start:%H:%M}"
    what = f"runs once, at {start:%H:%M}" if made_up else "not run"
    return f"{shown}{more} {verb} not exist on {gone[0]:%Y-%m-%d} ({clock}): {what}"


# ---- chance ----


def _at_random(
    spec: Spec, timing: Random, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[Found]:
    """Gaps are the smallest one plus an exponential rest, which passes only while a window is open."""
    at = after
    while True:
        rest_s = (timing.mean_s - timing.min_gap_s) * open_share(spec.windows)
        open_s = _chance(spec, "gap", at).expovariate(1 / rest_s) if rest_s > 0 else 0.0
        at = after_open_time(spec.windows, zone, at + timedelta(seconds=timing.min_gap_s), open_s)
        at = at.replace(microsecond=0)
        if at > until:
            return
        yield at, "", False


def _jitter(spec: Spec, at: datetime) -> timedelta:
    return timedelta(seconds=int(_chance(spec, "jitter", at).random() * spec.jitter_s))


def _chance(spec: Spec, what: str, at: datetime) -> random.Random:
    return random.Random(f"{spec.seed}:{what}:{iso(at)}")  # noqa: S311  it guards nothing; it must be repeatable
