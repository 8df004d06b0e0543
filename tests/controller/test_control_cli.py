"""A protected environment at a terminal: the plan is shown, its hash typed; elsewhere nobody is asked."""

from __future__ import annotations

import dataclasses
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_controller.cli.root import run
from blackstart_controller.plan.hash import plan_hash
from fakecontroller import RUN, Fake, fake_controller
from support.scenes import order, plan_of

PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]
EXPERIMENT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: "role=db", for: 10s}
"""
PLAN = plan_of(order("t1"))
HASH = plan_hash(PLAN)
QUESTION = "type the first 8 digits"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    (tmp_path / "dark.yaml").write_text(EXPERIMENT)
    with fake_controller(tmp_path) as found:
        found.script.protected = True
        found.script.plan = {"plan": dataclasses.asdict(PLAN), "hash": HASH, "answers": []}
        yield found


def at_a_terminal(fake: Fake, keys: str) -> tuple[int, str, str]:
    """Exit code, standard output and what the terminal showed, once `keys` were typed at the question."""
    master, slave = pty.openpty()
    argv = [*PROGRAM, "--context", str(fake.context), "run", str(fake.context.with_name("dark.yaml"))]
    process = subprocess.Popen(argv, stdin=slave, stderr=slave, stdout=subprocess.PIPE, text=True)
    os.close(slave)
    shown = ""
    while QUESTION not in shown:
        shown += os.read(master, 4096).decode()
    if keys == "^C":
        process.send_signal(signal.SIGINT)
    else:
        os.write(master, keys.encode())
    out, _ = process.communicate(timeout=30)
    shown += os.read(master, 65536).decode()
    os.close(master)
    return process.returncode, out, shown


def hashes(fake: Fake) -> list[str | None]:
    return [body.get("plan_hash") for path, body, _key in fake.script.posts if path == "/v1/runs"]


def test_who_types_the_first_digits_of_the_plan_that_is_shown_runs_it(fake: Fake) -> None:
    code, out, shown = at_a_terminal(fake, HASH[:8].upper() + "\n")
    assert (code, out.strip()) == (0, RUN)
    assert HASH in shown
    assert hashes(fake) == [None, HASH[:8]]


@pytest.mark.parametrize("keys", ["\n", "yes\n", HASH[:7] + "\n", "00000000\n", "^C"])
def test_whatever_else_is_typed_starts_nothing(fake: Fake, keys: str) -> None:
    code, out, shown = at_a_terminal(fake, keys)
    assert (code, out) == (7, "")
    assert "environment vault is protected" in shown
    assert hashes(fake) == [None]


def test_without_a_terminal_one_sentence_names_the_command(
    fake: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    file = str(fake.context.with_name("dark.yaml"))
    assert run(["--context", str(fake.context), "run", file]) == 7
    assert capsys.readouterr().err.strip() == (
        "blackstart: environment vault is protected; then: --plan 0123abcd"
    )
    assert hashes(fake) == [None]


def test_the_hash_on_the_command_line_is_sent_as_it_is(fake: Fake) -> None:
    file = str(fake.context.with_name("dark.yaml"))
    assert run(["--context", str(fake.context), "run", file, "--plan", HASH]) == 0
    assert hashes(fake) == [HASH]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ""])
def test_what_cannot_be_an_id_is_not_found(fake: Fake, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--context", str(fake.context), "run", "show", name]) == 6
    assert "this can be no name or id" in capsys.readouterr().err
