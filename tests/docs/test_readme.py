"""Every command of README.md is run: here, or (marked deep) in a lab, or by CI itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()
RUN_BY_CI = ("make check", "make test")
QUICK = (".venv/bin/blackstart --help", ".venv/bin/blackstart experiment ")
LAB = ".venv/bin/blackstart lab "
NEEDS_LAB = pytest.mark.skipif(os.geteuid() != 0, reason="the lab's test needs root")


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run(line: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    argv = ["bash", "-euo", "pipefail", "-c", line]
    return subprocess.run(
        argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
    )


def test_every_command_of_the_readme_has_somebody_who_runs_it() -> None:
    covered = ("make demo", *RUN_BY_CI, *QUICK, LAB)
    assert [line for line in commands() if not line.startswith(covered)] == []
    assert len(commands()) >= 8


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith(QUICK)])
def test_a_quick_command_works(line: str) -> None:
    done = run(line, 60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", RUN_BY_CI)
def test_ci_runs_what_the_readme_promises(line: str) -> None:
    assert line in (REPOSITORY / ".ci" / "run").read_text()
    assert run(f"make -n {line.removeprefix('make ')}", 60).returncode == 0


def test_every_page_that_is_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_table_of_exit_codes_is_the_one_of_the_command_line() -> None:
    from blackstart_controller.cli.root import EXIT_CODES

    listed = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", README, re.M))
    told = dict(re.findall(r"^ *(\d+)  (.+)$", EXIT_CODES, re.M))
    assert {code: text.replace("**", "") for code, text in listed.items()} == told


@pytest.mark.deep
@pytest.mark.lab
@NEEDS_LAB
@pytest.mark.timeout(400)
def test_the_commands_of_the_lab_work_in_their_order() -> None:
    try:
        for line in [line for line in commands() if line.startswith(LAB)]:
            done = run(line, 180)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    finally:
        run(f"{LAB}down demo", 60)


@pytest.mark.deep
@pytest.mark.lab
@NEEDS_LAB
@pytest.mark.timeout(400)
def test_the_demo_ends_with_its_table_and_its_reports() -> None:
    done = run("make demo", 300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "SERVICE" in done.stdout
    report = json.loads((REPOSITORY / "demo" / "report.json").read_text())
    outcomes = {service["name"]: service["outcome"] for service in report["services"]}
    assert report["reverted"] == "confirmed"
    assert {name for name, outcome in outcomes.items() if outcome == "failed over"} == {"messenger", "news"}
    assert {name for name, outcome in outcomes.items() if outcome == "came back"} == {
        "payments",
        "login",
        "mail",
    }
    assert all((REPOSITORY / "demo" / f"report.{form}").stat().st_size > 1000 for form in ("html", "md"))
