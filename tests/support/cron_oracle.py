"""When a cron expression is due, found out another way: every minute of a year is looked at.

croniter reads the fields, dateutil knows the zones; nothing of the product's code is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from croniter import croniter
from dateutil import tz

QUARTER = timedelta(minutes=15)  # clocks change only at quarters of an hour
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Fields:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 = Sunday
    both_days: bool  # Debian's rule: a field that begins with * restricts, else either day will do
    wildcard: bool

    def day_fits(self, local: datetime) -> bool:
        in_month, in_week = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        fits = (in_month and in_week) if self.both_days else (in_month or in_week)
        return fits and local.month in self.months


def fields_of(expression: str) -> Fields:
    minute, hour, day, _month, weekday = expression.split()
    expanded = croniter.expand(expression)[0]
    limits = (range(60), range(24), range(1, 32), range(1, 13), range(7))
    minutes, hours, days, months, weekdays = (
        frozenset(limit) if part == ["*"] else frozenset(int(one) for one in part)
        for part, limit in zip(expanded, limits, strict=True)
    )
    return Fields(
        minutes,
        hours,
        days,
        months,
        weekdays,
        both_days=day.startswith("*") or weekday.startswith("*"),
        wildcard=minute.startswith("*") or hour.startswith("*"),
    )


@cache
def quarters(zone: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Each quarter of an hour as (UTC, local time without a zone)."""
    there = tz.gettz(zone)
    assert there is not None
    found, at = [], start
    while at < end:
        shown = at.replace(tzinfo=UTC).astimezone(
            there
        )  # its utcoffset() is wrong where winter time is "DST"
        found.append((at, shown.replace(tzinfo=None)))
        at += QUARTER
    return found


def due_times(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The due times from `start` to before `end`, in UTC.

    Wildcard jobs are due whenever clocks show a time that fits. Others are due the first time that clocks
    show a time, and for times that clocks leave out, once, at the first minute they show instead.
    """
    fields = fields_of(expression)
    found: list[datetime] = []
    shown_until = None  # the latest local time that clocks have shown; going back shows times again
    for at, local in quarters(zone, start, end):
        left_out = shown_until is not None and local > shown_until and not fields.wildcard
        if left_out and any(_fitting(fields, shown_until or local, local)) and at not in found[-1:]:
            found.append(at)
        for minute in _fitting(fields, local, local + QUARTER) if local.hour in fields.hours else ():
            again = shown_until is not None and minute < shown_until
            moment = at + (minute - local)
            if (fields.wildcard or not again) and moment not in found[-1:]:
                found.append(moment)
        shown_until = local + QUARTER if shown_until is None else max(shown_until, local + QUARTER)
    return [at.replace(tzinfo=UTC) for at in found]


def _fitting(fields: Fields, start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        if start.hour not in fields.hours:
            start = start.replace(minute=0) + timedelta(hours=1)
            continue
        if not fields.day_fits(start):
            return  # gaps and quarters end at midnight at the latest
        if start.minute in fields.minutes:
            yield start
        start += MINUTE
