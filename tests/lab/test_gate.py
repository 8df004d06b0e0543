"""The gate on real hosts, in a shell as a pipeline has it: each exit code, its JUnit, and nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from blackstart_lab import api
from blackstart_lab.state import states_root
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase
from support.labs import Lab, lab, wait_for

BIN = Path(sys.executable).parent
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAB = """
lab: {name}
sites: {{near: {{}}, far: {{}}}}
hosts:
  shop:
    site: near
    labels: {{role: shop}}
    units: {{web: {{command: [python3, -m, http.server, "80"], ready: {{tcp: 80}}}}}}
  sick:
    site: near
    labels: {{role: sick}}
    units: {{web: {{command: [python3, -m, http.server, "80"], ready: {{tcp: 80}}}}}}
  control: {{site: far, controller: true, labels: {{role: observer}}}}
"""
EXPERIMENT = """\
experiment: gate
hypothesis: The shop is back in time.
baseline: 300ms
settle: 200ms
watch: 5s
lease: 5s
steps:
  - {{fault: {fault}, on: {on}, for: {hold}}}
services:
  - name: control
    members: role=observer
    observers: role=observer
    every: 50ms
    timeout: 200ms
    probes: [{{tcp: {{address: "control:8471"}}}}]
  - name: shop
    members: role=shop
    objective: {{rto: {rto}}}
    observers: role=observer
    every: 50ms
    timeout: 200ms
    probes: [{{{probe}}}]
