"""A year of due times in zones whose clocks change, against an oracle that looks at every minute."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from blackstart_controller.schedule.cron import checked
from blackstart_controller.schedule.due import dues
from blackstart_controller.schedule.model import Cron, DueState, Spec
from croniter import CroniterBadDateError, croniter
from support.cron_oracle import due_times
from support.scheduled import Stage
from support.virtual import run_virtual

START, YEAR = datetime(2027, 1, 1), timedelta(days=365)
ZONES = ("Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns")
MORE_ZONES = ("Africa/Casablanca", "America/Santiago", "Asia/Kathmandu", "Pacific/Chatham", "America/Havana")
CRONS = (
    "0 9 * * mon-fri",
    "0 10 * * 0",
    "0 10 * * 7",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "*/30 2 * * *",
    "15 * * * sat,sun",
    "0 */3 * * *",
    "45 1 1-7 * */2",
    "0 12 1,15 jan-jun mon",
    "5 4 29 2 *",
    "59 23 31 dec *",
)
FREQUENT = ("*/20 * * * *", "7-59/13 0-5 * * *")


def ours(expression: str, zone: str) -> list[datetime]:
    spec, start = Spec(Cron(checked(expression)), zone), START.replace(tzinfo=UTC)
    found = dues(spec, start - timedelta(seconds=1), start + YEAR - timedelta(seconds=1))
    return [due.at for due in found if not due.lost]


def oracle(expression: str, zone: str) -> list[datetime]:
    return due_times(expression, zone, START, START + YEAR)


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_due_times_is_what_the_oracle_finds(zone: str) -> None:
    for expression in CRONS:
        assert ours(expression, zone) == oracle(expression, zone), expression


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Europe/Berlin"])
def test_frequent_jobs_follow_the_clock_as_it_is_shown(zone: str) -> None:
    for expression in FREQUENT:
        assert ours(expression, zone) == oracle(expression, zone), expression


@pytest.mark.deep
@pytest.mark.timeout(180)
@pytest.mark.parametrize("zone", [*ZONES, *MORE_ZONES])
def test_a_year_of_chance_expressions_is_what_the_oracle_finds(zone: str) -> None:
    chance = random.Random(zone)
    compared = 0
    for _ in range(120):
        expression = chance_expression(chance)
        found = ours(expression, zone)
        assert found == oracle(expression, zone), expression
        compared += len(found)
    print(f"{zone}: {compared} due times of 120 expressions, no difference")


def chance_expression(chance: random.Random) -> str:
    def field(low: int, high: int, stars: float) -> str:
        first, last = sorted(chance.sample(range(low, high + 1), 2))
        step = chance.randint(2, 9)
        if chance.random() < stars:
            return chance.choice(["*", f"*/{step}"])
        return chance.choice([str(first), f"{first}-{last}", f"{first},{last}", f"{first}-{last}/{step}"])

    night = chance.choice([(0, 3), (0, 23)])
    parts = (field(0, 59, 0.2), field(*night, 0.2), field(1, 28, 0.7), field(1, 12, 0.7), field(0, 6, 0.6))
    return " ".join(parts)


TWICE = "croniter runs a fixed time twice on the night that has it twice; here it runs once"
MADE_UP = "croniter makes up for a wildcard job in the gap; here it is not run, and a skip says so"
MISSED = "croniter misses one of two times half an hour apart; here both are run, as clocks show both"
CRONITER_DIFFERS = {
    ("Europe/Berlin", "30 2 * * *", "2027-10-31T02:30:00+01:00"): TWICE,
    ("Europe/Berlin", "0,30 1-3 * * *", "2027-10-31T02:00:00+01:00"): TWICE,
    ("Europe/Berlin", "0,30 1-3 * * *", "2027-10-31T02:30:00+01:00"): TWICE,
    ("Europe/Berlin", "*/30 2 * * *", "2027-03-28T03:00:00+02:00"): MADE_UP,
    ("America/New_York", "0,30 1-3 * * *", "2027-11-07T01:00:00-05:00"): TWICE,
    ("America/New_York", "0,30 1-3 * * *", "2027-11-07T01:30:00-05:00"): TWICE,
    ("America/New_York", "45 1 1-7 * */2", "2027-11-07T01:45:00-05:00"): TWICE,
    ("America/New_York", "*/30 2 * * *", "2027-03-14T03:00:00-04:00"): MADE_UP,
    ("Australia/Lord_Howe", "0,30 1-3 * * *", "2027-04-04T01:30:00+10:30"): TWICE,
    ("Australia/Lord_Howe", "45 1 1-7 * */2", "2027-04-04T01:45:00+10:30"): TWICE,
    ("Australia/Lord_Howe", "*/20 * * * *", "2027-04-04T01:40:00+10:30"): MISSED,
    ("America/St_Johns", "0,30 1-3 * * *", "2027-11-07T01:00:00-03:30"): TWICE,
    ("America/St_Johns", "0,30 1-3 * * *", "2027-11-07T01:30:00-03:30"): TWICE,
    ("America/St_Johns", "45 1 1-7 * */2", "2027-11-07T01:45:00-03:30"): TWICE,
    ("America/St_Johns", "*/30 2 * * *", "2027-03-14T03:00:00-02:30"): MADE_UP,
}


@pytest.mark.deep
@pytest.mark.parametrize("zone", ZONES)
def test_croniter_by_itself_differs_only_where_it_is_documented(zone: str) -> None:
    there = ZoneInfo(zone)
    for expression in (*CRONS, "15 * * * *", "*/20 * * * *"):
        differing = set(ours(expression, zone)) ^ set(by_croniter(expression, there))
        told = {moment for where, what, moment in CRONITER_DIFFERS if (where, what) == (zone, expression)}
        assert {at.astimezone(there).isoformat() for at in differing} == told, expression


def by_croniter(expression: str, zone: ZoneInfo) -> Iterator[datetime]:
    start = START.replace(tzinfo=UTC)
    times = croniter(
        expression,
        (start - timedelta(seconds=1)).astimezone(zone),
        ret_type=datetime,
        implement_cron_bug=True,  # as Debian's cron: a day field that begins with * restricts
    )
    with contextlib.suppress(CroniterBadDateError):  # no 29 February comes soon enough
        while (at := times.get_next(datetime).astimezone(UTC)) < start + YEAR:
            yield at


@pytest.mark.parametrize("zone", ZONES)
def test_the_real_waker_runs_a_year_of_schedules_once_each_on_a_virtual_clock(zone: str) -> None:
    expressions = ("0 9 * * mon-fri", "30 2 * * *", "*/30 2 * * *")

    async def year() -> dict[str, list[Any]]:
        stage = Stage(START.replace(tzinfo=UTC), look_every_s=6 * 3600.0)
        async with stage.alive() as schedules:
            ids = {
                expression: await stage.armed(schedules, f"s{number}", cron=expression, zone=zone)
                for number, expression in enumerate(expressions)
            }
            await stage.until(START.replace(tzinfo=UTC) + YEAR - timedelta(seconds=1))
        started = [launch.idempotency_key for launch in stage.runs.launches]
        assert len(started) == len(set(started))
        return {expression: stage.outcomes(made) for expression, made in ids.items()}

    outcomes = run_virtual(year(), resolution_s=1e-6)
    start = START.replace(tzinfo=UTC)
    for expression, rows in outcomes.items():
        wanted = [at for at in oracle(expression, zone) if at > start]
        assert [row.due for row in rows if row.state == DueState.RUN] == wanted, expression
        left = [row for row in rows if row.state != DueState.RUN]
        assert all(row.reason.startswith("clock change: ") for row in left), left
        assert all(0 <= (row.decided - row.due).total_seconds() < 1 for row in rows), expression
