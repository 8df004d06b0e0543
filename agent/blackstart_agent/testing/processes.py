"""Processes in memory: a new process has a new identity, and whoever listens is told of a death."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from blackstart_agent.host.ports import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Details, Process
from blackstart_agent.testing.clock import FakeClock


@dataclass
class FakeProcesses:
    clock: FakeClock = field(compare=False)
    content: list[Process] = field(default_factory=list)
    signals: list[tuple[int, str]] = field(default_factory=list, compare=False)
    immortal: set[str] = field(default_factory=set, compare=False)  # names that SIGKILL does not end
    stubborn: set[str] = field(default_factory=set, compare=False)  # names that SIGTERM does not end
    users: dict[str, int] = field(default_factory=lambda: {"root": 0}, compare=False)
    about: dict[str, Details] = field(default_factory=dict, compare=False)  # of programs, by their name
    ports: dict[int, set[str]] = field(default_factory=dict, compare=False)  # who listens: names of programs
    died: Callable[[Process], None] | None = field(default=None, compare=False)  # the supervisor, listening
    pids: Iterator[int] = field(default_factory=lambda: itertools.count(100), compare=False)

    def add(self, name: str, *, unit: str = "", executable: str = "", stopped: bool = False) -> Process:
        """A new process, started now."""
        started = self.clock.boot_ticks()
        process = Process(next(self.pids), started, name, executable or f"/usr/bin/{name}", unit, stopped)
        self.content.append(process)
        return process

    def list(self) -> Sequence[Process]:
        return tuple(self.content)

    def alive(self, process: Process) -> bool:
        return self._index(process) is not None

    def details(self, process: Process) -> Details:
        return self.about.get(process.name, Details(process.executable, 0, (f"/{process.unit}",)))

    def user(self, name: str) -> int | None:
        return self.users.get(name)

    def listening(self, port: int) -> Sequence[Process]:
        return tuple(one for one in self.content if one.name in self.ports.get(port, ()))

    def signal(self, process: Process, number: int) -> bool:
        index = self._index(process)
        if index is None:
            return False
        self.signals.append((number, process.name))
        found = self.content[index]
        ends = number == SIGKILL or (number == SIGTERM and found.name not in self.stubborn)
        if ends and found.name not in self.immortal:
            del self.content[index]
            if self.died is not None:
                self.died(found)
        elif number in (SIGSTOP, SIGCONT):
            self.content[index] = replace(found, stopped=number == SIGSTOP)
        return True

    def settle(self, processes: Sequence[Process], *, timeout_s: float) -> Sequence[Process]:
        return [process for process in processes if self.alive(process)]

    def _index(self, process: Process) -> int | None:
        wanted = (process.pid, process.start_ticks)
        return next((at for at, one in enumerate(self.content) if (one.pid, one.start_ticks) == wanted), None)

    def __eq__(self, other: object) -> bool:
        """Equal when the same programs run in the same way, whatever their pids."""
        return isinstance(other, FakeProcesses) and self._programs() == other._programs()

    def _programs(self) -> tuple[tuple[str, str, str, bool], ...]:
        return tuple(sorted((one.name, one.executable, one.unit, one.stopped) for one in self.content))
