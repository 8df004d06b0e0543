"""What becomes of due times: each has one run or one reason, whatever happens to clocks and controllers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.jobstores.memory import MemoryJobStore
from blackstart_controller.errors import InvalidDocument, NoTargets, Refused, UsageError
from blackstart_controller.schedule.alarm import ApschedulerAlarms
from blackstart_controller.schedule.model import DueState, Schedule
from blackstart_controller.schedule.service import Schedules
from support.scheduled import DOCUMENT, Stage
from support.virtual import run_virtual

START = datetime(2027, 1, 4, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
Play = Callable[[Stage], Coroutine[Any, Any, None]]
FREEZE = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:1
DTSTART:20270104T080000Z
DTEND:20270104T120000Z
SUMMARY:Year end
END:VEVENT
END:VCALENDAR
"""


def play(scene: Play) -> None:
    async def whole() -> None:
        await scene(Stage(START))

    run_virtual(whole())


def told(stage: Stage, made: str) -> list[str]:
    """Each outcome: its hour, and `run` or the kind of its reason."""
    return [
        f"{row.due:%H:%M} {'run' if row.state == DueState.RUN else row.reason.partition(':')[0]}"
        for row in stage.outcomes(made)
    ]


def test_each_due_time_starts_one_run_with_its_own_key_and_the_second_person() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *")
            await stage.until(START + 3.5 * HOUR)
            assert told(stage, made) == ["01:00 run", "02:00 run", "03:00 run"]
            launch = stage.runs.launches[0]
            assert launch.idempotency_key == f"schedule:{made}:2027-01-04T01:00:00.000Z"
            assert (launch.operator, launch.approved_by, launch.trigger) == (
                "maker",
                "second",
                "schedule:hourly",
            )
            await schedules.disarm("hourly")
            for hour, by, approver in ((4, "maker", True), (5, "another", False)):
                await schedules.arm("hourly", by, approver=approver, plan_hash="0123abcd")
                await stage.until(START + (hour + 0.5) * HOUR)
                launch = stage.runs.launches[-1]
                assert (launch.approved_by, launch.plan_hash) == (None, "0123abcd")
            with pytest.raises(UsageError, match="8 to 64 hexadecimal digits"):
                await schedules.arm("hourly", "maker", plan_hash="0123")

    play(scene)


def test_a_schedule_runs_nothing_until_armed_nor_while_paused_and_each_skip_is_told() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made, _ = await schedules.add("hourly", {"zone": "UTC", "cron": "0 * * * *"}, DOCUMENT, "maker")
            await stage.until(START + 1.5 * HOUR)
            await schedules.arm("hourly", "second")
            await stage.until(START + 2.5 * HOUR)
            await schedules.pause("hourly", "carol", "exams")
            await stage.until(START + 3.5 * HOUR)
            await schedules.resume("hourly")
            await stage.until(START + 4.5 * HOUR)
            await schedules.remove("hourly")
            await stage.until(START + 6 * HOUR)
            assert told(stage, made.id) == ["01:00 disarmed", "02:00 run", "03:00 paused", "04:00 run"]
            assert [notice.type for notice in stage.told.notices] == ["schedule.skipped"] * 2
            assert stage.told.notices[1].data["reason"] == "paused: by carol, exams"

    play(scene)


def test_windows_calendars_and_holidays_are_skipped_with_their_reason() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            await schedules.import_calendar("freeze", FREEZE, "carol")
            window = await stage.armed(
                schedules, "window", cron="0 9 * * *", zone="Asia/Seoul", windows=["mon-fri 10:00-16:00"]
            )
            freeze = await stage.armed(schedules, "freeze", cron="0 11,12 * * *", calendars=["freeze"])
            seollal = await stage.armed(
                schedules, "holiday", at="2027-02-08T10:00", zone="Asia/Seoul", holidays=["KR"]
            )
            await stage.until(START + 13 * HOUR)
            assert told(stage, freeze) == ["11:00 calendar", "12:00 run"]
            assert stage.outcomes(freeze)[0].reason == "calendar: Year end until 2027-01-04 12:00 (freeze)"
            assert told(stage, window) == []  # 09:00 in Seoul is midnight here: it had passed
            await stage.until(START + 25 * HOUR)
            [row] = stage.outcomes(window)
            assert row.reason.startswith("window: Tue 2027-01-05 09:00 is not within mon-fri 10:00-16:00")
            with pytest.raises(Refused, match="freeze must not run in it"):
                await schedules.remove_calendar("freeze")
            await stage.until(datetime(2027, 2, 9, tzinfo=UTC))
            [row] = stage.outcomes(seollal)
            assert row.reason.startswith("holiday: 2027-02-08 is ")

    play(scene)


