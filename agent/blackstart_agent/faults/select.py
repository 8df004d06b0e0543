"""Which processes of a host a fault means, and which it must never touch."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import HostError, InvalidOrder, Refused, Unsupported
from blackstart_agent.faults.base import Held, Json, Surroundings, Undo
from blackstart_agent.faults.undo import numbers, texts
from blackstart_agent.host.ports import SIGSTOP, Host, Process

INIT_PID = 1
MAX_SWEEPS = 20  # a fork bomb must not hold the firing thread for ever
MAX_PORT = 65_535
MAX_COUNT = 100_000
CHOICES: Final = ("unit", "executable", "name", "cgroup", "argv", "port", "user")


@dataclass(frozen=True, slots=True)
class Selector:
    """Exactly one of the first seven is set; `count` or `percent` (1 to 100) of what matches may be meant.

    `executable` and `cgroup` are absolute paths, groups below `cgroup` count; `name` is as in
    /proc/PID/comm; `argv` a shell-style pattern of the whole command line; `port` (1 to 65,535) is listened
    on; `user` is a name or a number. The seed alone decides which of equals are chosen.
    """

    unit: str = ""
    executable: str = ""
    name: str = ""
    cgroup: str = ""
    argv: str = ""
    port: int = 0
    user: str = ""
    count: int = 0
    percent: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        given = [field for field in CHOICES if getattr(self, field)]
        if len(given) != 1:
            one_of = f"{', '.join(CHOICES[:-1])} and {CHOICES[-1]}"
            raise InvalidOrder(f"select: exactly one of {one_of} must be set, got {given or 'none'}")
        if "/" in self.unit:
            raise InvalidOrder(f'select: unit must be a name without "/", got "{self.unit}"')
        for field in ("executable", "cgroup"):
            if getattr(self, field) and not getattr(self, field).startswith("/"):
                raise InvalidOrder(f'select: {field} must be an absolute path, got "{getattr(self, field)}"')
        if not 0 <= self.port <= MAX_PORT:
            raise InvalidOrder(f"select: port must be 1 to {MAX_PORT}, got {self.port}")
        if (self.count and self.percent) or self.count > MAX_COUNT or self.percent > 100:
            raise InvalidOrder(
                f"select: count (1 to {MAX_COUNT}) or percent (1 to 100) may be set, or neither; "
                f"got {self.count} and {self.percent}"
            )

    @classmethod
    def of(cls, spec: pb.ProcessSelector) -> Self:
        return cls(**{field.name: getattr(spec, field.name) for field in spec.DESCRIPTOR.fields})

    def __str__(self) -> str:
        return next(f'{field} "{getattr(self, field)}"' for field in CHOICES if getattr(self, field))

    def resolved(self, host: Host) -> Selector:
        """With the unit's full name and the user's number, which are recorded, shown and compared.

        Raises Refused when there is no such user.
        """
        if self.unit:
            return replace(self, unit=host.units.full_name(self.unit))
        if not self.user or self.user.isdecimal():
            return self
        number = host.processes.user(self.user)
        if number is None:
            raise Refused([f'select: no user "{self.user}" on this host; getent passwd lists them'])
        return replace(self, user=str(number))

    def matches(self, host: Host) -> list[Process]:
        """Every process that is meant, before a share of them is chosen. Of a resolved selector only."""
        if self.unit:
            return list(host.units.processes(self.unit))
        if self.port:
            return list(host.processes.listening(self.port))
        return [process for process in host.processes.list() if self._fits(host, process)]

    def _fits(self, host: Host, process: Process) -> bool:
        if self.executable or self.name:
            return process.executable == self.executable or process.name == self.name
        details = host.processes.details(process)
        if self.argv:
            return fnmatchcase(details.argv, self.argv)
        if self.cgroup:
            below = self.cgroup.rstrip("/") + "/"
            return any(f"{group.rstrip('/')}/".startswith(below) for group in details.groups)
        return str(details.uid) == self.user

    @property
    def picks(self) -> bool:
        """Whether only some of what matches is meant: then what is forked later is not."""
        return bool(self.count or self.percent)

    def pick(self, found: Sequence[Process]) -> tuple[Process, ...]:
        """Those that are meant of what matches. Raises Refused when there are not so many."""
        if not self.picks:
            return tuple(found)
        size = self.count or math.ceil(len(found) * self.percent / 100)
        if size > len(found):
            raise Refused(
                [f"select: {size} processes are asked for, and {len(found)} match {self}; ask for fewer"]
            )
        in_order = sorted(found, key=lambda process: (process.start_ticks, process.pid))
        return tuple(random.Random(self.seed).sample(in_order, size))  # noqa: S311 - must be repeatable


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


def rows(selector: Selector) -> dict[str, Json]:
    """What an undo record keeps of it."""
    return {"select": asdict(selector)}


def selector_of(undo: Undo) -> Selector:
    kept: Any = undo.get("select")
    if not isinstance(kept, Mapping):
        raise HostError(f"undo record: select must be a mapping, got {kept!r}; look at the host by hand")
    try:
        return Selector(**kept)
    except (TypeError, InvalidOrder) as error:
        raise HostError(f"undo record: {error}; look at the host by hand") from error


def followed(undo: Undo) -> list[Selector]:
    """Whose later children are meant too: nobody's when only some of the matching processes are."""
    selector = selector_of(undo)
    return [] if selector.picks else [selector]


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


def unit_crash(name: str) -> str:
    """It is killed again and again: whether it runs at this moment says nothing."""
    return f"unit {name} is in a crash loop"


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
