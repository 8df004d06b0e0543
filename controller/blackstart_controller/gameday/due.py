"""What is due for a game day at a moment, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from blackstart_controller.gameday.decide import document_of
from blackstart_controller.gameday.model import GameDay, Kept
from blackstart_controller.gameday.record import fold
from blackstart_controller.gameday.states import GameDayState

GRACE = timedelta(seconds=60)  # a zero-notice moment that is longer ago is missed, not made up for


@dataclass(frozen=True, slots=True)
class Remind:
    """Tell people, `before_ms` before the window opens. `passed`: earlier ones that nobody was told of."""

    before_ms: int
    passed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """The moment of a zero-notice day has come."""


@dataclass(frozen=True, slots=True)
class Miss:
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """The day is over, and nobody has been told how it went."""


Action: TypeAlias = Remind | Begin | Miss | Report
OVER = (GameDayState.FINISHED, GameDayState.ABORTED, GameDayState.MISSED)


def due_now(kept: Kept, now: datetime) -> Iterator[Action]:
    """Everything that has to happen by now, and has not."""
    row, record = kept.row, fold(kept.entries)
    if row.state in OVER and not record.reported:
        yield Report()
    if row.state != GameDayState.PLANNED:
        return
    start, end = _moment(row.window_start), _moment(row.window_end)
    late = [ms for ms in _open_reminders(kept) if start - timedelta(milliseconds=ms) <= now]
    if late and now < start:
        yield Remind(min(late), tuple(sorted(ms for ms in late if ms != min(late))))
    begins = _moment(row.starts_at)
    if row.zero_notice and now >= begins:
        late_s = (now - begins).total_seconds()
        yield Begin() if now - begins <= GRACE else Miss(f"no controller at its moment, {late_s:.0f} s ago")
    elif now >= end:
        yield Miss("its window closed before anybody started it")


def next_look(kept: Kept, now: datetime) -> datetime | None:
    """The first moment after `now` at which something can become due."""
    if kept.row.state != GameDayState.PLANNED:
        return None
    start = _moment(kept.row.window_start)
    moments = [start - timedelta(milliseconds=ms) for ms in _open_reminders(kept)]
    moments.append(_moment(kept.row.starts_at if kept.row.zero_notice else kept.row.window_end))
    return min((moment for moment in moments if moment > now), default=None)


def _open_reminders(kept: Kept) -> list[int]:
    """Of those whose time was still to come when the day was planned."""
    record, start = fold(kept.entries), _moment(kept.row.window_start)
    planned = _moment(record.planned_at)
    return [
        ms
        for ms in document_of(kept.row).reminders_ms
        if ms not in record.reminded and start - timedelta(milliseconds=ms) >= planned
    ]


def starts_shown(row: GameDay, *, secrets_too: bool) -> str | None:
    """When the day starts, as somebody may see it: of a zero-notice day only who approves."""
    return row.starts_at if secrets_too or not row.zero_notice else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
