"""Pure: what becomes of the due times that have come. At most one is run; each other has its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TypeAlias

from blackstart_controller.schedule.model import ON_TIME_S, Due, DueRow, DueState, Schedule

Judge: TypeAlias = Callable[[datetime], str | None]
EACH = 100  # a longer row of due times that are skipped for the same reason is told as one
MISSED = "missed"


@dataclass(slots=True)
class _Group:
    """Skipped due times in a row, of one kind of reason."""

    kind: str
    first: tuple[Due, str]
    last: tuple[Due, str]
    each: list[tuple[Due, str]] = field(default_factory=list)
    count: int = 0


def decided(schedule: Schedule, due: Iterable[Due], now: datetime, judge: Judge) -> list[DueRow]:
    """An outcome for each of `due` that has begun by `now`, in order; the one to be run is `claimed`.

    Several may have come at once, after an outage: the latest that may be run is, and nothing is run twice.
    """
    ripe = list(_groups(_judged(schedule, takewhile(lambda one: one.starts <= now, due), now, judge)))
    runnable = [group for group in ripe if group.kind == ""]
    rows: list[DueRow] = []
    for group in ripe:
        if group.kind:
            rows += _skips(schedule, group, now)
            continue
        last, _ = group.each[-1]
        passed = group.each if group is not runnable[-1] else group.each[:-1]
        told = [(one, f"{MISSED}: {_late(one, now)}; a later due time is run instead") for one, _ in passed]
        rows += [_skip(schedule, one, why, now) for one, why in told]
        if group is runnable[-1]:
            rows.append(_row(schedule, last, DueState.CLAIMED, "", now))
    return rows


def in_time(schedule: Schedule, starts: datetime, now: datetime, *, wait_s: float = 0.0) -> bool:
    """True while a due time that began at `starts` may still be run."""
    patience_s = max(ON_TIME_S, schedule.spec.within_s or 0.0, wait_s)
    return (now - starts).total_seconds() <= patience_s


def late_text(starts: datetime, now: datetime) -> str:
    return f"late by {timedelta(seconds=round((now - starts).total_seconds()))}"


def _judged(schedule: Schedule, due: Iterable[Due], now: datetime, judge: Judge) -> Iterator[tuple[Due, str]]:
    standing = schedule.stands_still()
    for one in due:
        if one.lost:
            yield one, f"clock change: {one.note}"
        elif standing is not None:
            yield one, standing
        elif not in_time(schedule, one.starts, now):
            yield one, f"{MISSED}: the controller was down, or its clock jumped; {_late(one, now)}"
        else:
            yield one, judge(one.starts) or judge(now) or ""


def _late(due: Due, now: datetime) -> str:
    return late_text(due.starts, now)


def _groups(judged: Iterable[tuple[Due, str]]) -> Iterator[_Group]:
    """Memory stays small, however many minutes of a year were missed."""
    group: _Group | None = None
    for one in judged:
        kind = one[1].partition(":")[0]
        if group is None or group.kind != kind:
            if group is not None:
                yield group
            group = _Group(kind, one, one)
        group.last, group.count = one, group.count + 1
        if kind == "" or group.count <= EACH:
            group.each.append(one)
    if group is not None:
        yield group


def _skips(schedule: Schedule, group: _Group, now: datetime) -> list[DueRow]:
    if group.count <= EACH:
        return [_skip(schedule, due, why, now) for due, why in group.each]
    (first, why), (last, _) = group.first, group.last
    row = _skip(schedule, first, why, now)
    told = f"{why} (the first of {group.count} due times in a row, told as one)"
    return [replace(row, until=last.at, count=group.count, reason=told)]


def _skip(schedule: Schedule, due: Due, why: str, now: datetime) -> DueRow:
    return _row(schedule, due, DueState.SKIPPED, why, now)


def _row(schedule: Schedule, due: Due, state: DueState, why: str, now: datetime) -> DueRow:
    note = "" if due.lost else due.note
    return DueRow(schedule.id, due.at, due.starts, due.at, 1, state, why, note, None, now)
