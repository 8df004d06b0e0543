"""What happens to game days by itself: reminders, zero-notice starts, misses; across restarts, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from blackstart_controller.gameday.moment import chosen_moment
from blackstart_controller.security.roles import Role
from controller.documents import changed
from hypothesis import given
from hypothesis import strategies as st
from support.gamedays import DAY, NOW, HeardNotices, Rig, rig

OPENS = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)
CLOSES = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
EARLY = OPENS - timedelta(days=3)
ZERO_NOTICE = changed(DAY, "scope:", "zero_notice: true\nscope:")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as found:
        found.at(EARLY)
        yield found


async def secret_moment(made: Rig, day: str) -> datetime:
    return datetime.fromisoformat((await made.day(day))["starts_at"])


def reminders(notices: HeardNotices) -> list[int]:
    return [one.data["before_ms"] // 60_000 for one in notices.heard if one.type == "gameday.reminder"]


async def test_people_are_reminded_a_day_an_hour_and_ten_minutes_before(made: Rig) -> None:
    await made.planned()
    moment = EARLY
    while moment < OPENS:
        made.at(moment)
        await made.days.timers.act()
        moment += timedelta(minutes=30)
        made.at(OPENS - timedelta(minutes=10))
    await made.days.timers.act()
    assert reminders(made.notices) == [1440, 60, 10]
    assert "begins in 10m, at 2026-12-01 10:00 (Asia/Seoul)" in made.notices.heard[-1].text
    assert "abort owner bob@example.com" in made.notices.heard[-1].text


async def test_the_timers_ask_to_be_woken_at_the_next_reminder(made: Rig) -> None:
    await made.planned()
    made.at(OPENS - timedelta(days=1, seconds=7))
    assert 6.9 < await made.days.timers.act() <= 7.0


async def test_a_reminder_is_sent_once_whoever_restarts_when(tmp_path: Path) -> None:
    notices = HeardNotices()
    async with rig(tmp_path, notices) as made:
        made.at(EARLY)
        await made.planned()
    for _life in range(3):
        async with rig(tmp_path, notices) as made:
            made.at(OPENS - timedelta(minutes=59))
            await made.days.timers.act()
            await made.days.timers.act()
    assert reminders(notices) == [60]  # the one of the day before was due while nobody was there


async def test_a_controller_killed_after_publishing_publishes_again_under_the_same_id(tmp_path: Path) -> None:
    class Dying(HeardNotices):
        async def publish(self, notice: Any) -> None:
            await super().publish(notice)
            if self.published == 1:
                raise asyncio.CancelledError

    notices = Dying()
    async with rig(tmp_path, notices) as made:
        made.at(EARLY)
        await made.planned()
        made.at(OPENS - timedelta(minutes=5))
        with pytest.raises(asyncio.CancelledError):
            await made.days.timers.act()
    async with rig(tmp_path, notices) as made:
        made.at(OPENS - timedelta(minutes=4))
        await made.days.timers.act()
    assert notices.published == 2
    assert reminders(notices) == [10]


async def test_a_day_that_is_planned_late_gets_no_reminder_of_the_past(made: Rig) -> None:
    made.at(OPENS - timedelta(minutes=30))
    await made.planned()
    await made.days.timers.act()
    assert reminders(made.notices) == []


async def test_the_report_is_announced_once_when_the_day_is_over(tmp_path: Path) -> None:
    notices = HeardNotices()
    async with rig(tmp_path, notices) as made:
        day = await made.started()
        await made.days.timers.act()
        assert notices.types() == []
        await made.post(day, "finish", status=200)
    for _life in range(2):
        async with rig(tmp_path, notices) as made:
            await made.days.timers.act()
    assert notices.types() == ["gameday.report"]
    assert "finished: 0 of 2 experiments run, no findings" in notices.heard[0].text


# ---- zero notice ------------------------------------------------------------------------------------------


async def test_a_zero_notice_day_starts_by_itself_at_its_moment_and_only_once(made: Rig) -> None:
    day = await made.planned(ZERO_NOTICE)
    moment = await secret_moment(made, day)
    assert OPENS <= moment < CLOSES
    made.at(moment - timedelta(seconds=1))
    await made.days.timers.act()
    assert (await made.day(day))["state"] == "planned"
    made.at(moment)
    await asyncio.gather(*(made.days.timers.act() for _ in range(3)))
    shown = await made.until(day, "run.ended")
    assert shown["state"] == "running"
    assert shown["experiments"][0]["run"]["verdict"] == "pass"
    assert [one["kind"] for one in shown["timeline"]].count("started") == 1
    assert len(await made.runs.list()) == 1  # the second experiment waits at its hold point


async def test_its_moment_is_kept_across_restarts_and_the_next_life_starts_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.at(EARLY)
        day = await made.planned(ZERO_NOTICE)
        moment = await secret_moment(made, day)
    async with rig(tmp_path, timers=True) as made:
        made.at(moment + timedelta(seconds=30))
        made.days.timers.look()
        shown = await made.until(day, "run.ended")
    assert shown["state"] == "running"


async def test_a_moment_that_passed_while_nobody_was_there_is_missed_not_run(tmp_path: Path) -> None:
    notices = HeardNotices()
    async with rig(tmp_path, notices) as made:
        made.at(EARLY)
        day = await made.planned(ZERO_NOTICE)
        moment = await secret_moment(made, day)
    async with rig(tmp_path, notices) as made:
        made.at(moment + timedelta(seconds=61))
        await made.days.timers.act()
        await made.days.timers.act()
        shown = await made.day(day)
        assert (shown["state"], shown["ended_why"]) == ("missed", "no controller at its moment, 61 s ago")
        assert await made.runs.list() == []
    assert notices.types()[-1] == "gameday.report"
    assert "missed: no controller at its moment" in notices.heard[-1].text


async def test_a_zero_notice_day_that_is_not_ready_does_not_start_and_says_so(made: Rig) -> None:
    day = await made.planned(ZERO_NOTICE)
    moment = await secret_moment(made, day)
    await made.fleet.disconnect("t1")
    made.at(moment)
    await made.days.timers.act()
    await made.days.timers.act()
    shown = await made.day(day)
    assert shown["state"] == "missed"
    assert "agents_up: not connected: t1" in shown["ended_why"]
    assert "not connected: t1" in made.notices.heard[-1].text
    assert await made.runs.list() == []


async def test_only_who_may_approve_learns_the_moment(made: Rig) -> None:
    day = await made.planned(ZERO_NOTICE)
    moment = await secret_moment(made, day)
    made.at(OPENS - timedelta(minutes=5))
    await made.days.timers.act()
    feed = (await made.client.post("/v1/feeds", json={})).json()["url"].partition("8470")[2]
    paths = [f"/v1/gamedays/{day}{rest}" for rest in ("", "/report.json", "/report.html", "/report.md")]
    for role, seen in ((Role.VIEWER, False), (Role.OPERATOR, False), (Role.APPROVER, True)):
        headers = {"Authorization": f"Bearer {await made.token(f'a-{role}', role)}"}
        for path in ("/v1/gamedays", paths[0], paths[1]):
            text = (await made.client.get(path, headers=headers)).text
            assert tells(text, moment) == seen, (role, path)
        for path in paths[2:]:
            assert not tells((await made.client.get(path, headers=headers)).text, moment), (role, path)
    assert not tells((await made.client.get(feed, headers={"Authorization": ""})).text, moment)
    told = json.dumps([[one.text, dict(one.data)] for one in made.notices.heard])
    assert made.notices.heard
    assert not tells(told, moment)
    assert "comes without notice, between 2026-12-01 10:00 and 2026-12-01 16:00" in told


def tells(text: str, moment: datetime) -> bool:
    """Whether a moment can be read in a text, in UTC or as Seoul's clocks show it."""
    local = moment + timedelta(hours=9)
    forms = ("%H:%M:%S", "%H%M%S")
    return any(one.strftime(form) in text for one in (moment, local) for form in forms)


@given(st.integers(0, 2**53 - 1), st.integers(1, 40_000))
def test_a_moment_lies_in_its_window_and_follows_from_its_seed(seed: int, minutes: int) -> None:
    end = NOW + timedelta(minutes=minutes)
    moment = chosen_moment(NOW, end, seed)
    assert NOW <= moment < end
    assert chosen_moment(NOW, end, seed) == moment


def test_moments_are_spread_over_the_window_but_for_its_last_hour() -> None:
    end = NOW + timedelta(hours=10)
    hours = [int((chosen_moment(NOW, end, seed) - NOW).total_seconds() // 3600) for seed in range(1000)]
    assert min(hours.count(hour) for hour in range(9)) > 60
    assert max(hours) == 8
