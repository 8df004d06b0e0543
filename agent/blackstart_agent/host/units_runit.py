"""Units kept by runit: each is a directory of the services' directory, with a control pipe and a status file.

The control pipe is written in this process, so that holding a unit costs no program start at T0. runit has no
cgroups: the processes of a unit are the descendants of its main process, and every process that was started
with BLACKSTART_UNIT=<name> in its environment, so that orphans count.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from blackstart_agent.errors import HostError, Unsupported
from blackstart_agent.host import members, process
from blackstart_agent.host.ports import SIGTERM, Process, Unit

VARIABLE = "BLACKSTART_UNIT"
_STATUS_BYTES = 20
_FINISHING = 2
_POLL_S = 0.01
_READ_POLL_S = 0.0002  # runsv answers in less than a millisecond
_READ_TIMEOUT_S = 0.1
_RELEASE_TIMEOUT_S = 2.0  # a runsv whose service just died sleeps for a second


class RunitUnits:
    def __init__(self, services: Path) -> None:
        self._services = services
        self._processes = process.LinuxProcesses()

    @property
    def supervisor(self) -> str:
        return f"runit:{self._services}"

    def check(self) -> None:
        """Raises Unsupported when there is no such directory of services."""
        if not self._services.is_dir():
            raise Unsupported(f"runit: {self._services} is no directory; check `supervisor` in agent.toml")

    def list(self) -> Sequence[Unit]:
        return [self._unit(name) for name in self._names()]

    def full_name(self, name: str) -> str:
        return name

    def processes(self, unit: str) -> Sequence[Process]:
        return self._members([unit])

    def everyone(self) -> Sequence[Process]:
        return self._members(list(self._names()))

    def hold(self, units: Sequence[str], *, kill: bool) -> None:
        """Told to stay down; then killed, or asked to end: the main process by runsv, the others by us."""
        for name in units:
            # "o": run on, but do not start again; "d" asks the process to end, which a power cut does not do.
            self._control(name, b"o" if kill and self._unit(name).running else b"d")
        if kill:
            # Killed before runsv has read this, a unit would be started once more.
            self._wait(units, held=True, timeout_s=_READ_TIMEOUT_S)
            self._kill(units)
        else:
            mains = {self._unit(name).main_pid for name in units}
            for member in self._members(units):
                if member.pid not in mains:
                    self._processes.signal(member, SIGTERM)

    def restart(self, units: Sequence[str]) -> None:
        """runsv asks the main process to end and starts it again; its other processes are told by us."""
        mains = {self._unit(name).main_pid for name in units}
        others = [member for member in self._members(units) if member.pid not in mains]
        for name in units:
            self._control(name, b"t")
        for member in others:
            self._processes.signal(member, SIGTERM)

    def settle(self, units: Sequence[str], *, timeout_s: float) -> Sequence[str]:
        return members.settle(
            lambda: self._members(units), self._processes, timeout_s=timeout_s, poll_s=_POLL_S
        )

    def release(self, units: Sequence[str]) -> None:
        for name in units:
            self._control(name, b"u")
        self._wait(units, held=False, timeout_s=_RELEASE_TIMEOUT_S)

    def manual(self, units: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"sv up {shlex.quote(str(self._services / name))}" for name in units)

    def _names(self) -> Iterable[str]:
        try:
            found = sorted(entry.name for entry in self._services.iterdir())
        except FileNotFoundError as error:
            raise HostError(f"runit: {self._services} is gone; its units cannot be seen") from error
        return [name for name in found if not name.startswith(".") and self._supervised(name)]

    def _supervised(self, name: str) -> bool:
        return (self._services / name / "supervise" / "status").exists()  # the last thing that runsv makes

    def _unit(self, name: str) -> Unit:
        """From runsv's status file: 12 bytes of time, the pid (little endian), paused, want, term, state.

        In state 2 the pid is that of the finish script, which tidies up after the unit and is none of it.
        """
        path = self._services / name / "supervise" / "status"
        status = process.read(str(path), _STATUS_BYTES)
        if len(status) < _STATUS_BYTES:
            raise HostError(f"runit: {path} is too short to be read; is runsv of {name} alive?")
        main_pid = 0 if status[19] == _FINISHING else int.from_bytes(status[12:16], "little")
        runs = main_pid != 0 and process.read_process(main_pid) is not None  # runsv writes a moment later
        return Unit(name, running=runs, held=status[17:18] == b"d", main_pid=main_pid)

    def _wait(self, units: Sequence[str], *, held: bool, timeout_s: float) -> None:
        """Until every runsv has read its pipe, or `timeout_s` is over."""
        deadline = time.monotonic() + timeout_s
        while any(self._unit(name).held != held for name in units) and time.monotonic() < deadline:
            time.sleep(_READ_POLL_S)

    def _control(self, name: str, commands: bytes) -> None:
        """Without waiting: a pipe that nobody reads means that its runsv is dead."""
        path = self._services / name / "supervise" / "control"
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            why = "its runsv does not run" if error.errno == errno.ENXIO else str(error)
            raise HostError(f"unit {name}: cannot be controlled: {why}") from error
        try:
            os.write(pipe, commands)
        finally:
            os.close(pipe)

    def _kill(self, units: Sequence[str]) -> None:
        members.kill(lambda: self._members(units), self._processes)

    def _members(self, units: Sequence[str]) -> tuple[Process, ...]:
        """One pass over /proc for all the units together."""
        marks = {f"{VARIABLE}={name}".encode(): name for name in units}
        mains = {self._unit(name).main_pid: name for name in units if self._supervised(name)}
        return _with_descendants(marks, {pid: name for pid, name in mains.items() if pid})


def _with_descendants(marks: dict[bytes, str], mains: dict[int, str]) -> tuple[Process, ...]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    unit_of: dict[int, str] = dict(mains)
    for pid in process.pids():
        stat = process.read_stat(pid)
        if stat is None:
            continue
        children[stat.parent].append(pid)
        if marks and (name := _marked(pid, marks)):
            unit_of.setdefault(pid, name)
    queue = list(unit_of)
    for pid in queue:  # grows while it is walked
        for child in children[pid]:
            if child not in unit_of:
                unit_of[child] = unit_of[pid]
                queue.append(child)
    found = (process.read_process(pid, unit) for pid, unit in unit_of.items())
    return tuple(one for one in found if one is not None)


def _marked(pid: int, marks: dict[bytes, str]) -> str:
    for entry in process.read_environ(pid).split(b"\0"):
        if entry in marks:
            return marks[entry]
    return ""
