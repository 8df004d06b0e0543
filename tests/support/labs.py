"""A lab with a controller, driven as an operator drives it, and looked at from outside with other eyes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from blackstart_lab import api
from blackstart_lab.state import LabState

BLACKSTART = (sys.executable, "-c", "from blackstart_controller.cli import main; main()")
T = TypeVar("T")
PARTS = {"link": "blackstart_agent.link", "sentry": "guardian.sentry"}


_IPTABLES = ("iptables-legacy", "ip6tables-legacy")


@dataclass(frozen=True, slots=True)
class Lab:
    state: LabState
    control: str

    def run_in(self, host: str, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return api.run(self.state.name, host, argv, timeout_s=timeout_s)

    def operate(self, *words: str, codes: Sequence[int] = (0,), timeout_s: float = 120) -> str:
        """Standard output of `blackstart WORDS` in the controller's host."""
        done = self.run_in(self.control, *BLACKSTART, *words, timeout_s=timeout_s)
        assert done.returncode in codes, f"blackstart {' '.join(words)}: {done.returncode}: {done.stderr}"
        return done.stdout

    def start(self, experiment: str) -> str:
        """The id of a new run of this document."""
        file = self.put("/tmp/experiment.yaml", experiment)
        return str(json.loads(self.operate("run", file, "--no-wait", "-o", "json"))["id"])

    def put(self, path: str, text: str) -> str:
        """`text` is in a file of the controller's host; a host sees none of this machine's /tmp."""
        api.run(self.state.name, self.control, ["tee", path], text=text, timeout_s=10)
        return path

    def show(self, run_id: str) -> dict[str, Any]:
        return dict(json.loads(self.operate("run", "show", run_id, "-o", "json")))

    def report(self, run_id: str) -> dict[str, Any]:
        return dict(json.loads(self.operate("report", run_id, "-o", "json")))

    def wait_end(self, run_id: str, *, limit_s: float) -> dict[str, Any]:
        return wait_for(lambda: ended(self.show(run_id)), limit_s, f"run {run_id} to end")

    # ---- from outside: /proc, nsenter, sv and ping, nothing of ours ----

    def processes(self, host: str) -> Mapping[int, str]:
        """Outside pid -> command line of everything in the host's pid namespace."""
        home = Path(f"/proc/{self.state.hosts[host].pid}/ns/pid").stat().st_ino
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "ns/pid").stat().st_ino == home:
                        words = (entry / "cmdline").read_bytes().split(b"\0")
                        found[int(entry.name)] = b" ".join(words).decode(errors="replace").strip()
                except OSError:
                    continue
        return found

    def agent(self, host: str) -> dict[str, int]:
        """Outside pids of guardian, link and sentry, as far as they live."""
        parts: dict[str, int] = {}
        for pid, command in self.processes(host).items():
            if "runsv" in command.split(" ")[0]:
                continue
            for part, mark in PARTS.items():
                if mark in command:
                    parts[part] = pid
            if re.search(r"blackstart[-_]agent(\.cli)? run", command):
                parts["guardian"] = pid
        return parts

    def unclean(self, host: str, *, except_pids: Sequence[int] = ()) -> list[str]:
        """Everything on a host that a fault could have left; empty: clean."""
        return [
            *self._tables(host),
            *self._queues(host),
            *self._stopped(host, except_pids),
            *self._workers(host),
            *self._units_down(host),
            *self._unreachable(host),
        ]

    def _enter(self, host: str, *argv: str) -> str:
        pid = str(self.state.hosts[host].pid)
        flags = ("--net", "--pid", "--mount", "--uts")
        return subprocess.run(
            ["nsenter", "-t", pid, *flags, *argv], capture_output=True, text=True, check=False, timeout=20
        ).stdout

    def _tables(self, host: str) -> list[str]:
        return [
            line for line in self._enter(host, "nft", "list", "tables").splitlines() if "blackstart" in line
        ]

    def _queues(self, host: str) -> list[str]:
        listed = [self._enter(host, program, "-t", "mangle", "-S") for program in _IPTABLES]
        return [line for text in listed for line in text.splitlines() if "NFQUEUE" in line]

    def _stopped(self, host: str, except_pids: Sequence[int]) -> list[str]:
        stopped = []
        for pid, command in self.processes(host).items():
            if pid not in except_pids and process_state(pid) == "T":
                stopped.append(f"stopped: {pid} {command}")
        return stopped

    def _workers(self, host: str) -> list[str]:
        found = self.processes(host).items()
        return [f"runs: {pid} {command}" for pid, command in found if "blackstart_agent.worker" in command]

    def _units_down(self, host: str) -> list[str]:
        units = [name for name in self.state.hosts[host].units if name != "blackstart-agent"]
        lines = [self._enter(host, "sv", "status", f"/run/service/{unit}").strip() for unit in units]
        return [line for line in lines if not line.startswith("run:") or "want down" in line]

    def _unreachable(self, host: str) -> list[str]:
        there = self.state.hosts[host].address4
        done = self._enter(self.control, "ping", "-c", "1", "-W", "1", "-n", there)
        return [] if "1 received" in done else [f"no ping from {self.control}"]


@contextmanager
def lab(text: str, folder: Path) -> Iterator[Lab]:
    """The lab that `text` describes is up inside the block and gone afterwards, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lab.yaml"
    file.write_text(text)
    state = api.up(file)
    try:
        yield Lab(state, next(name for name, host in state.hosts.items() if host.controller))
    finally:
        api.down(state.name)


def ended(shown: dict[str, Any]) -> dict[str, Any] | None:
    return shown if shown["state"] == "ended" else None


def process_state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_for(probe: Callable[[], T | None], limit_s: float, what: str) -> T:
    deadline = time.monotonic() + limit_s
    while not (found := probe()):
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain for {what}"
        time.sleep(0.05)
    return found


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)
