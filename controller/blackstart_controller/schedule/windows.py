"""Allowed windows: days and hours of a zone, such as `mon-fri 10:00-16:00`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from blackstart_controller.errors import UsageError
from blackstart_controller.schedule.model import Window
from blackstart_controller.schedule.zones import instant

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
_PATTERN = re.compile(r"(?:(?P<days>[a-z,-]+) )?(\d{2}):(\d{2})-(\d{2}):(\d{2})", re.ASCII)
Span = tuple[datetime, datetime]


def parse_window(text: str) -> Window:
    """`[DAYS ]HH:MM-HH:MM`; an end that is not after the start is on the next day."""
    match = _PATTERN.fullmatch(" ".join(text.lower().split()))
    if match is None:
        raise _wrong(text, "it is not DAYS HH:MM-HH:MM")
    hours = [int(part) for part in match.groups()[1:]]
    start_min, end_min = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if hours[1] > 59 or hours[3] > 59 or start_min >= DAY_MIN or end_min > DAY_MIN:
        raise _wrong(text, "hours go from 00:00 to 24:00")
    if end_min <= start_min:
        end_min += DAY_MIN
    return Window(text, _days(text, match["days"] or "mon-sun"), start_min, end_min)


def is_open(windows: Sequence[Window], zone: ZoneInfo, moment: datetime) -> bool:
    """True when no window is set, or one of them holds the moment."""
    return not windows or any(
        start <= moment < end for start, end in open_spans(windows, zone, moment, moment + timedelta(days=1))
    )


def open_spans(windows: Sequence[Window], zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Span]:
    """Each time that a window is open and touches `start` to `end`, by its beginning. They may overlap."""
    day = start.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    day -= timedelta(days=2)  # yesterday's may last over midnight
    while instant(day, zone) < end:
        spans = [_span(window, zone, day) for window in windows if day.weekday() in window.days]
        yield from (span for span in sorted(spans) if span[0] < end and span[1] > start)
        day += timedelta(days=1)


def open_share(windows: Sequence[Window]) -> float:
    """How much of a week is open, 0 to 1."""
    if not windows:
        return 1.0
    minutes = {
        (day * DAY_MIN + minute) % WEEK_MIN
        for window in windows
        for day in window.days
        for minute in range(window.start_min, window.end_min)
    }
    return len(minutes) / WEEK_MIN


def after_open_time(windows: Sequence[Window], zone: ZoneInfo, start: datetime, open_s: float) -> datetime:
    """The moment when the windows have been open for `open_s` seconds since `start`; it is itself open."""
    left = timedelta(seconds=open_s)
    if not windows:
        return start + left
    end = start
    while True:
        end += timedelta(days=7)
        for opens, closes in open_spans(windows, zone, start, end):
            begin, until = max(opens, start), min(closes, end)
            if left < until - begin:
                return begin + left
            left -= max(until - begin, timedelta(0))
            start = max(start, until)
        start = end


def _span(window: Window, zone: ZoneInfo, day: datetime) -> Span:
    opens = instant(day + timedelta(minutes=window.start_min), zone)
    closes = instant(day + timedelta(minutes=window.end_min), zone, second=True)
    return opens.astimezone(UTC), closes.astimezone(UTC)


def _days(text: str, days: str) -> frozenset[int]:
    found: set[int] = set()
    for part in days.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _wrong(text, f"{part!r} is no day")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    return frozenset(found)


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(
        f"window {text[:80]!r}: {why}; write it like 'mon-fri 10:00-16:00', 'sat,sun 22:00-04:00' or "
        "'09:00-18:00'"
    )
