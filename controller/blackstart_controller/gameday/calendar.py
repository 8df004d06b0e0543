"""Game days and schedules as an iCalendar feed (RFC 5545). Pure: the same days make the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone

from blackstart_controller.gameday.decide import document_of
from blackstart_controller.gameday.document import GameDayDocument
from blackstart_controller.gameday.model import GameDay
from blackstart_controller.gameday.states import GameDayState

PRODUCT: Final = "-//blackstart//blackstart//EN"
REFRESH: Final = timedelta(minutes=15)
STATUS: Final = {
    GameDayState.PLANNED: "CONFIRMED",
    GameDayState.RUNNING: "CONFIRMED",
    GameDayState.FINISHED: "CONFIRMED",
    GameDayState.ABORTED: "CANCELLED",
    GameDayState.MISSED: "CANCELLED",
}


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """`start` and `end` lie in `zone`; `stamp`: when this version was made; `sequence` counts versions."""

    uid: str
    start: datetime
    end: datetime
    zone: str
    summary: str
    description: str
    status: str
    sequence: int
    stamp: datetime


def gameday_event(row: GameDay, *, secrets_too: bool) -> CalendarEvent:
    """The day as a calendar shows it: a zero-notice day fills its window, unless the secret may be told."""
    document = document_of(row)
    zone = ZoneInfo(document.window.zone)
    secret = row.zero_notice and not secrets_too
    start = row.window_start if secret else row.starts_at
    return CalendarEvent(
        uid=f"gameday-{row.id}@blackstart",
        start=datetime.fromisoformat(start).astimezone(zone),
        end=datetime.fromisoformat(row.window_end).astimezone(zone),
        zone=document.window.zone,
        summary=f"Game day: {row.title}" + (" (some time in this window)" if secret else ""),
        description=_description(row, document),
        status=STATUS[row.state],
        sequence=row.revision,
        stamp=datetime.fromisoformat(row.changed),
    )


def calendar_text(events: Iterable[CalendarEvent]) -> bytes:
    """The feed: CRLF, lines of at most 75 octets, a VTIMEZONE for each zone that is used."""
    ordered = sorted(events, key=lambda one: (one.start, one.uid))
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "blackstart")
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    for zone in _zones(ordered):
        calendar.add_component(zone)
    for event in ordered:
        calendar.add_component(_component(event))
    return bytes(calendar.to_ical())


def _component(event: CalendarEvent) -> Event:
    made = Event()
    made.add("uid", event.uid)
    made.add("dtstamp", event.stamp.astimezone(UTC).replace(microsecond=0))
    made.add("last-modified", event.stamp.astimezone(UTC).replace(microsecond=0))
    made.add("sequence", event.sequence)
    made.add("dtstart", event.start.replace(microsecond=0))
    made.add("dtend", event.end.replace(microsecond=0))
    made.add("summary", event.summary)
    made.add("description", event.description)
    made.add("status", event.status)
    made.add("transp", "OPAQUE" if event.status == "CONFIRMED" else "TRANSPARENT")
    return made


def _zones(events: Sequence[CalendarEvent]) -> list[Timezone]:
    """Only for the years that are shown: the whole history of a zone is kilobytes."""
    names = sorted({one.zone for one in events} - {"UTC"})
    if not names:
        return []
    first = min(one.start for one in events).date() - timedelta(days=366)
    last = max(one.end for one in events).date() + timedelta(days=366)
    return [Timezone.from_tzinfo(ZoneInfo(name), name, first, last) for name in names]


def _description(row: GameDay, document: GameDayDocument) -> str:
    roles = document.roles
    lines = [
        document.description,
        f"Owner: {roles.owner}",
        f"Abort owner: {roles.abort_owner}",
        f"Coordinator: {roles.coordinator}" if roles.coordinator else "",
        f"Channel: {document.comms.channel}" if document.comms.channel else "",
        f"State: {row.state}",
        f"blackstart gameday show {row.id}",
    ]
    return "\n".join(line for line in lines if line)
