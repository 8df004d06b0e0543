"""The command line against the real controller: what the one says, the other understands."""

from __future__ import annotations

import hashlib
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_controller.cli.root import run

PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]
EXPERIMENT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: "role=db", for: 10s}
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a controller that serves, and ends cleanly when told."""
    state = tmp_path_factory.mktemp("controller") / "state"
    argv = [
        *PROGRAM,
        "serve",
        "--state",
        str(state),
        "--listen",
        "127.0.0.1:0",
        "--agents-listen",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "serving https://" in line:
                    break
            assert process.poll() is None
            yield state
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(20) == 0


def call(state: Path, *argv: str | Path) -> int:
    return run(["--context", str(state / "admin.json"), *map(str, argv)])


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "dark.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_lists_are_empty_at_first(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(state, "host", "list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert call(state, "run", "list") == 0
    assert capsys.readouterr().out == "RUN  EXPERIMENT  TRIGGER  STATE  VERDICT  REVERTED  CREATED\n"


def test_a_join_token_carries_the_pin(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = json.loads((state / "admin.json").read_text())
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(context["ca_pem"])).hexdigest()
    assert call(state, "token", "create", "--host", "db-1", "--ttl", "90s") == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("bsj_") and token.endswith(f".{pin}")


def test_login_with_the_admins_token_makes_a_context_that_works(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = json.loads((state / "admin.json").read_text())
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(context["ca_pem"])).hexdigest()
    monkeypatch.setenv("BLACKSTART_TOKEN", context["token"])
    target = tmp_path / "context.json"
    assert run(["login", context["url"], "--ca-pin", pin, "--file", str(target)]) == 0
    assert run(["--context", str(target), "host", "list"]) == 0


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_no_target_is_6(verb: str, state: Path, document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(state, verb, document) == 6
    assert capsys.readouterr().err.startswith("blackstart: ")


@pytest.mark.parametrize(
    "argv", [["run", "show", "nope"], ["host", "show", "nope"], ["halt", "nope"], ["report", "nope"]]
)
def test_what_does_not_exist_is_6(argv: list[str], state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(state, *argv) == 6
    assert "nope" in capsys.readouterr().err


def test_halting_everything_works_when_nothing_runs(state: Path) -> None:
    assert call(state, "halt", "--all", "--reason", "drill") == 0


def test_a_second_controller_on_the_same_state_is_refused_in_one_line(state: Path) -> None:
    argv = [
        *PROGRAM,
        "serve",
        "--state",
        str(state),
        "--listen",
        "127.0.0.1:0",
        "--agents-listen",
        "127.0.0.1:0",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "in use by another controller" in done.stderr
