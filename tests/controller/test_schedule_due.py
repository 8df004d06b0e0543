"""Random times, jitter, windows and blackout calendars: pure, and the same after every restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from blackstart_controller.errors import UsageError
from blackstart_controller.schedule.blackout import check_calendar, read_calendar
from blackstart_controller.schedule.cron import checked
from blackstart_controller.schedule.due import HORIZON, dues, next_due
from blackstart_controller.schedule.model import Cron, Due, Once, Random, Spec
from blackstart_controller.schedule.windows import is_open, parse_window
from hypothesis import given
from hypothesis import strategies as st

SEOUL, BERLIN = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")
START = datetime(2027, 1, 4, tzinfo=UTC)
DAY_S = 86400.0


def first(spec: Spec, count: int) -> list[Due]:
    return list(islice(dues(spec, START, START + HORIZON), count))


def berlin(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize("windows", [(), ("mon-fri 10:00-16:00",), ("fri-mon 22:00-04:00", "12:00-13:00")])
def test_random_times_keep_their_gap_their_mean_and_their_windows(windows: tuple[str, ...]) -> None:
    allowed = tuple(parse_window(text) for text in windows)
    spec = Spec(Random(2 * DAY_S, DAY_S), "Asia/Seoul", allowed, seed=7)
    times = [due.at for due in first(spec, 400)]
    gaps_s = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert min(gaps_s) >= DAY_S
    assert sum(gaps_s) / len(gaps_s) == pytest.approx(2 * DAY_S, rel=0.25)
    assert all(is_open(allowed, SEOUL, at) for at in times)
    assert len({at.astimezone(SEOUL).hour for at in times}) >= (6 if windows else 20)


@given(st.integers(0, 2**63 - 1), st.integers(1, 20))
def test_random_times_follow_from_the_seed_and_the_last_one(seed: int, dealt: int) -> None:
    spec = Spec(Random(6 * 3600.0, 600.0), "Europe/Berlin", (parse_window("mon-fri 09:00-17:00"),), seed=seed)
    times = first(spec, dealt + 5)
    again = islice(dues(spec, times[dealt - 1].at, START + HORIZON), 5)
    assert list(again) == times[dealt:]


@given(st.integers(0, 2**63 - 1), st.integers(1, 50), st.sampled_from([60.0, 300.0, 7200.0]))
def test_jitter_belongs_to_the_due_time_and_never_changes_the_order(
    seed: int, dealt: int, jitter_s: float
) -> None:
    spec = Spec(Cron(checked("*/10 * * * *")), "UTC", jitter_s=jitter_s, seed=seed)
    times = first(spec, dealt + 5)
    assert all((due.starts - due.at).total_seconds() >= 0 for due in times)
    assert [due.starts for due in times] == sorted(due.starts for due in times)
    again = list(islice(dues(spec, times[dealt - 1].at, START + HORIZON), 5))
    assert [due.at for due in again] == [due.at for due in times[dealt:]]
    if jitter_s <= 600.0:
        assert again == times[dealt:]


def test_a_moment_that_does_not_exist_is_made_up_for_and_one_that_comes_twice_is_the_first() -> None:
    gap = next_due(Spec(Once(datetime(2027, 3, 28, 2, 30)), "Europe/Berlin"), START)
    assert gap is not None and gap.at == berlin(2027, 3, 28, 3, 0)
    assert gap.note == (
        "02:30 does not exist on 2027-03-28 (the clock goes from 02:00 to 03:00): runs once, at 03:00"
    )
    fold = next_due(Spec(Once(datetime(2027, 10, 31, 2, 30)), "Europe/Berlin"), START)
    assert fold is not None and fold.at == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert fold.note == "02:30 comes twice on 2027-10-31: this is the first"


def test_a_wildcard_job_that_a_gap_swallows_is_lost_and_says_so() -> None:
    spec = Spec(Cron(checked("*/30 2 * * *")), "Europe/Berlin")
    night = dues(spec, berlin(2027, 3, 28, 0, 0), berlin(2027, 3, 28, 12, 0))
    assert [(due.at, due.lost, due.note) for due in night] == [
        (
            berlin(2027, 3, 28, 3, 0),
            True,
            "02:00, 02:30 do not exist on 2027-03-28 (the clock goes from 02:00 to 03:00): not run",
        )
    ]


@pytest.mark.parametrize("start", [berlin(2027, 10, 31, 0, 0) + timedelta(minutes=n * 7) for n in range(40)])
def test_a_restart_within_the_double_hour_changes_nothing(start: datetime) -> None:
    for expression in ("0,30 1-3 * * *", "*/15 * * * *"):
        spec, end = Spec(Cron(checked(expression)), "Europe/Berlin"), berlin(2027, 10, 31, 6, 0)
        whole = list(dues(spec, berlin(2027, 10, 30, 12, 0), end))
        assert list(dues(spec, start, end)) == [due for due in whole if due.at > start]


@pytest.mark.parametrize(
    ("text", "local", "is_in"),
    [
        ("mon-fri 10:00-16:00", "2027-01-04T10:00", True),
        ("mon-fri 10:00-16:00", "2027-01-04T16:00", False),
        ("mon-fri 10:00-16:00", "2027-01-09T12:00", False),
        ("fri 22:00-04:00", "2027-01-09T03:59", True),
        ("fri 22:00-04:00", "2027-01-08T03:59", False),
        ("sat-mon,wed 00:00-24:00", "2027-01-06T23:59", True),
        ("02:30-03:30", "2027-03-28T03:15", True),
        ("02:15-02:45", "2027-03-28T03:15", False),
    ],
)
def test_a_window_is_open_by_the_clock_on_the_wall(text: str, local: str, is_in: bool) -> None:
    moment = datetime.fromisoformat(local).replace(tzinfo=BERLIN).astimezone(UTC)
    assert is_open([parse_window(text)], BERLIN, moment) is is_in


CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:weekly
DTSTART;TZID=Europe/Berlin:20270104T230000
DTEND;TZID=Europe/Berlin:20270105T010000
RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20270426T210000Z
EXDATE;TZID=Europe/Berlin:20270111T230000
SUMMARY:Backup night
END:VEVENT
BEGIN:VEVENT
UID:weekly
RECURRENCE-ID;TZID=Europe/Berlin:20270118T230000
DTSTART;TZID=Europe/Berlin:20270119T120000
DURATION:PT1H
SUMMARY:Backup night
END:VEVENT
BEGIN:VEVENT
UID:days
DTSTART;VALUE=DATE:20271224
DTEND;VALUE=DATE:20271227
SUMMARY:Christmas
END:VEVENT
BEGIN:VEVENT
UID:off
STATUS:CANCELLED
DTSTART:20270601T000000Z
DTEND:20270701T000000Z
SUMMARY:Not held
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("moment", "held"),
    [
        (berlin(2027, 1, 5, 0, 59), "Backup night"),
        (berlin(2027, 1, 5, 1, 0), ""),
        (berlin(2027, 1, 11, 23, 30), ""),  # EXDATE
        (berlin(2027, 1, 18, 23, 30), ""),  # moved to noon
        (berlin(2027, 1, 19, 12, 30), "Backup night"),
        (berlin(2027, 4, 5, 23, 30), "Backup night"),  # summer time: still 23:00 on the wall
        (berlin(2027, 4, 26, 23, 30), "Backup night"),  # UNTIL, in UTC, is its start
        (berlin(2027, 5, 3, 23, 30), ""),
        (datetime(2027, 12, 23, 15, 30, tzinfo=UTC), "Christmas"),  # the day has begun in Seoul
        (datetime(2027, 12, 26, 15, 0, tzinfo=UTC), ""),
        (datetime(2027, 6, 15, tzinfo=UTC), ""),
    ],
)
def test_an_event_holds_its_moments_in_its_zone_and_whole_days_in_the_schedules(
    moment: datetime, held: str
) -> None:
    found = [event.summary for event in read_calendar("c", CALENDAR) if event.holds(moment, SEOUL)]
    assert found == ([held] if held else [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("SUMMARY:Backup night", "RRULE:FREQ=HOURLY"), "repeats within a day"),
        (("20270104T230000", "20270104T2300"), "DTSTART"),
        (("TZID=Europe/Berlin:20270104", "TZID=Nowhere/Else:20270104"), "there is no time zone Nowhere/Else"),
        (("BEGIN:VCALENDAR", "hello"), "not a good iCalendar file"),
        (("VEVENT", "VTODO"), "has no event"),
        (("FREQ=WEEKLY;BYDAY=MO;UNTIL=20270426T210000Z", "FREQ=FORTNIGHTLY"), "RRULE"),
        (("DTEND;TZID=Europe/Berlin:20270105", "DTEND;TZID=Europe/Berlin:20270103"), "an event lasts up to"),
    ],
)
def test_a_calendar_that_is_only_half_understood_is_refused(change: tuple[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_calendar("c", CALENDAR.replace(*change), START)


def test_a_calendar_that_would_take_long_to_look_through_is_refused() -> None:
    event = "BEGIN:VEVENT\nUID:{0}\nDTSTART:20200101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEND:VEVENT\n"
    many = "BEGIN:VCALENDAR\n" + "".join(event.format(n) for n in range(40)) + "END:VCALENDAR\n"
    with pytest.raises(UsageError, match="over 100000 times within 10 years"):
        check_calendar("c", many, START)
