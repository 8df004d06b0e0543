"""A host and a clock in memory, for tests of everything above `host/`. Equal hosts show no trace of a fault.

FakeHost keeps the promises of `host/ports.py` that faults rely on: transactions are all or nothing, gate
elements expire with the clock, a supervisor starts what was killed unless it is held, a new process has a new
identity.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from blackstart_agent.errors import HostError
from blackstart_agent.host.ports import SIGCONT, SIGKILL, SIGSTOP, Process, Unit

_NANOSECONDS_PER_MS = 1_000_000
_NANOSECONDS_PER_TICK = 10_000_000
_HEAD = re.compile(r"(create table|table|delete table|add element|delete element) (\S+) (\S+)\s*(gate)?\s*")
_ELEMENT = re.compile(r'("[^"]+"|\w+)(?: timeout (\d+)ms)?')


@dataclass
class FakeClock:
    """A clock that stands still until `advance`. It starts one second after boot."""

    now_ns: int = 1_000_000_000
    boot: str = "boot-1"
    wall_at_boot_ns: int = 1_700_000_000_000_000_000

    def advance(self, *, ms: float) -> None:
        self.now_ns += round(ms * _NANOSECONDS_PER_MS)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.wall_at_boot_ns + self.now_ns

    def boot_id(self) -> str:
        return self.boot

    def boot_ticks(self) -> int:
        return self.now_ns // _NANOSECONDS_PER_TICK


@dataclass
class FakeTable:
    text: str
    gate: dict[str, int | None] = field(
        default_factory=dict
    )  # element -> expiry in monotonic ns; None: for ever


@dataclass
class FakeNft:
    """Tables by (family, name). It understands the forms that `faults/cut.py` writes, and no others."""

    clock: FakeClock = field(compare=False)
    content: dict[tuple[str, str], FakeTable] = field(default_factory=dict)
    transactions: list[str] = field(default_factory=list, compare=False)
    fail: str = field(
        default="", compare=False
    )  # when set, every transaction raises HostError with this text

    def run(self, commands: str) -> None:
        if self.fail:
            raise HostError(self.fail)
        after = {key: FakeTable(table.text, dict(table.gate)) for key, table in self.content.items()}
        for command in _commands(commands):
            self._apply(command, after)
        self.content = after
        self.transactions.append(commands)

    def tables(self, prefix: str) -> list[tuple[str, str]]:
        return [key for key in self.content if key[1].startswith(prefix)]

    def show(self, family: str, table: str) -> str | None:
        found = self.content.get((family, table))
        if found is None:
            return None
        live = ", ".join(self.open_elements(family, table))
        elements = f"\n\t\telements = {{ {live} }}" if live else ""
        return f"table {family} {table} {{\n\tset gate {{{elements}\n\t}}\n}}"

    def open_elements(self, family: str, table: str) -> list[str]:
        """The elements of the gate that have not expired."""
        gate, now_ns = self.content[family, table].gate, self.clock.now_ns
        return [element for element, expiry in gate.items() if expiry is None or expiry > now_ns]

    def _apply(self, command: str, content: dict[tuple[str, str], FakeTable]) -> None:
        head = _HEAD.match(command)
        if head is None:
            raise HostError(f"Error: syntax error, unexpected {command.splitlines()[0]}")
        verb, key = head[1], (head[2], head[3])
        if verb == "create table" and key in content:
            raise HostError(f"Error: Could not process rule: File exists\n{command}")
        if verb in ("create table", "table"):
            content.setdefault(key, FakeTable("")).text += command
            return
        if key not in content:
            raise HostError(f"Error: Could not process rule: No such file or directory\n{command}")
        if verb == "delete table":
            del content[key]
        else:
            self._elements(verb, command[head.end() :], content[key].gate)

    def _elements(self, verb: str, listed: str, gate: dict[str, int | None]) -> None:
        for element, timeout_ms in _ELEMENT.findall(listed.strip("{} \n")):
            if verb == "delete element":
                if element not in gate:
                    raise HostError("Error: Could not process rule: No such file or directory")
                del gate[element]
            elif element not in gate:  # a second add changes nothing, as on Linux 6.1
                lease_ns = int(timeout_ms) * _NANOSECONDS_PER_MS if timeout_ms else None
                gate[element] = None if lease_ns is None else self.clock.now_ns + lease_ns


@dataclass
class FakeProcesses:
    clock: FakeClock = field(compare=False)
    content: list[Process] = field(default_factory=list)
    signals: list[tuple[int, str]] = field(default_factory=list, compare=False)
    immortal: set[str] = field(default_factory=set, compare=False)  # names that SIGKILL does not end
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

    def signal(self, process: Process, number: int) -> bool:
        index = self._index(process)
        if index is None:
            return False
        self.signals.append((number, process.name))
        found = self.content[index]
        if number == SIGKILL and found.name not in self.immortal:
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

    def check(self) -> None:
        """A fake supervisor is always there."""

    def list(self) -> Sequence[Unit]:
        return [self._unit(name) for name in self.held]

    def full_name(self, name: str) -> str:
        return self.aliases.get(name, name)

    def processes(self, unit: str) -> Sequence[Process]:
        return [process for process in self.processes_.list() if process.unit == unit]

    def hold(self, units: Sequence[str], *, kill: bool) -> None:
        for name in self._known(units):
            self.held[name] = True
            for process in self.processes(name):
                if kill or name not in self.stubborn:
                    self.processes_.signal(process, SIGKILL)

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

    def restart(self, dead: Process) -> None:
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


@dataclass
class FakeNetwork:
    names: tuple[str, ...] = ("eth0",)
    own: tuple[str, ...] = ("10.1.0.3", "fd00:1::3")
    gateway: str = "10.1.0.1"

    def interfaces(self) -> Sequence[str]:
        return self.names

    def gateways(self, address: str) -> Sequence[str]:
        return (self.gateway,)

    def addresses(self) -> Sequence[str]:
        return self.own


class FakeHost:
    """A host with one interface, the units `redis` and `nginx`, and a process `cron` that no unit keeps."""

    def __init__(self, clock: FakeClock | None = None, units: Sequence[str] = ("redis", "nginx")) -> None:
        self._clock = clock or FakeClock()
        self._nft = FakeNft(self._clock)
        self._processes = FakeProcesses(self._clock)
        self._units = FakeUnits(self._processes)
        self._network = FakeNetwork()
        self._processes.died = self._units.restart
        self._processes.add("cron")
        for name in units:
            self._units.add(name)

    @property
    def clock(self) -> FakeClock:
        return self._clock

    @property
    def nft(self) -> FakeNft:
        return self._nft

    @property
    def processes(self) -> FakeProcesses:
        return self._processes

    @property
    def units(self) -> FakeUnits:
        return self._units

    @property
    def network(self) -> FakeNetwork:
        return self._network

    def reboot(self) -> None:
        """Power off and on: no table, nothing stopped or held, every process new."""
        self._clock.boot += "+"
        self._nft.content.clear()
        names = [process for process in self._processes.content if not process.unit]
        self._processes.content.clear()
        for process in names:
            self._processes.add(process.name, executable=process.executable)
        for name in self._units.held:
            self._units.add(name)

    def __eq__(self, other: object) -> bool:
        """Whether both hosts look the same from outside: tables, processes, units and network."""
        return isinstance(other, FakeHost) and self._state() == other._state()

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"FakeHost{self._state()!r}"

    def _state(self) -> tuple[object, ...]:
        return self._nft, self._processes, self._units, self._network


def _commands(text: str) -> Iterator[str]:
    """The commands of a transaction; a block in braces belongs to the line that opens it."""
    lines: list[str] = []
    depth = 0
    for line in text.splitlines():
        lines.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0 and line.strip():
            yield "\n".join(lines)
            lines = []
    if lines:
        raise HostError("Error: syntax error, unexpected end of file")