@pytest.mark.parametrize(
    ("refusing", "reason"),
    [
        (Refused("the lever is engaged"), "refused: the lever is engaged"),
        (NoTargets("no target"), "no target: no target"),
        (InvalidDocument("x.yaml:1:1: wrong"), "document invalid: x.yaml:1:1: wrong"),
    ],
)
def test_a_run_that_is_refused_is_a_skip_with_what_was_said(refusing: Refused, reason: str) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *")
            stage.runs.refusing = refusing
            await stage.until(START + 1.5 * HOUR)
            assert [row.reason for row in stage.outcomes(made)] == [reason]

    play(scene)


@pytest.mark.parametrize(
    ("lasting_s", "overlap", "wanted"),
    [
        (5400.0, "skip", ["01:00 run", "02:00 overlap", "03:00 run"]),
        (3900.0, "wait:15m", ["01:00 run", "02:00 run", "03:00 run"]),
        (5400.0, "wait:10m", ["01:00 run", "02:00 overlap", "03:00 run"]),
    ],
)
def test_a_run_never_overlaps_the_one_before(lasting_s: float, overlap: str, wanted: list[str]) -> None:
    async def scene(stage: Stage) -> None:
        stage.runs.lasting_s = lasting_s
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *", overlap=overlap)
            await stage.until(START + 3.5 * HOUR)
            assert told(stage, made) == wanted

    play(scene)


def test_what_was_missed_is_skipped_with_how_late_it_was_or_run_within_its_time() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            skip = await stage.armed(schedules, "skip", cron="0 * * * *")
            within = await stage.armed(schedules, "within", cron="0 * * * *", missed="within:2h")
        await stage.until(START + 4.5 * HOUR)
        async with stage.alive():
            await stage.until(START + 4.6 * HOUR)
            assert told(stage, skip) == ["01:00 missed", "02:00 missed", "03:00 missed", "04:00 missed"]
            assert stage.outcomes(skip)[3].reason.endswith("late by 0:30:00")
            assert told(stage, within) == ["01:00 missed", "02:00 missed", "03:00 missed", "04:00 run"]
            assert "a later due time is run instead" in stage.outcomes(within)[2].reason

    play(scene)


def test_a_long_outage_is_told_as_one_skip_with_its_count_and_nothing_is_kept_silent() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "minutes", cron="* * * * *")
        await stage.until(START + timedelta(days=30, seconds=30))
        async with stage.alive():
            await stage.until(START + timedelta(days=30, seconds=90))
        rows = stage.outcomes(made)
        assert [row.count for row in rows] == [30 * 24 * 60 - 1, 1, 1]
        assert (rows[0].due, rows[0].until) == (START + HOUR / 60, START + timedelta(days=30, minutes=-1))
        assert "the first of 43199 due times in a row, told as one" in rows[0].reason
        assert [row.state for row in rows[1:]] == [DueState.RUN, DueState.RUN]

    play(scene)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 30 * HOUR, timedelta(minutes=59, seconds=58)])
def test_a_clock_that_jumps_fires_nothing_twice_and_skips_nothing_silently(jump: timedelta) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *")
            await stage.until(START + 10.1 * HOUR)
            stage.clock.ahead = jump
            end = START + 15.5 * HOUR + max(jump, timedelta(0))
            await stage.until(end)
        rows = stage.outcomes(made)
        assert [row.due for row in rows] == [
            START + n * HOUR for n in range(1, int((end - START) / HOUR) + 1)
        ]
        keys = [launch.idempotency_key for launch in stage.runs.launches]
        assert len(keys) == len(set(keys)) == sum(row.state == DueState.RUN for row in rows)
        assert all(row.reason.startswith("missed: ") for row in rows if row.state != DueState.RUN)

    play(scene)


