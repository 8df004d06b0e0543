"""Ctrl-C and SIGTERM while `run --wait` waits: the run is halted, and only proof makes it 130."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakecontroller import RUN, Fake, fake_controller

EXPERIMENT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: "role=db", for: 10s}
"""
PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]
HALT = f"/v1/runs/{RUN}/halt"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    (tmp_path / "dark.yaml").write_text(EXPERIMENT)
    with fake_controller(tmp_path) as found:
        found.script.say("state", state="holding")
        yield found


def started(fake: Fake, *, verb: str = "", **options: object) -> subprocess.Popen[str]:
    """The program, once it follows the run."""
    tail = ["run", verb, RUN] if verb else ["run", str(fake.context.with_name("dark.yaml")), "--wait"]
    argv = [*PROGRAM, "--context", str(fake.context), *tail]
    settings: dict[str, object] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    process: subprocess.Popen[str] = subprocess.Popen(argv, text=True, **{**settings, **options})  # type: ignore[call-overload]
    fake.script.wait(lambda: fake.script.opened > 0)
    return process


def halts(fake: Fake) -> list[str]:
    return [path for path, _body, _key in fake.script.posts if path.endswith("/halt")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_terminal_a_signal_halts_at_once_and_waits_for_proof(
    number: signal.Signals, fake: Fake
) -> None:
    process = started(fake)
    process.send_signal(number)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert halts(fake) == [HALT]
    assert err.splitlines()[-1] == f"run {RUN}: halted, revert confirmed"


def test_a_revert_that_is_not_confirmed_is_5(fake: Fake) -> None:
    fake.script.halting_confirms = False
    process = started(fake)
    process.send_signal(signal.SIGINT)
    fake.script.wait(lambda: bool(halts(fake)))
    fake.script.end("halted", 5, "unconfirmed")
    process.communicate(timeout=30)
    assert process.returncode == 5


def test_a_second_signal_leaves_without_proof_and_says_so(fake: Fake) -> None:
    fake.script.halting_confirms = False
    process = started(fake)
    process.send_signal(signal.SIGINT)
    fake.script.wait(lambda: bool(halts(fake)))
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "the revert is not confirmed" in err
    assert f"blackstart run show {RUN}" in err


def test_interrupting_a_watch_leaves_the_run_alone(fake: Fake) -> None:
    process = started(fake, verb="watch")
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert halts(fake) == []
    assert f"blackstart halt {RUN}" in err


class Terminal:
    """A terminal with a person: what the program writes to it, and keys."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self.text = ""

    def until(self, wanted: str) -> None:
        while wanted not in self.text:
            self.text += os.read(self._master, 4096).decode(errors="replace")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        os.close(self.slave)
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.close()


def at_terminal(fake: Fake, terminal: Terminal) -> subprocess.Popen[str]:
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    return started(fake, stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave, env=environment)


def test_a_person_is_asked_once_and_may_go_on(fake: Fake, terminal: Terminal) -> None:
    process = at_terminal(fake, terminal)
    terminal.until("Ctrl-C halts")
    process.send_signal(signal.SIGINT)
    terminal.until("[Y/n]")
    terminal.type("n\n")
    terminal.until("n\r\n")
    fake.script.say("service_down", service="web", text="web")
    terminal.until("service web is down")
    fake.script.end("pass", 0)
    terminal.until("revert confirmed")
    assert process.wait(30) == 0
    assert halts(fake) == []


@pytest.mark.parametrize("answer", ["\n", "y\n", "ctrl-c"])
def test_a_person_who_agrees_halts(answer: str, fake: Fake, terminal: Terminal) -> None:
    process = at_terminal(fake, terminal)
    terminal.until("Ctrl-C halts")
    process.send_signal(signal.SIGINT)
    terminal.until("[Y/n]")
    if answer == "ctrl-c":
        process.send_signal(signal.SIGINT)
    else:
        terminal.type(answer)
    terminal.until("revert confirmed")
    assert process.wait(30) == 130
    assert halts(fake) == [HALT]


def test_a_terminal_shows_what_the_controller_answers_meanwhile(fake: Fake, terminal: Terminal) -> None:
    orders = [
        {"id": "o-1", "host": "db-1", "kind": "host.blackout", "state": "injected", "gone": False}
        | {"at_s": 0.0, "hold_s": 10.0, "path": "steps[0]", "lease_left_s": 9.0}
    ]
    fake.script.say("t0", t0_ns=0, at="noon")
    fake.script.run["live"] = {"orders": orders, "services": {"web": False}, "hold_s": 10.0, "now_s": 2.5}
    process = at_terminal(fake, terminal)
    terminal.until("1 host: db-1")
    terminal.until("Ctrl-C halts")
    assert "lease 9 s" in terminal.text
    assert "web\r\nhost.blackout  1/1 injected" in terminal.text
    assert "\x1b[3" not in terminal.text  # no colour: NO_COLOR is set
    fake.script.end("pass", 0)
    terminal.until("revert confirmed")
    assert process.wait(30) == 0
