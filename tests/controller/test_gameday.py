"""A game day from its plan to its report, through the API over fake agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blackstart_controller.plan.model import Finding
from blackstart_controller.security.roles import Role
from blackstart_controller.store.gamedays import GAMEDAY_ENTRIES
from blackstart_controller.store.model import StoreFailed
from controller.documents import changed
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection
from support.gamedays import DAY, NOW, Rig, rig, texts


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, hold_s=0.1) as found:
        yield found


async def test_a_whole_day_from_plan_to_report(made: Rig) -> None:
    day = await made.started()
    assert day == "winter-drill-2026-12-01"
    for number in (1, 2):
        run = (await made.post(day, "go", status=200))["run"]
        await made.until(day, *["run.ended"] * number)
        assert (await made.runs.get(run)).trigger == f"gameday:{day}"
    await made.post(day, "notes", {"text": "the pager was silent"}, 201)
    told = {"text": "no alarm", "severity": "high", "owner": "dee", "action": "OPS-7", "retest": "2027-01-15"}
    assert (await made.post(day, "findings", told, 201))["finding"] == 1
    await made.post(day, "hypotheses/1", {"result": "broken", "text": "it came back only after"}, 201)
    await made.post(day, "findings/1/retests", {"run": run}, 201)
    await made.post(day, "finish", status=200)
    report = (await made.client.get(f"/v1/gamedays/{day}/report.json")).json()
    assert report["state"] == "finished"
    assert [one["run"]["verdict"] for one in report["experiments"]] == ["pass", "pass"]
    [service] = report["experiments"][0]["run"]["services"]
    assert (service["name"], service["met"]) == ("shop", True)
    assert service["recovery"]["low"] is not None
    [found] = report["findings"]
    assert (found["retest"], found["retests"][0]["run"]["run"]) == ("2027-01-15", run)
    assert report["hypotheses"][0]["result"] == "broken"
    notes = [one for one in report["timeline"] if one["kind"] == "note"]
    assert [(one["author"], one["text"]) for one in notes] == [("alice", "the pager was silent")]


async def test_a_day_without_findings_says_so(made: Rig) -> None:
    day = await made.started()
    finished = await made.post(day, "finish", status=200)
    assert finished["findings_text"] == "No findings were recorded."
    for form in ("md", "html"):
        text = (await made.client.get(f"/v1/gamedays/{day}/report.{form}")).text
        assert "No findings were recorded." in text


async def test_a_day_is_not_started_before_its_checklist_is_complete(made: Rig) -> None:
    day = await made.planned()
    refused = await made.post(day, "start", status=409)
    assert "1 On-call is told: nobody has ticked it" in refused["error"]["message"]
    await made.post(day, "check", {"done": ["on-call"]}, 200)
    await made.fleet.disconnect("t1")
    refused = await made.post(day, "start", status=409)
    assert "2 agents_up: not connected: t1" in refused["error"]["message"]
    started = await made.post(day, "start", {"override": "t1 is a spare"}, 200)
    assert (started["state"], started["override"]) == ("running", "t1 is a spare")
    [entry] = [one for one in started["timeline"] if one["kind"] == "started"]
    assert entry["text"] == "not ready, and started all the same: t1 is a spare"


async def test_a_day_outside_its_window_needs_a_reason(made: Rig) -> None:
    day = await made.planned()
    await made.post(day, "check", {"done": ["1"]}, 200)
    made.at(datetime(2026, 12, 1, 0, 59, tzinfo=UTC))
    refused = await made.post(day, "start", status=409)
    assert "its window opens only at 2026-12-01T01:00:00.000Z" in refused["error"]["message"]
    made.at(NOW)
    await made.post(day, "start", status=200)
    made.at(datetime(2026, 12, 1, 7, 0, tzinfo=UTC))
    assert "its window closed" in (await made.post(day, "go", status=409))["error"]["message"]
    assert (await made.post(day, "go", {"override": "the last one"}, 200))["run"]


async def test_one_hold_point_is_passed_once_however_many_say_go(made: Rig) -> None:
    day = await made.started()
    answers = await asyncio.gather(*(made.client.post(f"/v1/gamedays/{day}/go", json={}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert len(await made.runs.list()) == 1


async def test_a_run_that_is_refused_keeps_its_hold_point(made: Rig) -> None:
    day = await made.started()
    made.plan = replace(made.plan, findings=(Finding("error", "too many hosts"),))
    refused = await made.post(day, "go", status=409)
    assert "too many hosts" in refused["error"]["message"]
    shown = await made.day(day)
    assert (shown["experiments"][0]["state"], shown["experiments"][0]["why"]) == ("refused", "too many hosts")
    made.plan = replace(made.plan, findings=())
    await made.post(day, "go", status=200)
    assert (await made.until(day, "run.ended"))["experiments"][0]["state"] == "ended"


async def test_what_has_no_hold_point_follows_a_run_that_passed(made: Rig) -> None:
    document = changed(
        DAY, "name: kill-two, file: kill-two.yaml", "name: kill-two, file: k2.yaml, hold: false"
    )
    day = await made.started(document)
    await made.post(day, "go", status=200)
    shown = await made.until(day, "run.ended", "run.ended")
    assert [one["go_by"] for one in shown["experiments"]] == ["alice", "blackstart"]


async def test_nothing_follows_by_itself_a_run_that_was_halted(tmp_path: Path) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        document = changed(
            DAY, "name: kill-two, file: kill-two.yaml", "name: kill-two, file: k2.yaml, hold: false"
        )
        day = await made.started(document)
        run = (await made.post(day, "go", status=200))["run"]
        await made.runs.halt(run, "enough", "bob")
        shown = await made.until(day, "held")
        assert shown["experiments"][1]["state"] == "waiting"


async def test_an_abort_halts_the_run_and_ends_the_day(tmp_path: Path) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        day = await made.started()
        run = (await made.post(day, "go", status=200))["run"]
        aborted = await made.post(day, "abort", {"reason": "customers call"}, 200)
        assert (aborted["state"], aborted["ended_why"]) == ("aborted", "customers call")
        shown = await made.until(day, "run.ended")
        row = await made.runs.get(run)
        assert (row.verdict, row.reverted, row.halted_by) == ("halted", "confirmed", "alice")
        assert shown["experiments"][1]["state"] == "not run"
        assert "is aborted" in (await made.post(day, "go", status=409))["error"]["message"]
        await made.post(day, "abort", {"reason": "again"}, 200)


async def test_an_abort_halts_also_while_the_database_is_gone(tmp_path: Path) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        day = await made.started()
        run = (await made.post(day, "go", status=200))["run"]
        real, made.days._store = made.days._store, _Broken()  # type: ignore[assignment]
        answer = await made.client.post(f"/v1/gamedays/{day}/abort", json={"reason": "now"})
        assert answer.status_code == 503
        made.days._store = real
        async with asyncio.timeout(30):
            await made.runs.wait(run)
        assert (await made.runs.get(run)).verdict == "halted"


async def test_a_day_is_not_finished_under_a_run(tmp_path: Path) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        day = await made.started()
        run = (await made.post(day, "go", status=200))["run"]
        assert run in (await made.post(day, "finish", status=409))["error"]["message"]


async def test_a_restart_goes_on_with_the_day_and_its_run(tmp_path: Path) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        day = await made.started()
        run = (await made.post(day, "go", status=200))["run"]
    async with rig(tmp_path, hold_s=0.1) as again:
        shown = await again.until(day, "run.ended")
        assert shown["state"] == "running"
        assert shown["experiments"][0]["run"]["run"] == run
        assert shown["experiments"][0]["run"]["verdict"] != "pass"
        await again.post(day, "go", status=200)
        shown = await again.until(day, "run.ended", "run.ended")
        assert [one["kind"] for one in shown["timeline"]].count("run.ended") == 2


async def test_a_go_whose_run_never_began_is_told_after_a_restart(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        day = await made.started()

        async def dies(_launch: object) -> str:
            raise asyncio.CancelledError

        made.runs.start = dies  # type: ignore[method-assign,assignment]
        with pytest.raises(asyncio.CancelledError):
            await made.days.go(day, "alice")
    async with rig(tmp_path, hold_s=0.1) as again:
        shown = await again.day(day)
        assert shown["experiments"][0]["state"] == "refused"
        assert "restarted before the run began" in shown["experiments"][0]["why"]
        await again.post(day, "go", status=200)


async def test_nobody_can_change_a_line_of_the_timeline(made: Rig) -> None:
    await made.planned()

    async def forge(connection: AsyncConnection) -> None:
        await connection.execute(update(GAMEDAY_ENTRIES).values(text="it was fine"))

    async def forget(connection: AsyncConnection) -> None:
        await connection.execute(delete(GAMEDAY_ENTRIES))

    for work in (forge, forget):
        with pytest.raises(StoreFailed, match="gameday_entries is append-only"):
            await made.store.write(work)


async def test_a_new_version_of_a_planned_day_keeps_its_id_and_forgets_its_ticks(made: Rig) -> None:
    day = await made.planned()
    await made.post(day, "check", {"done": ["1"]}, 200)
    document = changed(DAY, "Lose the first site", "Lose the second site")
    body = {"document": document, "file": "d.yaml", "experiments": texts(DAY), "replaces": day}
    answer = (await made.client.post("/v1/gamedays", json=body)).json()["gameday"]
    assert (answer["id"], answer["title"], answer["revision"]) == (day, "Lose the second site", 1)
    assert answer["checklist"][0]["ok"] is None
    assert await made.planned() == f"{day}-2"


async def test_a_viewer_only_looks(made: Rig) -> None:
    day = await made.planned()
    for role, statuses in ((Role.VIEWER, (403, 403)), (Role.OPERATOR, (201, 200))):
        headers = {"Authorization": f"Bearer {await made.token(f'a-{role}', role)}"}
        for what, body, status in zip(
            ("notes", "abort"), ({"text": "x"}, {"reason": "x"}), statuses, strict=True
        ):
            answer = await made.client.post(f"/v1/gamedays/{day}/{what}", json=body, headers=headers)
            assert answer.status_code == status, (role, what)
        assert (await made.client.get(f"/v1/gamedays/{day}", headers=headers)).status_code == 200


async def test_a_day_that_nobody_started_is_missed_when_its_window_closes(made: Rig) -> None:
    day = await made.planned()
    made.at(NOW + timedelta(days=1))
    await made.days.timers.act()
    shown = await made.day(day)
    assert (shown["state"], shown["ended_why"]) == (
        "missed",
        "its window closed before anybody started it",
    )


class _Broken:
    async def change(self, *_args: object) -> None:
        raise StoreFailed("the database refused a write: disk I/O error")
