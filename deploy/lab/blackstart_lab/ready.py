"""When a lab counts as up: every unit runs, and those that say how to tell are ready."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from blackstart_lab.enter import enter_command
from blackstart_lab.errors import LabError
from blackstart_lab.layout import PlacedHost, PlacedUnit
from blackstart_lab.process import Process
from blackstart_lab.supervisor import HostView

Progress = Callable[[str], None]

TIMEOUT_S: Final = 60.0
SETTLED_S: Final = 0.4  # a command that lives so long has read its configuration
MAX_EXITS: Final = (
    8  # runit starts a unit once a second: so long may it fail because another is not there yet
)
NEVER_STARTS: Final = ("126", "127")
LOG_LINES: Final = 10
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Watched:
    """A unit that is being waited for."""

    host: PlacedHost
    unit: PlacedUnit
    process: Process
    rootless: bool

    @property
    def name(self) -> str:
        return f"{self.host.name}/{self.unit.name}"

    @property
    def view(self) -> HostView:
        return HostView(self.process.pid)

    def is_ready(self) -> bool:
        if self.unit.once:
            return self.view.done(self.unit.name)
        if not self.view.started(self.unit.name):
            return False
        if self.unit.ready_tcp is not None:
            return self.view.listens(self.unit.ready_tcp)
        if self.unit.ready_command is not None:
            return self._ask(self.unit.ready_command)
        return self._age_s() >= SETTLED_S

    def _age_s(self) -> float:
        """How long the command itself runs; waiting for predecessors is not running."""
        try:
            started = (self.view.root / f"run/service/{self.unit.name}/started").stat().st_mtime
        except OSError:  # just being written, or the host is dark
            return 0.0
        return time.time() - started

    def _ask(self, command: tuple[str, ...]) -> bool:
        argv = enter_command(self.process, command, rootless=self.rootless)
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=5.0)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def check_hope(self) -> None:
        """LabError with the last lines of its log when this unit will not come up by waiting."""
        if not self.process.alive():
            raise LabError(f"host {self.host.name} died while it came up")
        exits = self.view.unit(self.unit.name).exits
        code = self.view.last_exit(self.unit.name)
        if exits and code in NEVER_STARTS:
            raise self.failure(f"its command {self.unit.command[0]!r} cannot be run (exit status {code})")
        if exits >= MAX_EXITS:
            raise self.failure(f"it ended {exits} times, the last time with exit status {code}")

    def failure(self, reason: str) -> LabError:
        lines = self.view.log_tail(self.unit.name, LOG_LINES)
        log = "".join(f"\n  {line}" for line in lines) or " it wrote nothing"
        return LabError(f"unit {self.name} is not up: {reason}; last lines of its log:{log}")


def watch_units(
    hosts: tuple[PlacedHost, ...], processes: Mapping[str, Process], *, rootless: bool
) -> Iterator[Watched]:
    for host in hosts:
        for unit in host.units:
            if not unit.down:
                yield Watched(host, unit, processes[host.name], rootless)


def await_ready(watched: list[Watched], progress: Progress, *, timeout_s: float = TIMEOUT_S) -> None:
    """Return when all are ready; LabError names the first that cannot be, or all that are late."""
    deadline = time.monotonic() + timeout_s
    waiting = watched
    while waiting:
        still = []
        for unit in waiting:
            unit.check_hope()
            if not unit.is_ready():
                still.append(unit)
        waiting = still
        if waiting and time.monotonic() >= deadline:
            others = ", ".join(unit.name for unit in waiting[1:])
            also = f" (and {others})" if others else ""
            raise waiting[0].failure(f"not ready after {timeout_s:.0f} s{also}")
        if waiting:
            time.sleep(_POLL_S)
    progress(f"{len(watched)} units are ready")