def test_a_clock_that_was_far_ahead_is_told_of_and_what_it_passed_is_not_done_again() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *")
            stage.clock.ahead = 100 * HOUR
            await stage.until(START + 101.5 * HOUR)
            stage.clock.ahead = timedelta(0)
            before = len(stage.outcomes(made))
            await stage.until(START + 20 * HOUR)
            assert len(stage.outcomes(made)) == before
            assert "the clock went back" in stage.told.notices[-1].text
            await stage.until(START + 102.5 * HOUR)
            assert len(stage.outcomes(made)) == before + 1

    play(scene)


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("down_s", [10.0, 600.0])
def test_a_claim_that_a_crash_left_is_resolved_by_its_key(started: bool, down_s: float) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            made = await stage.armed(schedules, "hourly", cron="0 * * * *")
        await stage.until(START + HOUR)
        [schedule] = await stage.store.schedules()
        await claim_and_crash(stage, schedule, started)
        await stage.until(START + HOUR + timedelta(seconds=down_s))
        async with stage.alive():
            await stage.until(START + HOUR + timedelta(seconds=down_s + 1))
        assert told(stage, made) == ["01:00 run" if started or down_s < 60 else "01:00 missed"]
        assert len(stage.runs.launches) == (1 if started or down_s < 60 else 0)

    play(scene)


async def claim_and_crash(stage: Stage, schedule: Schedule, started: bool) -> None:
    """As a controller that is killed after the claim, before or after the run was started."""
    from blackstart_controller.runs.launch import Launch
    from blackstart_controller.schedule.waker import _decided

    rows = _decided(schedule, {}, stage.clock.wall())
    assert await stage.store.deal(schedule, rows, rows[-1].until)
    if started:
        await stage.runs.start(Launch(DOCUMENT, "maker", idempotency_key=rows[-1].key))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"cron": "61 * * * *"}, r"minute '61' is not allowed; allowed: \*, 0 to 59"),
        (
            {"cron": "0 9 * * funday"},
            r"day of the week 'funday' is not allowed.*mon|sun to sat \(0 and 7 are Sun",
        ),
        ({"cron": "0 9 * * 8"}, r"0 to 7 or sun to sat \(0 and 7 are Sunday\)"),
        ({"cron": "@daily"}, "needs five fields"),
        ({"cron": "0 0 30 2 *"}, "day of the month 30 never comes in month 2"),
        ({"cron": "5/15 * * * *"}, "write 5-59/15"),
        ({"cron": "* * * * *", "at": "2027-01-05T10:00"}, "give one of"),
        ({"at": "tomorrow"}, "write a local time"),
        ({"at": "2026-01-05T10:00"}, "it would never run"),
        ({"mean": "1h", "min_gap": "2h"}, "at most the mean"),
        ({"cron": "0 9 * * *", "zone": "Asia/Soul"}, "did you mean Asia/Seoul"),
        ({"cron": "0 9 * * *", "windows": ["weekdays 9-5"]}, "write it like"),
        ({"cron": "0 9 * * *", "holidays": ["XX"]}, "unknown country"),
        ({"cron": "0 9 * * *", "calendars": ["none"]}, "there is no calendar none"),
        ({"cron": "0 9 * * *", "missed": "run"}, "allowed are skip and within:DURATION"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_what_is_allowed(words: dict[str, Any], error: str) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            with pytest.raises(UsageError, match=error):
                await schedules.add("x", {"zone": "UTC", **words}, DOCUMENT, "maker")
            assert await schedules.all() == []

    play(scene)


async def test_alarms_are_kept_in_memory_only_where_nothing_is_unpickled() -> None:
    alarms = ApschedulerAlarms()
    alarms.start(lambda: None)
    assert {type(store) for store in alarms._scheduler._jobstores.values()} == {MemoryJobStore}
    alarms.close()


def test_adding_warns_of_what_would_be_refused_now_and_a_name_is_taken_once() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.alive() as schedules:
            stage.runs.refusing = NoTargets("no host matches")
            _, warnings = await add_daily(schedules)
            assert warnings == ["no host matches"]
            with pytest.raises(Refused, match="there is one of this name"):
                await add_daily(schedules)
            await schedules.remove("daily")
            await add_daily(schedules)

    play(scene)


async def add_daily(schedules: Schedules) -> tuple[Schedule, list[str]]:
    return await schedules.add("daily", {"zone": "UTC", "cron": "0 9 * * *"}, DOCUMENT, "maker")
