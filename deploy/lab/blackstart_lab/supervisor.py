"""What runit says about the units of a host, read through /proc from outside: nothing is started for it."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blackstart_lab.state import UnitState
from blackstart_lab.units import LOGS, SERVICES

_STATES: Final = {0: "down", 1: "run", 2: "finish"}
_TAI64_EPOCH: Final = (
    4611686018427387914  # 2**62, and the ten seconds between TAI and UTC at 1970, as runit counts
)
_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True)
class HostView:
    """A running host, seen by the pid of its process 1."""

    pid: int

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def units(self) -> dict[str, UnitState]:
        """The state of every unit; empty for a host that is dark."""
        try:
            names = sorted(entry.name for entry in (self.root / SERVICES[1:]).iterdir() if entry.is_dir())
        except OSError:  # the host is dark: process 1 has gone, and its root with it
            return {}
        return {name: self.unit(name) for name in names}

    def unit(self, name: str) -> UnitState:
        """One unit; `down` while its supervisor has not looked at it yet."""
        directory = self.root / SERVICES[1:] / name
        exits = len(_read(directory / "exits").splitlines())
        try:
            raw = (directory / "supervise/status").read_bytes()
            seconds, _, pid, _, wanted, _, state = struct.unpack(">QI", raw[:12]) + struct.unpack(
                "<IBcBB", raw[12:20]
            )
        except (OSError, struct.error):  # not written yet, or being written
            return UnitState(name, "down", 0, 0.0, "up", exits)
        since = max(0.0, time.time() - (seconds - _TAI64_EPOCH))
        return UnitState(
            name, _STATES.get(state, "down"), pid, round(since, 1), "down" if wanted == b"d" else "up", exits
        )

    def started(self, name: str) -> bool:
        """Whether the unit's own command runs: its predecessors have been waited for."""
        directory = self.root / SERVICES[1:] / name
        own = _read(directory / "started").strip()
        return bool(own) and own == _read(directory / "supervise/pid").strip()

    def done(self, name: str) -> bool:
        """Whether a unit that runs once has ended well."""
        return (self.root / SERVICES[1:] / name / "done").exists()

    def last_exit(self, name: str) -> str:
        """Exit status of the latest end: a number, or "-1" for a signal; "" when it never ended."""
        lines = _read(self.root / SERVICES[1:] / name / "exits").split("\n")
        return lines[-2].split()[0] if len(lines) > 1 else ""

    def log_tail(self, name: str, lines: int) -> list[str]:
        return _read(self.root / LOGS[1:] / f"{name}.log").splitlines()[-lines:]

    def listens(self, port: int) -> bool:
        """Whether anything in the host listens on TCP `port`, on any of its addresses."""
        wanted = f":{port:04X}"
        for table in ("tcp", "tcp6"):
            for line in _read(Path(f"/proc/{self.pid}/net/{table}")).splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == _LISTEN:
                    return True
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # not there yet, or the host went dark meanwhile
        return ""
