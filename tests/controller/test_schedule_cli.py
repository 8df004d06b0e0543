"""`blackstart schedule` and `blackstart calendar` against the real controller."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blackstart_controller.cli.root import run

PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]
EXPERIMENT = """\
experiment: dark
parameters:
  role: {default: db}
steps:
  - {fault: host.blackout, on: "role=${role}", for: 10s}
"""
FREEZE = """\
BEGIN:VCALENDAR
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261101
DTEND;VALUE=DATE:20271101
SUMMARY:Freeze
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a controller that serves, and ends cleanly when told."""
    state = tmp_path_factory.mktemp("controller") / "state"
    anywhere = ["--listen", "127.0.0.1:0", "--agents-listen", "127.0.0.1:0"]
    argv = [*PROGRAM, "serve", "--state", str(state), *anywhere]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "serving https://" in line:
                    break
            assert process.poll() is None
            yield state / "admin.json"
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
            assert process.wait(20) == 0
            assert "Traceback" not in said


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "dark.yaml"
    path.write_text(EXPERIMENT)
    return path


def call(context: Path, *argv: str | Path) -> int:
    return run(["--context", str(context), *map(str, argv)])


def test_a_schedule_lives_from_add_to_remove(
    context: Path, document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze = tmp_path / "freeze.ics"
    freeze.write_text(FREEZE)
    assert call(context, "calendar", "import", "freeze", freeze) == 0
    assert capsys.readouterr().err == "freeze: 1 event\n"
    when = ["--cron", "0 9 * * *", "--zone", "Asia/Seoul"]
    limits = ["--window", "mon-fri 09:00-16:00", "--not", "freeze", "--holidays", "KR", "--jitter", "5m"]
    policies = ["--missed", "within:2h", "--overlap", "wait:10m", "--set", "role=cache"]
    assert call(context, "schedule", "add", document, "--name", "daily", *when, *limits, *policies) == 0
    said = capsys.readouterr()
    assert "warning: as things are now it could not run" in said.err
    assert "daily is disarmed and runs nothing; `blackstart schedule arm daily` arms it" in said.err
    document.unlink()  # its content is kept
    assert call(context, "schedule", "arm", "daily") == 0
    assert "daily is armed, armed by admin, which is no second person's word" in capsys.readouterr().err
    assert call(context, "schedule", "next", "daily", "-n", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all("+0900" in line and "Z  SKIP  " in line for line in lines)
    assert any("SKIP  calendar: Freeze until 2027-11-01 00:00 (freeze)" in line for line in lines)
    assert call(context, "schedule", "pause", "daily", "--reason", "exams") == 0
    assert call(context, "schedule", "list") == 0
    assert "daily     paused  0 9 * * *  Asia/Seoul" in capsys.readouterr().out
    assert call(context, "schedule", "show", "daily") == 0
    shown = capsys.readouterr().out
    for part in ("stands still  paused: by admin, exams", "jitter        5m", "parameter     role=cache"):
        assert part in shown
    for verb in ("resume", "disarm", "remove"):
        assert call(context, "schedule", verb, "daily") == 0
    assert call(context, "calendar", "remove", "freeze") == 0
    capsys.readouterr()
    assert call(context, "schedule", "list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_random_and_one_off_schedules_say_when(
    context: Path, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = ["--random", "--mean", "2d", "--min-gap", "1d", "--zone", "Asia/Seoul"]
    assert call(context, "schedule", "add", document, "--name", "chance", *chance) == 0
    once = ["--at", "2099-03-29T02:30", "--zone", "Europe/Berlin"]
    assert call(context, "schedule", "add", document, "--name", "far", *once) == 2  # over eight years away
    capsys.readouterr()
    assert call(context, "schedule", "next", "chance", "-n", "4", "-o", "json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(found["next"]) == 4 and found["state"] == "disarmed"
    assert call(context, "schedule", "next", "chance", "-n", "4", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == found
    assert call(context, "schedule", "next", "chance") == 0
    assert "chance is disarmed and runs none of these" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "exit_code", "told"),
    [
        (["--cron", "0 25 * * *", "--zone", "UTC"], 2, "hour '25' is not allowed; allowed: *, 0 to 23"),
        (["--cron", "0 9 * * *", "--zone", "Seoul"], 2, "zone 'Seoul': there is none"),
        (["--random", "--mean", "2d", "--zone", "UTC"], 2, "--random needs --mean and --min-gap"),
        (["--cron", "0 9 * * *", "--zone", "UTC", "--not", "x"], 2, "there is no calendar x"),
        (["--cron", "0 9 * * *", "--zone", "UTC", "--set", "colour=red"], 2, "colour"),
    ],
)
def test_wrong_words_are_one_clear_error(
    context: Path,
    document: Path,
    argv: list[str],
    exit_code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(context, "schedule", "add", document, "--name", "x", *argv) == exit_code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["show", "next", "arm", "disarm", "pause", "resume", "remove"])
def test_a_schedule_that_is_not_there_is_named(
    context: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(context, "schedule", verb, "nowhere") == 6
    assert "schedule nowhere: there is none" in capsys.readouterr().err


def test_a_document_that_is_wrong_is_refused_when_it_is_added(
    context: Path, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document.write_text("experiment: x\nsteps: nothing\n")
    assert (
        call(context, "schedule", "add", document, "--name", "x", "--cron", "* * * * *", "--zone", "UTC") == 2
    )
    assert f"{document}:2:" in capsys.readouterr().err


def test_a_calendar_that_is_wrong_is_refused(
    context: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.ics"
    path.write_text("nothing")
    assert call(context, "calendar", "import", "wrong", path) == 2
    assert "calendar wrong: not a good iCalendar file" in capsys.readouterr().err
