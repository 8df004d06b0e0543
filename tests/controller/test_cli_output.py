"""Where a command's output goes: a reader that goes away, a full disk, and errors of our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from blackstart_controller.cli.root import run
from fakecontroller import RUN, Fake

EXPERIMENT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: "role=db", for: 10s}
"""
PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]


def test_a_reader_that_goes_away_is_no_error(fake: Fake) -> None:
    fake.script.hosts = [{"name": f"host-{number}", "connected": True} for number in range(5000)]
    program = " ".join(f"'{word}'" for word in [*PROGRAM, "--context", str(fake.context), "host", "list"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} | head -1"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("HOST")


def into_a_full_disk(fake: Fake, *words: str) -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("w") as full:
        argv = [*PROGRAM, "--context", str(fake.context), *words]
        return subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True)


def test_an_output_that_cannot_be_written_is_told_and_no_success(fake: Fake) -> None:
    done = into_a_full_disk(fake, "host", "list")
    assert done.returncode == 6
    assert done.stderr == "blackstart: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(("of_the_run", "told"), [(0, 6), (1, 1), (5, 5)])
def test_a_result_that_cannot_be_written_changes_no_exit_code_but_success(
    of_the_run: int, told: int, fake: Fake, tmp_path: Path
) -> None:
    fake.script.end("fail", of_the_run)
    document = tmp_path / "dark.yaml"
    document.write_text(EXPERIMENT)
    done = into_a_full_disk(fake, "run", str(document), "--wait", "-o", "json")
    assert done.returncode == told
    assert f"it is kept: blackstart run show {RUN}" in done.stderr


def test_an_error_of_our_own_is_never_taken_for_a_missed_objective(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script.hosts = [{"name": "a", "labels": "no mapping"}]
    assert run(["--context", str(fake.context), "host", "list"]) == 6
    assert "blackstart: internal error (" in capsys.readouterr().err