"""
SHOP_LINE = next(number for number, line in enumerate(EXPERIMENT.splitlines(), 1) if "name: shop" in line)
CASES = {
    "steady before",
    "unit.stop on shop",
    "control recovers",
    "shop recovers within 10 s",
    "hypothesis: The shop is back in time.",
    "ran to its end",
    "revert confirmed",
}


def experiment(**changes: str) -> str:
    usual = {"fault": "unit.stop, units: [web]", "on": "role=shop", "hold": "500ms", "rto": "10s"}
    usual["probe"] = 'tcp: {address: "shop:80"}'
    return EXPERIMENT.format(**{**usual, **changes})


@dataclass
class Job:
    """A step of a pipeline: bash -e, no terminal, CI=true, and nothing of this user's environment."""

    folder: Path
    environment: Mapping[str, str]
    enter: tuple[str, ...] = ()

    def start(self, text: str, *words: str, **more: str) -> subprocess.Popen[str]:
        (self.folder / "dark.yaml").write_text(text)
        script = f"set -o pipefail\nexec blackstart gate dark.yaml {' '.join(words)} {OUTPUTS}\n"
        argv = [*self.enter, "bash", "--noprofile", "--norc", "-e", "-c", script]
        home = {"HOME": str(self.folder), "PATH": f"{BIN}:{SYSTEM}", "CI": "true"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env={**home, **self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, text: str, *words: str, **more: str) -> Ended:
        return self.end(self.start(text, *words, **more))

    def end(self, process: subprocess.Popen[str]) -> Ended:
        out, err = process.communicate(timeout=100)
        return Ended(process.returncode, out, err, self.folder)


OUTPUTS = "--junit out.xml --markdown out.md --json out.json"


@dataclass
class Ended:
    code: int
    out: str
    err: str
    folder: Path

    def cases(self) -> dict[str, TestCase]:
        found = JUnitXml.fromfile(str(self.folder / "out.xml"))
        return {case.name: case for suite in found for case in suite}

    def of(self, kind: type[Error] | type[Failure] | type[Skipped]) -> set[str]:
        return {name for name, case in self.cases().items() if any(isinstance(r, kind) for r in case.result)}

    def passed(self) -> set[str]:
        return {name for name, case in self.cases().items() if not case.result}

    def json(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "out.json").read_text()))

    def check(self, code: int) -> None:
        """The code is the same wherever it is told."""
        assert self.code == code, self.out + self.err
        assert self.json()["exit_code"] == code
        assert f"(exit code {code})" in (self.folder / "out.md").read_text()
        assert self.out.splitlines()[-1].endswith(f"exit code {code}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB.format(name="gate-codes"), tmp_path_factory.mktemp("gate")) as made:
        yield made


def job_in(shop: Lab, folder: Path) -> Job:
    """A job that reaches the lab's controller as a pipeline does: by address, token and authority."""
    admin = json.loads(shop.run_in("control", "cat", "/var/lib/blackstart/admin.json").stdout)
    names = {"BLACKSTART_URL": "url", "BLACKSTART_TOKEN": "token", "BLACKSTART_CA": "ca_pem"}
    pid = str(shop.state.hosts["control"].pid)
    return Job(folder, {name: admin[key] for name, key in names.items()}, ("nsenter", "-t", pid, "--net"))


@dataclass
class Sick:
    """A job whose service answers, and answers wrong. It takes a while: the others go on meanwhile."""

    job: Job
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def sick(shop: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sick]:
    job = job_in(shop, tmp_path_factory.mktemp("sick"))
    wrong = 'http: {url: "http://sick/missing", expect_status: [200]}'
    with job.start(experiment(on="role=sick", probe=wrong)) as process:
        yield Sick(job, process)
        process.kill()


@pytest.fixture
def job(shop: Lab, sick: Sick, tmp_path: Path) -> Iterator[Job]:
    """Afterwards nothing of a fault is left on any host."""
    yield job_in(shop, tmp_path)
    wait_for(lambda: not any(shop.unclean(host) for host in shop.state.hosts) or None, 10, "clean hosts")


@pytest.mark.lab
def test_a_pass_is_0_and_every_case_of_it_is_in_the_junit(job: Job) -> None:
    done = job.run(experiment())
    done.check(0)
    assert done.passed() == CASES
    assert done.of(Skipped) == {"control no slower than before", "shop no slower than before"}
    suite = next(iter(JUnitXml.fromfile(str(job.folder / "out.xml"))))
    told = {one.name: one.value for one in suite.properties()}  # type: ignore[no-untyped-call]
    assert told["run"] == done.json()["files"][0]["attempts"][0]["run"]
    assert re.fullmatch("[0-9a-f]{64}", told["plan_hash"])
    assert told["seed"] == "0"


@pytest.mark.lab
def test_a_missed_objective_is_1_and_github_shows_it_on_the_services_line(job: Job) -> None:
    summary = job.folder / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = job.run(experiment(rto="100ms"), GITHUB_WORKSPACE=str(job.folder), **github)
    done.check(1)
    assert done.of(Failure) == {"shop recovers within 0.1 s", "hypothesis: The shop is back in time."}
    assert done.of(Error) == set()
    marks = [line for line in done.err.splitlines() if line.startswith("::error ")]
    assert any(line.startswith(f"::error file=dark.yaml,line={SHOP_LINE},") for line in marks), done.err
    assert summary.read_text() == (job.folder / "out.md").read_text()


@pytest.mark.lab
def test_an_invalid_document_is_2_with_its_line_and_nobody_is_asked(tmp_path: Path) -> None:
    nobody = {"BLACKSTART_URL": "https://127.0.0.1:1", "BLACKSTART_TOKEN": "bsk_none"}
    done = Job(tmp_path, nobody).run(experiment(fault="unit.stopp"))
    done.check(2)
    assert "dark.yaml:8:" in done.err
    assert len(done.of(Error)) == 1


@pytest.mark.lab
def test_a_halt_by_somebody_else_is_4(job: Job, shop: Lab) -> None:
    process = job.start(experiment(hold="30s"))
    run_id = holding(shop)
    shop.operate("halt", run_id, "--reason", "the shop has visitors")
    done = job.end(process)
    done.check(4)
    assert done.of(Error) == {"ran to its end"}
    assert "the shop has visitors" in done.cases()["ran to its end"].result[0].text
    assert "revert confirmed" in done.passed()


@pytest.mark.lab
def test_cancelling_the_job_halts_waits_for_proof_and_still_writes_every_report(job: Job, shop: Lab) -> None:
    process = job.start(experiment(hold="30s"))
    run_id = holding(shop)
    process.send_signal(signal.SIGTERM)
    done = job.end(process)
    done.check(130)
    ended = shop.show(run_id)
    assert (ended["state"], ended["verdict"], ended["reverted"]) == ("ended", "halted", "confirmed")
    assert "interrupted by SIGTERM" in done.cases()["ran to its end"].result[0].text


@pytest.mark.lab
def test_no_target_is_6_or_skipped_when_that_was_asked_for(job: Job) -> None:
    done = job.run(experiment(on="role=nobody"))
    done.check(6)
    assert done.of(Error) == {"the run starts"}
    done = job.run(experiment(on="role=nobody"), "--no-targets skip")
    done.check(0)
    assert done.of(Skipped) == {"the run starts"}


@pytest.mark.lab
def test_a_policy_that_refuses_is_7_with_the_hosts_own_words(job: Job, shop: Lab) -> None:
    policy = shop.run_in("shop", "cat", "/etc/blackstart/policy.toml").stdout
    strict = '[allow]\nfaults = ["process.*"]\nmodes = ["tethered"]\nmax_hold_s = 60\nmax_faults = 1\n'
    api.run(shop.state.name, "shop", ["tee", "/etc/blackstart/policy.toml"], text=strict)
    try:
        done = job.run(experiment())
    finally:
        api.run(shop.state.name, "shop", ["tee", "/etc/blackstart/policy.toml"], text=policy)
    done.check(7)
    assert "unit.stop on shop" in done.of(Error)
    assert "policy" in done.cases()["unit.stop on shop"].result[0].text


@pytest.mark.lab
def test_what_is_sick_before_is_3_where_chaos_toolkit_says_0(sick: Sick, shop: Lab) -> None:
    """The same sick service, asked by both. Chaos Toolkit skips its method, and calls that completed."""
    address = shop.state.hosts["sick"].address4
    ask = {"type": "http", "url": f"http://{address}/missing", "timeout": 1}
    probe = {"type": "probe", "name": "shop", "tolerance": 200, "provider": ask}
    method = [{"type": "action", "name": "none", "provider": {"type": "process", "path": "true"}}]
    steady = {"title": "the shop answers", "probes": [probe]}
    other = {"title": "sick", "description": "sick", "steady-state-hypothesis": steady, "method": method}
    folder = sick.job.folder
    (folder / "sick.json").write_text(json.dumps(other))
    argv = [*sick.job.enter, str(BIN / "chaos"), "run", "--journal-path", "journal.json", "sick.json"]
    theirs = subprocess.run(argv, cwd=folder, env={"HOME": str(folder)}, capture_output=True, check=False)
    journal = json.loads((folder / "journal.json").read_text())
    done = sick.job.end(sick.process)
    steps = len(journal["run"])
    print(f"chaos run:       exit code {theirs.returncode}, {journal['status']}, {steps} steps run")
    print(f"blackstart gate: exit code {done.code}, {done.out.splitlines()[-1]}")
    assert (theirs.returncode, journal["status"], journal["deviated"]) == (0, "completed", False)
    assert (journal["steady_states"]["before"]["steady_state_met"], journal["run"]) == (False, [])
    done.check(3)
    assert done.of(Failure) == {"steady before"}
    assert "unit.stop on sick" in done.of(Skipped)


def holding(shop: Lab) -> str:
    """The id of the run whose fault holds now."""

    def found() -> str | None:
        runs = json.loads(shop.operate("run", "list", "-o", "json"))
        return next((str(run["id"]) for run in runs if run["state"] == "holding"), None)

    return wait_for(found, 30, "a fault to hold")


# ---- self-contained: a lab for this job alone ----


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Job]:
    """A job with a lab of its own; afterwards no process, namespace, mount or file of it is there."""
    (tmp_path / "lab.yaml").write_text(LAB.format(name="gate-own"))
    yield Job(tmp_path, {})
    wait_for(lambda: not (states_root() / "gate-own").exists() or None, 60, "the lab's files to go")
    wait_for(lambda: not remains(tmp_path) or None, 10, f"{remains(tmp_path)} to go")


