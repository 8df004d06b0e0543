"""Blackout calendars: an iCalendar file in, and whether one of its events holds a moment out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from dateutil.rrule import rrule, rruleset, rrulestr
from icalendar import Calendar, vRecur

from blackstart_controller.errors import UsageError
from blackstart_controller.schedule.zones import instant

Event: TypeAlias = Any  # icalendar types each property as one of thirty; read_calendar catches what is wrong
MAX_EVENTS = 2000
MAX_TIMES = 100_000  # that all repeating events begin in, until YEARS after the import
YEARS = 10
TOO_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")
MAX_LENGTH = timedelta(days=400)
OVERNIGHT = timedelta(days=2)  # more than the zones differ, and than a clock change moves


@dataclass(frozen=True, slots=True)
class Busy:
    """One event: its first start, as its own clock shows it, and how it goes on.

    `zone` is None for whole days and floating times: then the schedule's zone counts.
    """

    summary: str
    start: datetime
    length: timedelta
    zone: tzinfo | None
    rule: rruleset | None

    def holds(self, moment: datetime, zone: tzinfo) -> tuple[datetime, datetime] | None:
        """From when to when it lasts, if `moment` is in it."""
        there = self.zone or zone
        local = moment.astimezone(there).replace(tzinfo=None)
        for start in self._starts(local - self.length - OVERNIGHT, local + OVERNIGHT):
            begin, end = instant(start, there), instant(start + self.length, there, second=True)
            if begin <= moment < end:
                return begin, end
        return None

    def _starts(self, after: datetime, before: datetime) -> Iterable[datetime]:
        if self.rule is not None:
            return self.rule.between(after, before, inc=True)
        return [self.start] if after <= self.start <= before else []


@lru_cache(maxsize=64)
def read_calendar(name: str, text: str) -> tuple[Busy, ...]:
    """Every event of an iCalendar file but the cancelled ones; UsageError says what cannot be read."""
    try:
        calendars = Calendar.from_ical(text, multiple=True)
        events = [event for calendar in calendars for event in calendar.walk("VEVENT")]
        moved = {_identity(event) for event in events if "RECURRENCE-ID" in event}
        wanted = (event for event in events if str(event.get("STATUS", "")).upper() != "CANCELLED")
        return tuple(_busy(event, moved) for event in _few(name, wanted))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        # icalendar and dateutil tell of a wrong file by any of these
        raise UsageError(f"calendar {name}: not a good iCalendar file: {error}") from error


def check_calendar(name: str, text: str, now: datetime) -> int:
    """The number of its events; UsageError when it has none, or too many to be looked through each time."""
    events = read_calendar(name, text)
    if not events:
        raise UsageError(f"calendar {name}: the file has no event; a blackout calendar needs VEVENTs")
    until = now.replace(tzinfo=None) + timedelta(days=366 * YEARS)
    times = sum(1 for _ in islice(_all_starts(events, until), MAX_TIMES + 1))
    if times > MAX_TIMES:
        raise UsageError(
            f"calendar {name}: its repeating events begin over {MAX_TIMES} times within {YEARS} years; "
            "make them longer or end them"
        )
    return len(events)


def _all_starts(events: Iterable[Busy], until: datetime) -> Iterator[datetime]:
    for event in events:
        for start in event.rule or ():
            if start > until:
                break
            yield start


def _few(name: str, events: Iterable[Event]) -> Iterator[Event]:
    for number, event in enumerate(events):
        if number == MAX_EVENTS:
            raise UsageError(f"calendar {name}: over {MAX_EVENTS} events; import what lies ahead only")
        yield event


def _identity(event: Event) -> tuple[str, datetime]:
    return str(event.get("UID", "")), _plain(event["RECURRENCE-ID"].dt, _zone(event["DTSTART"].dt))


def _busy(event: Event, moved: set[tuple[str, datetime]]) -> Busy:
    _check_event(event)
    first = event["DTSTART"].dt
    zone, start = _zone(first), _plain(first, _zone(first))
    length = _length(event, start, zone)
    if not timedelta(0) < length <= MAX_LENGTH:
        raise ValueError(f"{_name(event)!r} lasts {length}; an event lasts up to {MAX_LENGTH.days} days")
    return Busy(_name(event), start, length, zone, _rule(event, start, zone, moved))


def _check_event(event: Event) -> None:
    """icalendar goes on where it cannot read; a blackout that is only half understood would be a trap."""
    if event.errors:
        raise ValueError(f"{_name(event)!r}: {event.errors[0][0]}: {event.errors[0][1]}")
    if "DTSTART" not in event:
        raise ValueError(f"{_name(event)!r} has no DTSTART")
    named = event["DTSTART"].params.get("TZID")
    if named and _zone(event["DTSTART"].dt) is None:
        raise ValueError(f"{_name(event)!r}: there is no time zone {named}")
    if "RECURRENCE-ID" in event and "RANGE" in event["RECURRENCE-ID"].params:
        raise ValueError(f"{_name(event)!r} moves all that follow (RANGE); write a new event for them")


def _name(event: Event) -> str:
    return " ".join(str(event.get("SUMMARY", "busy")).split())[:120]


def _length(event: Event, start: datetime, zone: tzinfo | None) -> timedelta:
    if "DTEND" in event:
        return _plain(event["DTEND"].dt, zone) - start
    if "DURATION" in event:
        length: timedelta = event["DURATION"].dt
        return length
    return timedelta(days=0 if isinstance(event["DTSTART"].dt, datetime) else 1)


def _rule(
    event: Event, start: datetime, zone: tzinfo | None, moved: set[tuple[str, datetime]]
) -> rruleset | None:
    """The event's starts in its own local time, without those that were taken out or moved."""
    rules = _list(event.get("RRULE"))
    more = [one.dt for dates in _list(event.get("RDATE")) for one in dates.dts]
    if "RECURRENCE-ID" in event or not (rules or more):
        return None
    found = rruleset(cache=True)
    for rule in rules:
        if str(rule.get("FREQ", [""])[0]).upper() in TOO_OFTEN:
            raise ValueError(f"{_name(event)!r} repeats within a day; DAILY is the most often")
        if "UNTIL" in rule:  # in UTC, or in the event's zone: here it has none
            rule = dict(rule) | {"UNTIL": [_plain(last, zone) for last in rule["UNTIL"]]}
        one = rrulestr(_rule_text(rule), dtstart=start)
        assert isinstance(one, rrule)  # a set only comes from more than a rule
        found.rrule(one)
    for when in (start, *(_plain(one[0] if isinstance(one, tuple) else one, zone) for one in more)):
        found.rdate(when)
    gone = [_plain(one.dt, zone) for dates in _list(event.get("EXDATE")) for one in dates.dts]
    for when in (*gone, *(at for uid, at in moved if uid == str(event.get("UID", "")))):
        found.exdate(when)
    return found


def _rule_text(rule: Mapping[str, Any]) -> str:
    text: bytes = vRecur(rule).to_ical()  # type: ignore[no-untyped-call]
    return text.decode()


def _list(value: Any) -> list[Any]:
    """A property that may be there once, several times or not at all."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _zone(start: date) -> tzinfo | None:
    return start.tzinfo if isinstance(start, datetime) else None


def _plain(moment: date, zone: tzinfo | None) -> datetime:
    """As the event's own clock shows it; a date is its midnight."""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day)
    if zone is not None and moment.tzinfo is not None:
        moment = moment.astimezone(zone)
    return moment.replace(tzinfo=None, fold=0)
