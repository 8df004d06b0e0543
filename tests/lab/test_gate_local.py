"""The gate on its own host, which here is a few namespaces of the test: nothing else is within reach."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from junitparser import JUnitXml
from support.labs import process_state, wait_for

BIN = Path(sys.executable).parent
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLICY = """\
[allow]
faults = ["process.*", "network.*"]
modes = ["tethered"]
max_hold_s = 60
max_faults = 4
"""
JOB = """\
ip link set lo up
(while :; do redis-server --port 7000 --save '' || true; done) >/dev/null 2>&1 &
until (exec 3<>/dev/tcp/127.0.0.1/7000) 2>/dev/null; do sleep 0.05; done
code=0
blackstart gate dark.yaml --local --policy policy.toml --junit out.xml --json out.json || code=$?
until [ -e looked ]; do sleep 0.05; done
exit $code
"""
EXPERIMENT = """\
experiment: local
hypothesis: The shop is back.
baseline: 300ms
settle: 200ms
watch: 3s
lease: 5s
steps:
  - {{fault: {fault}, on: site=local, for: {hold}}}
services:
  - name: shop
    members: site=local
    objective: {{rto: 20s}}
    every: 50ms
    timeout: 200ms
    probes: [{{tcp: {{address: "127.0.0.1:7000"}}}}]
"""
pytestmark = [pytest.mark.lab, pytest.mark.deep]


class Job:
    """A shell in namespaces of its own, and the gate in it. The shell stays until somebody has looked."""

    def __init__(self, folder: Path, fault: str, hold: str) -> None:
        self.folder = folder
        (folder / "dark.yaml").write_text(EXPERIMENT.format(fault=fault, hold=hold))
        (folder / "policy.toml").write_text(POLICY)
        argv = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        argv += ["bash", "--noprofile", "--norc", "-e", "-c", JOB]
        home = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": f"{BIN}:{SYSTEM}", "CI": "true"}
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pid(self, words: bytes) -> int:
        """The outside pid of the process in the job whose command line has these words."""
        outer = self.process.pid
        shell = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        home = Path(f"/proc/{shell}/ns/pid").stat().st_ino
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                inside = (entry / "ns/pid").stat().st_ino == home and int(entry.name) != shell
                if inside and words in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    return int(entry.name)
        raise AssertionError(f"no {words!r}")

    def looked(self) -> None:
        (self.folder / "looked").touch()

    def end(self, code: int) -> str:
        """What it wrote; no folder of the agent or the controller is left."""
        self.looked()
        out, err = self.process.communicate(timeout=100)
        assert self.process.returncode == code, out + err
        assert json.loads((self.folder / "out.json").read_text())["exit_code"] == code
        assert not list(self.folder.glob("blackstart-gate-*"))
        return out + err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str, str], Job]]:
    """Starts a job; whatever becomes of it, its namespaces and all that is in them are gone afterwards."""
    jobs: list[Job] = []

    def start(fault: str, hold: str) -> Job:
        jobs.append(Job(tmp_path, fault, hold))
        return jobs[-1]

    yield start
    for job in jobs:
        job.process.kill()
        job.process.communicate(timeout=30)


def test_a_process_of_this_host_is_paused_and_comes_back(started: Callable[[str, str], Job]) -> None:
    job = started("process.pause, name: redis-server", "1s")
    job.end(0)
    passed = {
        case.name
        for suite in JUnitXml.fromfile(str(job.folder / "out.xml"))
        for case in suite
        if not case.result
    }
    assert {"process.pause on local", "shop recovers within 20 s", "revert confirmed"} <= passed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_job_gives_back_what_it_paused(
    number: signal.Signals, started: Callable[[str, str], Job]
) -> None:
    job = started("process.pause, name: redis-server", "30s")
    assert job.process.stderr is not None
    next(line for line in job.process.stderr if "holding" in line)
    server = job.pid(b"redis-server *:7000")
    assert process_state(server) == "T"
    os.kill(job.pid(b"/blackstart gate dark.yaml"), number)
    wait_for(lambda: process_state(server) in ("S", "R") or None, 20, "the server to run again")
    wait_for(lambda: not list(job.folder.glob("blackstart-gate-*")) or None, 60, "the place to go")
    if number == signal.SIGTERM:
        job.end(130)


def test_what_would_cut_the_job_off_is_refused_before_anything_is_touched(
    started: Callable[[str, str], Job],
) -> None:
    job = started('network.partition, from: {cidr: ["10.0.0.0/8"]}', "1s")
    assert "--local: network.partition would cut this job off" in job.end(7)