def remains(folder: Path) -> set[str]:
    """What there is of the job and its lab: mounts, processes in its folder, processes that see its files."""
    found = {line for line in Path("/proc/mounts").read_text().splitlines() if "gate-own" in line}
    for pid, text in commands():
        with suppress(OSError):
            entry = Path(f"/proc/{pid}")
            if "gate-own" in (entry / "mountinfo").read_text() or (entry / "cwd").readlink() == folder:
                found.add(f"{pid} {text}")
    return found


def commands() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue


def brought_up(process: subprocess.Popen[str]) -> None:
    """Return when the run in the job's own lab has its fault in effect."""
    assert process.stderr is not None
    for line in process.stderr:
        if "holding" in line:
            return
    raise AssertionError("the fault never held")


@pytest.mark.lab
@pytest.mark.deep
def test_a_lab_of_its_own_comes_and_goes_with_the_job(own: Job) -> None:
    done = own.run(experiment(), "--lab lab.yaml")
    done.check(0)
    assert done.passed() == CASES


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_job_leaves_no_lab(number: signal.Signals, own: Job) -> None:
    process = own.start(experiment(hold="30s"), "--lab lab.yaml")
    brought_up(process)
    assert len(remains(own.folder)) > 10, "else this could not see what is left"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)


@pytest.mark.lab
@pytest.mark.deep
def test_a_lab_whose_keeper_was_killed_too_goes_at_the_next_start(own: Job) -> None:
    process = own.start(experiment(hold="30s"), "--lab lab.yaml")
    brought_up(process)
    keeper = next(pid for pid, text in commands() if "blackstart_lab.keep" in text)
    os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.communicate(timeout=60)
    assert "gate-own" in api.running()
    done = own.run(experiment(), "--lab lab.yaml")
    done.check(0)
    assert "left behind by a gate that was killed" in done.err


@pytest.mark.lab
@pytest.mark.deep
def test_a_revert_that_nobody_can_confirm_is_5(own: Job) -> None:
    """The target loses its power for good while its fault holds: no word of it ever comes."""
    process = own.start(experiment(hold="10s"), "--lab lab.yaml")
    brought_up(process)
    os.kill(api.status("gate-own").hosts["shop"].pid, signal.SIGKILL)
    done = own.end(process)
    done.check(5)
    assert "revert confirmed" in done.of(Error)
    assert "call someone" in done.cases()["revert confirmed"].result[0].text
