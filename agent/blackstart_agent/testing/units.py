"""A supervisor in memory: it starts what was killed unless it is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from blackstart_agent.errors import HostError
from blackstart_agent.host.ports import SIGKILL, Process, Unit
from blackstart_agent.testing.processes import FakeProcesses


@dataclass
class FakeUnits:
    """A supervisor in memory. Every unit is one process of its own name, started again when it dies."""

    processes_: FakeProcesses = field(compare=False)
    held: dict[str, bool] = field(default_factory=dict)  # every unit there is
    aliases: dict[str, str] = field(default_factory=dict, compare=False)  # what people say: the unit's name
    stubborn: set[str] = field(default_factory=set, compare=False)  # units that only SIGKILL ends
    broken: set[str] = field(default_factory=set, compare=False)  # units that cannot be released

    def add(self, name: str, *, running: bool = True) -> None:
        self.held[name] = False
        if running:
            self.processes_.add(name, unit=name)

    @property
    def supervisor(self) -> str:
        return "runit:/nowhere"

    def check(self) -> None:
        """A fake supervisor is always there."""

    def list(self) -> Sequence[Unit]:
        return [self._unit(name) for name in self.held]

    def full_name(self, name: str) -> str:
        return self.aliases.get(name, name)

    def processes(self, unit: str) -> Sequence[Process]:
        return [process for process in self.processes_.list() if process.unit == unit]

    def everyone(self) -> Sequence[Process]:
        return [process for process in self.processes_.list() if process.unit]

    def hold(self, units: Sequence[str], *, kill: bool) -> None:
        for name in self._known(units):
            self.held[name] = True
            for process in self.processes(name):
                if kill or name not in self.stubborn:
                    self.processes_.signal(process, SIGKILL)

    def restart(self, units: Sequence[str]) -> None:
        for name in self._known(units):
            for process in self.processes(name):
                if name not in self.stubborn:
                    self.processes_.signal(process, SIGKILL)  # and `restart_dead` starts it again

    def settle(self, units: Sequence[str], *, timeout_s: float) -> Sequence[str]:
        return [name for name in units if self.processes(name)]

    def release(self, units: Sequence[str]) -> None:
        for name in self._known(units):
            if name in self.broken:
                raise HostError(f"unit {name}: cannot be released")
            self.held[name] = False
            if not self.processes(name):
                self.processes_.add(name, unit=name)

    def manual(self, units: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"fake-supervisor release {name}" for name in units)

    def restart_dead(self, dead: Process) -> None:
        """What a supervisor does when a process of a unit dies."""
        if dead.unit and not self.held.get(dead.unit, True):
            self.processes_.add(dead.name, unit=dead.unit, executable=dead.executable)

    def _unit(self, name: str) -> Unit:
        found = self.processes(name)
        return Unit(name, bool(found), self.held[name], found[0].pid if found else 0)

    def _known(self, units: Iterable[str]) -> Iterator[str]:
        for name in units:
            if name not in self.held:
                raise HostError(f"unit {name}: there is no such unit")
            yield name
