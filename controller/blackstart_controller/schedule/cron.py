"""Cron expressions: five fields, read as Debian's cron reads them, by cronsim. Zones come in elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from cronsim import CronSim, CronSimError

from blackstart_controller.errors import UsageError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MAX_LENGTH = 200
_TERM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,3}))?", re.ASCII)
ANY_DAY = datetime(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """The number that `text` stands for, or None when it is not allowed here."""
        if text in self.names:
            return self.names.index(text) + (self.low if self.names is MONTHS else 0)
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            return None
        return int(text)

    def allowed(self) -> str:
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        sunday = " (0 and 7 are Sunday)" if self.names is DAYS else ""
        return (
            f"allowed: *, {self.low} to {self.high}{names}{sunday}, ranges a-b, steps */n and a-b/n, and "
            "lists of them with commas"
        )


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, 7, DAYS),
)


def checked(text: str) -> str:
    """The expression in its plain form; UsageError says which field is wrong and what is allowed there."""
    parts = text.lower().split()
    if len(parts) != len(FIELDS) or len(text) > MAX_LENGTH:
        raise UsageError(
            f"cron {text[:MAX_LENGTH]!r}: needs five fields: minute, hour, day of the month, month, day "
            "of the week; such as '0 9 * * mon-fri'"
        )
    plain = " ".join(_plain(text, field, part) for field, part in zip(FIELDS, parts, strict=True))
    try:
        CronSim(plain, ANY_DAY)
    except CronSimError:  # the fields are right by themselves
        raise UsageError(
            f"cron {text!r}: day of the month {parts[2]} never comes in month {parts[3]}"
        ) from None
    return plain


def by_intervals(expression: str) -> bool:
    """True for cron's wildcard jobs (minute or hour begins with *): they follow the clock as it is shown.

    All others have fixed times: each runs once a day, whatever the clock does.
    """
    minute, hour = expression.split()[:2]
    return minute.startswith("*") or hour.startswith("*")


def local_times(expression: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """The local times from `start` to before `end` that match."""
    times = CronSim(expression, start - timedelta(seconds=1))
    return takewhile(lambda local: local < end, times)


def _plain(text: str, field: _Field, part: str) -> str:
    return ",".join(_plain_term(text, field, term) for term in part.split(","))


def _plain_term(text: str, field: _Field, term: str) -> str:
    """One term in numbers: the range `fri-sun` ends with 7."""
    match = _TERM.fullmatch(term)
    if match is None or (match["step"] is not None and int(match["step"]) == 0):
        raise _wrong(text, field, term)
    step = f"/{int(match['step'])}" if match["step"] else ""
    if match["first"] is None:
        return f"*{step}"
    first, last = field.number(match["first"]), field.number(match["last"] or match["first"])
    if first is None or last is None:
        raise _wrong(text, field, term)
    if match["last"] is None:
        if step:
            raise _wrong(text, field, term, f"; write {first}-{field.high}{step}")
        return str(first)
    if last == 0 and field.names is DAYS and first > 0:
        last = 7
    if last < first:
        raise _wrong(text, field, term, "; a range goes upwards")
    return f"{first}-{last}{step}"


def _wrong(text: str, field: _Field, term: str, why: str = "") -> UsageError:
    return UsageError(f"cron {text!r}: {field.name} {term!r} is not allowed{why}; {field.allowed()}")
