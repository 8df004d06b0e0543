"""`/calendar.ics`: read back by icalendar, and by a strict reader of our own after RFC 5545."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from blackstart_controller.gameday.calendar import CalendarEvent, calendar_text
from blackstart_controller.security.roles import Role
from blackstart_controller.store.security import SqlTokens
from controller.documents import changed
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from support.gamedays import DAY, NOW, Rig, rig, texts

BARE = {"Authorization": ""}
NEEDED = {
    "VCALENDAR": {"PRODID": 1, "VERSION": 1},
    "VEVENT": {"UID": 1, "DTSTAMP": 1, "DTSTART": 1},
    "VTIMEZONE": {"TZID": 1},
    "STANDARD": {"DTSTART": 1, "TZOFFSETFROM": 1, "TZOFFSETTO": 1},
    "DAYLIGHT": {"DTSTART": 1, "TZOFFSETFROM": 1, "TZOFFSETTO": 1},
}
ONCE = ("DTEND", "SEQUENCE", "STATUS", "SUMMARY", "DESCRIPTION", "LAST-MODIFIED", "TRANSP")
LINE = re.compile(r'([A-Z0-9-]+)((?:;[A-Z0-9-]+=(?:"[^"\x00-\x1f]*"|[^";:,\x00-\x1f]*))*):(.*)', re.DOTALL)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as found:
        yield found


def events_of(text: str | bytes) -> list[Any]:
    """As a calendar program reads them; which type a property has is what the tests ask."""
    return Calendar.from_ical(text).walk("VEVENT")


async def feed_url(made: Rig, *, times: bool = False) -> str:
    answer = await made.client.post("/v1/feeds", json={"times": times})
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url


async def test_a_calendar_program_reads_the_day_in_its_own_zone(made: Rig) -> None:
    day = await made.planned()
    answer = await made.client.get(await feed_url(made), headers=BARE)
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    strict(answer.content)
    [event] = events_of(answer.text)
    assert str(event["uid"]) == f"gameday-{day}@blackstart"
    assert event["dtstart"].dt == datetime(2026, 12, 1, 10, tzinfo=ZoneInfo("Asia/Seoul"))
    assert event["dtstart"].params["TZID"] == "Asia/Seoul"
    assert event["dtend"].dt == datetime(2026, 12, 1, 16, tzinfo=ZoneInfo("Asia/Seoul"))
    assert str(event["status"]) == "CONFIRMED"
    assert "Abort owner: bob@example.com" in str(event["description"])


async def test_a_change_keeps_the_uid_and_counts_the_sequence_up(made: Rig) -> None:
    day = await made.planned()
    url = await feed_url(made)
    [before] = events_of((await made.client.get(url, headers=BARE)).text)
    document = changed(DAY, "T16:00", "T17:00")
    body = {"document": document, "file": "d.yaml", "experiments": texts(DAY), "replaces": day}
    await made.client.post("/v1/gamedays", json=body)
    [after] = events_of((await made.client.get(url, headers=BARE)).text)
    assert after["uid"] == before["uid"]
    assert (before["sequence"], after["sequence"]) == (0, 1)
    assert after["dtend"].dt.hour == 17
    await made.post(day, "abort", {"reason": "no"}, 200)
    [over] = events_of((await made.client.get(url, headers=BARE)).text)
    assert (over["sequence"], str(over["status"])) == (2, "CANCELLED")


async def test_a_feed_that_has_not_changed_is_not_sent_again(made: Rig) -> None:
    day = await made.planned()
    url = await feed_url(made)
    first = await made.client.get(url, headers=BARE)
    assert first.headers["cache-control"].startswith("private")
    headers = BARE | {"If-None-Match": first.headers["etag"]}
    again = await made.client.get(url, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    await made.post(day, "abort", {"reason": "no"}, 200)
    assert (await made.client.get(url, headers=headers)).status_code == 200


async def test_the_feed_opens_to_its_own_kind_of_token_only(made: Rig) -> None:
    url = await feed_url(made)
    token = url.partition("token=")[2]
    operators = made.client.headers["Authorization"].removeprefix("Bearer ")
    for wrong in ("", "bsc_wrong", operators, token[:-1], token.replace("bsc_", "bsk_")):
        answer = await made.client.get(f"/calendar.ics?token={wrong}", headers=BARE)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorised"
    for path in ("/v1/gamedays", "/v1/feeds", f"/v1/gamedays?token={token}"):
        answer = await made.client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
    assert token not in (await made.client.get("/v1/feeds")).text


async def test_a_revoked_feed_opens_nothing(made: Rig) -> None:
    url = await feed_url(made)
    [feed] = (await made.client.get("/v1/feeds")).json()["feeds"]
    headers = {"Authorization": f"Bearer {await made.token('eve', Role.OPERATOR)}"}
    path = f"/v1/feeds/{feed['id']}/revoke"
    assert (await made.client.post(path, json={}, headers=headers)).status_code == 404  # not hers
    assert (await made.client.post(path, json={})).status_code == 200
    assert (await made.client.get(url, headers=BARE)).status_code == 401


async def test_a_feed_dies_with_its_operators_last_token(made: Rig) -> None:
    headers = {"Authorization": f"Bearer {await made.token('eve', Role.VIEWER)}"}
    url = (await made.client.post("/v1/feeds", json={}, headers=headers)).json()["url"]
    assert (await made.client.get(url, headers=BARE)).status_code == 200
    for token in await made.tokens.operators():
        assert token.name != "eve" or await SqlTokens(made.store).delete_token(token.digest)
    assert (await made.client.get(url, headers=BARE)).status_code == 401


async def test_only_an_approvers_feed_that_asked_for_it_shows_a_secret_moment(made: Rig) -> None:
    day = await made.planned(changed(DAY, "scope:", "zero_notice: true\nscope:"))
    moment = datetime.fromisoformat((await made.day(day))["starts_at"])
    starts = []
    for times in (False, True):
        text = (await made.client.get(await feed_url(made, times=times), headers=BARE)).text
        [event] = events_of(text)
        starts.append(event["dtstart"].dt)
    assert starts == [datetime(2026, 12, 1, 10, tzinfo=ZoneInfo("Asia/Seoul")), moment]
    headers = {"Authorization": f"Bearer {await made.token('eve', Role.OPERATOR)}"}
    answer = await made.client.post("/v1/feeds", json={"times": True}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300),
    st.sampled_from(["Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_any_text_in_any_zone_is_read_back_as_it_was_written(text: str, zone: str) -> None:
    start = NOW.astimezone(ZoneInfo(zone))
    end = start.replace(hour=23)
    event = CalendarEvent("u@x", start, end, zone, text, f"{text}\nBEGIN:VEVENT", "CONFIRMED", 3, NOW)
    written = calendar_text([event])
    strict(written)
    [read] = events_of(written)
    assert str(read["summary"]) == text
    assert str(read["description"]) == f"{text}\nBEGIN:VEVENT"
    assert read["dtstart"].dt == start


def test_every_zone_that_is_named_is_defined_and_has_the_right_offset() -> None:
    events = [
        CalendarEvent(f"{zone}@x", start, start, zone, "s", "d", "CONFIRMED", 0, NOW)
        for zone in ("Europe/Berlin", "America/New_York", "Asia/Seoul")
        for month in (1, 7)
        for start in (datetime(2027, month, 15, 12, tzinfo=ZoneInfo(zone)),)
    ]
    lines = strict(calendar_text(events))
    zones = {value for name, _params, value in lines if name == "TZID"}
    used = {params[len(";TZID=") :] for name, params, _ in lines if name == "DTSTART" and "TZID" in params}
    assert used <= zones
    for read in events_of(calendar_text(events)):
        zone = str(read["uid"]).partition("@")[0]
        assert read["dtstart"].dt.utcoffset() == read["dtstart"].dt.astimezone(ZoneInfo(zone)).utcoffset()


def strict(data: bytes) -> list[tuple[str, str, str]]:
    """The content lines; fails on whatever RFC 5545 does not allow in what we write."""
    assert data.endswith(b"\r\n")
    raw = data.split(b"\r\n")[:-1]
    for line in raw:
        assert len(line) <= 75, line
        assert b"\r" not in line
        assert b"\n" not in line
        line.decode("utf-8")  # no character is torn apart by folding
    lines = [line.decode() for line in unfolded(raw)]
    parsed = []
    for text in lines:
        found = LINE.fullmatch(text)
        assert found, text
        parsed.append((found[1], found[2], found[3]))
    counted(parsed)
    return parsed


def unfolded(raw: list[bytes]) -> Iterator[bytes]:
    whole = b""
    for line in raw:
        if line[:1] in (b" ", b"\t"):
            whole += line[1:]
            continue
        if whole:
            yield whole
        whole = line
    yield whole


def counted(lines: list[tuple[str, str, str]]) -> None:
    """Components are nested, and each has what it needs, once."""
    assert lines[0] == ("BEGIN", "", "VCALENDAR")
    assert lines[-1] == ("END", "", "VCALENDAR")
    stack: list[tuple[str, dict[str, int]]] = []
    for name, _params, value in lines:
        if name == "BEGIN":
            stack.append((value, {}))
        elif name == "END":
            component, seen = stack.pop()
            assert component == value
            assert {key: seen.get(key, 0) for key in NEEDED[component]} == NEEDED[component], (
                component,
                seen,
            )
            assert all(seen.get(key, 0) <= 1 for key in ONCE), (component, seen)
        else:
            stack[-1][1][name] = stack[-1][1].get(name, 0) + 1
    assert not stack
