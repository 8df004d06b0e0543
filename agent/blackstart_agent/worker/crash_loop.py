"""Units are killed, and killed again each time they have been up for a while."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence

from blackstart_agent.host import units_of
from blackstart_agent.host.clock import LinuxClock
from blackstart_agent.host.ports import SIGKILL, Process
from blackstart_agent.host.process import LinuxProcesses
from blackstart_agent.worker.children import Children

DOWN_POLL_S = (
    0.05  # how soon a new start is noticed; its age is read from the kernel, so nothing is lost by it
)
LONGEST_S = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
_COUNT = struct.Struct("q")


class CrashLoop:
    """`units`, one a line, of `supervisor`; killed `every_ms` after each start, and once at the beginning."""

    def __init__(self, supervisor: str, units: str, every_ms: int) -> None:
        self._units = units_of(supervisor)
        self._names = units.split("\n")
        self._every_s = every_ms / 1000
        self._kills = mmap.mmap(-1, _COUNT.size)  # shared with the child that counts

    def begin(self, children: Children) -> None:
        children.start(self._loop)

    def status(self, children: Children) -> dict[str, int]:
        return {"running": children.running(), "kills": _COUNT.unpack_from(self._kills)[0]}

    def _loop(self) -> None:
        processes = LinuxProcesses()
        for name in self._names:
            self._kill(processes, self._units.processes(name))
        while True:
            wait_s = LONGEST_S
            for name in self._names:
                found = self._units.processes(name)
                left_s = self._every_s - age_s(found, LinuxClock().boot_ticks()) if found else DOWN_POLL_S
                if found and left_s <= 0:
                    self._kill(processes, found)
                    left_s = DOWN_POLL_S
                wait_s = min(wait_s, left_s)
            time.sleep(wait_s)

    def _kill(self, processes: LinuxProcesses, found: Sequence[Process]) -> None:
        for process in found:
            processes.signal(process, SIGKILL)
        _COUNT.pack_into(self._kills, 0, _COUNT.unpack_from(self._kills)[0] + 1)


def age_s(found: Sequence[Process], now_ticks: int) -> float:
    """How long the oldest of these processes has been there."""
    return (now_ticks - min(process.start_ticks for process in found)) / TICKS
