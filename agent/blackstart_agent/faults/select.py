"""Which processes of a host a fault means, and which it must never touch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Unsupported
from blackstart_agent.faults.base import Held, Json, Surroundings, Undo
from blackstart_agent.faults.undo import numbers, text, texts
from blackstart_agent.host.ports import SIGSTOP, Host, Process

INIT_PID = 1
MAX_SWEEPS = 20  # a fork bomb must not hold the firing thread for ever


@dataclass(frozen=True, slots=True)
class Selector:
    """Exactly one of `unit`, `executable` (an absolute path) and `name` (as in /proc/PID/comm) is set."""

    unit: str = ""
    executable: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        given = [field for field in ("unit", "executable", "name") if getattr(self, field)]
        if len(given) != 1:
            raise InvalidOrder(
                f"select: exactly one of unit, executable and name must be set, got {given or 'none'}"
            )
        if "/" in self.unit:
            raise InvalidOrder(f'select: unit must be a name without "/", got "{self.unit}"')
        if self.executable and not self.executable.startswith("/"):
            raise InvalidOrder(f'select: executable must be an absolute path, got "{self.executable}"')

    @classmethod
    def of(cls, spec: pb.ProcessSelector) -> Self:
        return cls(unit=spec.unit, executable=spec.executable, name=spec.name)

    def __str__(self) -> str:
        return next(f'{field} "{value}"' for field, value in self.rows().items() if value)

    def rows(self) -> dict[str, str]:
        return {"unit": self.unit, "executable": self.executable, "name": self.name}

    def resolved(self, host: Host) -> Selector:
        """With the unit's full name, which is what is recorded, shown and compared."""
        return replace(self, unit=host.units.full_name(self.unit)) if self.unit else self

    def matches(self, host: Host) -> list[Process]:
        if self.unit:
            return list(host.units.processes(self.unit))
        key = "executable" if self.executable else "name"
        wanted = self.executable or self.name
        return [process for process in host.processes.list() if getattr(process, key) == wanted]


def try_signals(host: Host) -> None:
    """Signal 0 to the host's first process: is this root, and are there pidfds?"""
    for process in host.processes.list():
        if process.pid == INIT_PID:
            host.processes.signal(process, 0)


@dataclass(frozen=True, slots=True)
class Untouchable:
    """Processes that no fault may signal, whoever asks."""

    pids: frozenset[int]
    names: frozenset[str]

    def reason(self, process: Process) -> str:
        """Why this process must be left alone; "" when it need not."""
        if process.pid == INIT_PID:
            return "it is the host's first process"
        if process.pid in self.pids:
            return "it belongs to blackstart or to a protected unit"
        return "policy.toml protects its name" if process.name in self.names else ""

    def undo(self) -> dict[str, Json]:
        return {"spare_pids": sorted(self.pids), "spare_names": sorted(self.names)}

    @staticmethod
    def of(undo: Undo) -> Untouchable:
        return Untouchable(frozenset(numbers(undo, "spare_pids")), frozenset(texts(undo, "spare_names")))


def untouchable(host: Host, around: Surroundings) -> Untouchable:
    """Our own processes, protected names, and every process of a protected unit."""
    units = [name for name in _units(host) if protected(name, around.protected_units)]
    pids = {process.pid for unit in units for process in host.units.processes(unit)}
    return Untouchable(around.own_pids | pids, around.protected_names)


def _units(host: Host) -> list[str]:
    """Every unit; none where there is no supervisor, for then there is none to protect either."""
    try:
        host.units.check()
    except Unsupported:
        return []
    return [unit.name for unit in host.units.list()]


def protected(unit: str, patterns: Collection[str]) -> bool:
    """A pattern may leave the suffix out, as people do; protecting too much is the safe mistake."""
    names = {unit, unit.removesuffix(".service")}
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def refusals(kind: str, selector: Selector, found: Sequence[Process], spare: Untouchable) -> list[str]:
    """Every reason not to signal what the selector matches."""
    if not found:
        return [f"{kind}: no process matches {selector}"]
    reasons = ((process, spare.reason(process)) for process in found)
    return [f"{kind}: {selector} matches {label(process)}: {reason}" for process, reason in reasons if reason]


def label(process: Process) -> str:
    return f"{process.name}[{process.pid}]"


def selector_of(undo: Undo) -> Selector:
    return Selector(text(undo, "unit"), text(undo, "executable"), text(undo, "name"))


def same(process: Process) -> tuple[int, int]:
    """What tells a process apart from a later one with its pid."""
    return process.pid, process.start_ticks


def stop_all(host: Host, selectors: Sequence[Selector], spare: Untouchable) -> None:
    """Every matching process is stopped, those forked meanwhile too."""
    for _ in range(MAX_SWEEPS):
        found = [process for selector in selectors for process in selector.matches(host)]
        running = [process for process in found if not process.stopped and not spare.reason(process)]
        if not running:
            return
        for process in running:
            host.processes.signal(process, SIGSTOP)


def stop_hold(process: Process) -> str:
    return f"process {process.pid} {process.start_ticks} is stopped"


def unit_hold(name: str) -> str:
    return f"unit {name} is held"


def asleep(found: Sequence[Process], held: Held) -> tuple[Process, ...]:
    """Those that somebody else has stopped: not another order of ours, which will leave them to us."""
    return tuple(process for process in found if process.stopped and stop_hold(process) not in held)


def stopped_by_us(
    host: Host,
    selectors: Sequence[Selector],
    recorded: Sequence[Process],
    before: Sequence[Process],
    kept: Held,
) -> list[Process]:
    """Stopped processes that are recorded or match: neither stopped before we came nor kept by another."""
    ours, not_ours = {same(process) for process in recorded}, {same(process) for process in before}
    matching = {same(process) for selector in selectors for process in selector.matches(host)}
    wanted = (ours | matching) - not_ours
    return [
        process
        for process in host.processes.list()
        if process.stopped and same(process) in wanted and stop_hold(process) not in kept
    ]
