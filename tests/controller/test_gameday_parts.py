"""Documents, checks, reports and the command line of game days."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from blackstart_controller.cli.root import run
from blackstart_controller.errors import BlackstartError, InvalidDocument, Refused
from blackstart_controller.gameday import formats, html
from blackstart_controller.gameday.document import gameday_schema, load_gameday, window_of
from blackstart_controller.gameday.states import TRANSITIONS, GameDayState, check_transition
from blackstart_controller.plan.model import WebhookStop
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.planning import PlanAnswer
from blackstart_controller.security.roles import Role
from blackstart_controller.spec.document import Document
from controller.documents import changed
from controller.test_report import XSS
from support.gamedays import DAY, EXPERIMENT, Rig, rig, texts

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, hold_s=0.2) as found:
        yield found


# ---- the document -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  owner: ann@example.com\n",
            "",
            "day.yaml:7:3: roles.owner: is missing; needed: owner, abort_owner",
        ),
        ("bob@example.com", '" "', "8:16: roles.abort_owner: may not be empty"),
        (
            "zone: Asia/Seoul",
            "zone: Asia/Soul",
            "4:64: window.zone: zone 'Asia/Soul': there is none; did you ",
        ),
        (
            "end: 2026-12-01T16:00",
            "end: 2026-12-01T09:00",
            "4:40: window.end: must be after start, 2026-12-01",
        ),
        ("start: 2026-12-01T10:00", "start: 2026-12-01", "4:17: window.start: must be a local date and time"),
        (
            "start: 2026-12-01T10:00",
            "start: 2026-13-01T10:00",
            "4:17: window.start: 2026-13-01T10:00 is no date",
        ),
        (
            "check: agents_up",
            "check: agents",
            "19:13: checklist[1].check: 'agents' is not allowed; allowed: agen",
        ),
        ("check: agents_up", "check: url", "19:5: checklist[1]: check: url needs url: https://"),
        ("name: kill-two", "name: kill-one", "15:5: experiments[1]: kill-one is experiments[0] already"),
        (
            ", file: kill-two.yaml",
            "",
            "15:5: experiments[1]: needs exactly one of the keys file, document; got none",
        ),
        ("title: Lose", "tittle: Lose", "2:1: tittle: unknown key; allowed: gameday, title"),
    ],
)
def test_a_wrong_document_is_told_with_its_place(old: str, new: str, expected: str) -> None:
    with pytest.raises(InvalidDocument) as told:
        load_gameday(changed(DAY, old, new), "day.yaml")
    assert expected in str(told.value)


def test_a_time_that_clocks_jump_over_is_refused() -> None:
    window = "window: {start: 2027-03-28T02:30, end: 2027-03-28T09:00, zone: Europe/Berlin}"
    document = changed(DAY, DAY.splitlines()[3], window)
    with pytest.raises(InvalidDocument, match=r"4:17: .*does not exist in Europe/Berlin: clocks jump"):
        load_gameday(document, "day.yaml")


def test_a_window_is_the_same_moment_for_everybody() -> None:
    assert [iso(one) for one in window_of(load_gameday(DAY, "d"))] == [
        "2026-12-01T01:00:00.000Z",
        "2026-12-01T07:00:00.000Z",
    ]


def test_the_example_of_the_manual_is_valid() -> None:
    manual = (ROOT / "docs" / "gamedays.md").read_text()
    example = manual.partition("```yaml\n")[2].partition("```")[0]
    assert load_gameday(example, "gamedays.md").experiments[2].hold is False


def test_the_published_schema_is_the_models_own() -> None:
    published = json.loads((ROOT / "docs" / "gameday.schema.json").read_text())
    assert published == gameday_schema()


async def test_what_is_wrong_in_an_experiment_is_told_in_its_own_file(made: Rig) -> None:
    body = {
        "document": DAY,
        "file": "d.yaml",
        "experiments": texts(DAY) | {"kill-two.yaml": "experiment: x\n"},
    }
    answer = await made.client.post("/v1/gamedays", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("kill-two.yaml:1:1: steps: is missing")


async def test_a_day_whose_next_step_is_smaller_is_warned_of(made: Rig) -> None:
    many = replace(made.plan, orders=tuple(replace(made.plan.orders[0], host=h) for h in ("t1", "o1")))
    real = made.runs.plan

    async def larger_first(document: Document) -> PlanAnswer:
        answer = await real(document)
        return replace(answer, plan=many) if document.file == "kill-one.yaml" else answer

    made.runs.plan = larger_first  # type: ignore[method-assign]
    body = {"document": DAY, "file": "d.yaml", "experiments": texts(DAY)}
    answer = (await made.client.post("/v1/gamedays", json=body)).json()
    [warning] = answer["warnings"]
    assert warning.startswith("kill-two hits less (1 host, 1 order) than kill-one before it (2 hosts")


@pytest.mark.parametrize("state", GameDayState)
@pytest.mark.parametrize("target", GameDayState)
def test_a_state_follows_only_where_the_table_says_so(state: GameDayState, target: GameDayState) -> None:
    if target in TRANSITIONS[state]:
        check_transition("d", state, target)
        return
    with pytest.raises(Refused, match=f"game day d: is {state} and cannot become {target}"):
        check_transition("d", state, target)


# ---- the checks -------------------------------------------------------------------------------------------

BACKUPS = changed(
    DAY, "  - {check: agents_up}", "  - {check: url, label: backup_recent, url: 'https://b.example/ok'}"
)


async def test_a_url_says_whether_backups_are_recent(made: Rig) -> None:
    day = await made.planned(BACKUPS)
    answers: list[tuple[int | str | None, bool, str]] = [
        (None, False, "https://b.example/ok is not allowed; use serve --allow-url"),
        (204, True, "answered 204"),
        (503, False, "answered 503"),
        ("no answer within 5 s", False, "no answer within 5 s"),
    ]
    for answer, ok, detail in answers:
        if answer is not None:
            made.outside.answers["https://b.example/ok"] = answer
        line = (await made.post(day, "check", status=200))["checklist"][1]
        assert (line["text"], line["ok"], line["detail"]) == ("backup_recent", ok, detail)


async def test_a_person_stands_in_for_a_source_that_is_silent_and_for_no_other(made: Rig) -> None:
    day = await made.planned(BACKUPS)
    made.outside.answers["https://b.example/ok"] = "no answer within 5 s"
    line = (await made.post(day, "check", {"done": ["backup"]}, 200))["checklist"][1]
    assert (line["ok"], line["by"]) == (True, "alice")
    assert (await made.post(day, "check", status=200))["checklist"][1]["by"] == "alice"
    made.outside.answers["https://b.example/ok"] = 500
    line = (await made.post(day, "check", status=200))["checklist"][1]
    assert (line["ok"], line["by"]) == (False, "blackstart")  # it speaks again, and it counts
    refused = await made.post(day, "check", {"done": ["backup"]}, 409)
    assert "was read, and says: answered 500" in refused["error"]["message"]
    refused = await made.post(day, "check", {"done": ["clocks_good"]}, 409)
    assert "checks itself" in refused["error"]["message"]
    refused = await made.post(day, "check", {"done": ["nothing like it"]}, 400)
    assert "use its number, 1 to 4" in refused["error"]["message"]


async def test_stop_conditions_must_be_readable_and_let_the_run_go_on(made: Rig) -> None:
    url = "https://ops.example/go"
    made.plan = replace(made.plan, stops=(WebhookStop("freeze", url, 5.0),))
    day = await made.planned(changed(DAY, "check: agents_up", "check: stop_conditions_readable"))
    for answer, ok in ((200, True), (503, False), ("no answer", False)):
        made.outside.answers[url] = answer
        line = (await made.post(day, "check", status=200))["checklist"][1]
        assert line["ok"] is ok, line
        assert ok or line["detail"].startswith("kill-one: freeze: ")


async def test_a_clock_that_is_known_too_badly_and_an_engaged_lever_are_told(made: Rig) -> None:
    class Engaged:
        reason = "a real outage"

        def engaged(self) -> Engaged:
            return self

    made.fleet.clock_error_ns = 60_000_000
    made.days._sources = replace(made.days._sources, lever=Engaged())
    day = await made.planned()
    lines = (await made.post(day, "check", status=200))["checklist"]
    assert lines[2]["detail"] == "t1: known to ± 60.0 ms; max_skew is 50 ms"
    assert lines[3]["detail"] == "engaged: a real outage; release it: blackstart lever release"
    assert [line["ok"] for line in lines] == [None, True, False, False]


async def test_a_plan_that_an_agent_refuses_is_not_valid(made: Rig) -> None:
    day = await made.planned(changed(DAY, "check: agents_up", "check: plans_valid"))
    assert (await made.post(day, "check", status=200))["checklist"][1]["ok"]
    made.fleet.agents["t1"].refuses = ("policy.toml forbids it",)
    line = (await made.post(day, "check", status=200))["checklist"][1]
    assert line["detail"] == "kill-one: t1: policy.toml forbids it; kill-two: t1: policy.toml forbids it"


# ---- reports ----------------------------------------------------------------------------------------------


async def test_no_text_of_a_person_becomes_markup(made: Rig) -> None:
    day = await made.started(changed(DAY, "title: Lose the first site", f"title: {json.dumps(XSS[1])}"))
    for payload in XSS:
        await made.post(day, "notes", {"text": payload}, 201)
        await made.post(day, "findings", {"text": payload, "severity": "low", "owner": payload}, 201)
    view = await made.days.view(await made.days.get(day), secrets_too=False)
    page = html.text(view, "https://ctl:8470")
    for markup in ("<script", "<img", "<svg", "<!--", "</style><"):
        assert markup not in page.replace("</style>\n", ""), markup
    markdown = re.sub(r"\\.", "", formats.markdown_text(view))
    assert "<" not in markdown
    assert "](" not in markdown


# ---- the command line -------------------------------------------------------------------------------------


async def test_a_day_from_its_plan_to_its_report_on_the_command_line(
    made: Rig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    context = str(await made.context("carol", Role.OPERATOR))
    (tmp_path / "drill.yaml").write_text(DAY)
    for name in ("kill-one", "kill-two"):
        (tmp_path / f"{name}.yaml").write_text(EXPERIMENT.replace("NAME", name))

    async def call(*argv: str, code: int = 0) -> str:
        capsys.readouterr()
        got = await asyncio.to_thread(run, ["--context", context, "gameday", *argv])
        told = capsys.readouterr()
        assert got == code, told.err
        return told.out if code == 0 else told.out + told.err

    agenda = await call("plan", str(tmp_path / "drill.yaml"))
    assert "winter-drill-2026-12-01  planned" in agenda
    day = "winter-drill-2026-12-01"
    assert "○  1  On-call is told" in await call("check", day, code=7)
    assert "not ready" in await call("start", day, code=7)
    assert "✓  1  On-call is told  (carol)" in await call("check", day, "--done", "on-call")
    assert f"{day}  running" in await call("start", day)
    first = (await call("go", day)).strip()
    assert (await made.runs.get(first)).operator == "carol"
    await made.until(day, "run.ended")
    await call("note", day, "the", "pager", "was", "silent")
    found = ("--text", "no alarm", "--severity", "high", "--owner", "dee", "--retest", "2027-01-15")
    assert (await call("finding", day, *found)).strip() == "1"
    await call("hypothesis", day, "1", "held")
    await call("retest", day, "1", "--run", first)
    assert (await call("finish", day)).strip() == f"finished {day}"
    shown = await call("show", day)
    assert "carol: note: the pager was silent" in shown
    assert "2027-01-15" in shown
    for form in ("md", "html", "json"):
        await call("report", day, "-o", form, "--output", str(tmp_path / f"report.{form}"))
        assert "no alarm" in (tmp_path / f"report.{form}").read_text()
    assert day in await call("list")
    url = (await call("calendar-url")).strip()
    assert url.startswith(f"{made.url}/calendar.ics?token=bsc_")
    assert "carol" in await call("calendars")
    assert "there is none" in await call("show", "nothing", code=6)


async def test_a_document_that_is_wrong_never_reaches_the_controller(
    made: Rig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(changed(DAY, "gameday:", "game_day:"))
    context = str(await made.context())
    assert await asyncio.to_thread(run, ["--context", context, "gameday", "plan", str(path)]) == 2
    assert f"{path}:1:1: game_day: unknown key" in capsys.readouterr().err
    assert await made.days.all() == []
    assert run(["gameday", "validate", str(path)]) == 2


async def test_a_day_that_is_aborted_on_the_command_line_names_the_run_that_is_halted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig(tmp_path, hold_s=60.0) as made:
        context = str(await made.context("olga", Role.OPERATOR))
        day = await made.started()
        started = (await made.post(day, "go", status=200))["run"]
        argv = ["--context", context, "gameday", "abort", day, "--reason", "customers call"]
        assert await asyncio.to_thread(run, argv) == 0
        assert capsys.readouterr().out == f"aborted {day}\nhalting {started}\n"
        await made.until(day, "run.ended")


def test_a_missing_experiment_file_is_named_before_anybody_is_asked(tmp_path: Path) -> None:
    from blackstart_controller.cli.gameday import _texts

    (tmp_path / "drill.yaml").write_text(DAY)
    with pytest.raises(BlackstartError, match=r"kill-one\.yaml:1:1: cannot be read"):
        _texts(tmp_path / "drill.yaml", load_gameday(DAY, "drill.yaml"))
