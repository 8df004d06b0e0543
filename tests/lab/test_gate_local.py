"""The gate on its own host, which here is a few namespaces of the test: nothing else is within reach."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
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
exec blackstart gate dark.yaml --local --policy policy.toml --junit out.xml --markdown out.md --json out.json
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
    """The gate as process 1 of its own pid namespace: when it ends, the kernel ends whatever is left."""

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

    def gate(self) -> int:
        """The outside pid of the gate: the only child of unshare."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def server(self) -> int:
        """The outside pid of the shop's server."""
        home = Path(f"/proc/{self.gate()}/ns/pid").stat().st_ino
        for entry in Path("/proc").iterdir():
            try:
                if (entry / "ns/pid").stat().st_ino == home and b"redis-server" in (
                    entry / "cmdline"
                ).read_bytes():
                    return int(entry.name)
            except OSError:
                continue
        raise AssertionError("no server")

    def end(self, code: int) -> str:
        """What it wrote; no folder of the agent or the controller is left."""
        out, err = self.process.communicate(timeout=100)
        assert self.process.returncode == code, out + err
        assert json.loads((self.folder / "out.json").read_text())["exit_code"] == code
        assert not list(self.folder.glob("blackstart-gate-*"))
        return out + err


def test_a_process_of_this_host_is_paused_and_comes_back(tmp_path: Path) -> None:
    job = Job(tmp_path, "process.pause, name: redis-server", "1s")
    job.end(0)
    passed = {
        case.name
        for suite in JUnitXml.fromfile(str(tmp_path / "out.xml"))
        for case in suite
        if not case.result
    }
    assert {"process.pause on local", "shop recovers within 20 s", "revert confirmed"} <= passed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cancelled_job_gives_back_what_it_paused(number: signal.Signals, tmp_path: Path) -> None:
    job = Job(tmp_path, "process.pause, name: redis-server", "30s")
    assert job.process.stderr is not None
    next(line for line in job.process.stderr if "holding" in line)
    assert process_state(job.server()) == "T"
    server = job.server()
    subprocess.run(["kill", f"-{number.name.removeprefix('SIG')}", str(job.gate())], check=True)
    wait_for(lambda: process_state(server) != "T" or None, 20, "the server to run again, or to be gone")
    if number == signal.SIGTERM:
        job.end(130)


def test_what_would_cut_the_job_off_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    job = Job(tmp_path, 'network.partition, from: {cidr: ["10.0.0.0/8"]}', "1s")
    assert "--local: network.partition would cut this job off" in job.end(7)
