"""The processes that do a worker's work. They die with it, and first of all when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
FIRST = -20
FIRST_TO_DIE = "1000"


class Load(Protocol):
    """What a worker does with its children."""

    def begin(self, children: Children) -> None: ...

    def status(self, children: Children) -> dict[str, int]:
        """`running`: how many of the children are at work; and how far they have come."""
        ...


class Children:
    """`channel` is the worker's own, and closed in them: its end must be seen when the worker is gone."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pids: list[int] = []

    def start(self, work: Callable[[], None]) -> None:
        """One more process does `work`."""
        worker = os.getpid()
        pid = os.fork()
        if pid:
            self._pids.append(pid)
            return
        try:
            _die_with(worker)
            self._channel.close()
            Path("/proc/self/oom_score_adj").write_text(FIRST_TO_DIE, encoding="ascii")
            work()
        finally:
            os._exit(0)

    def running(self) -> int:
        """How many are there; those that have ended are reaped."""
        self._pids = [pid for pid in self._pids if os.waitpid(pid, os.WNOHANG)[0] == 0]
        return len(self._pids)

    def rss_bytes(self) -> int:
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(_read(pid, "statm").split()[1]) * page for pid in self._pids[: self.running()])

    def cpu_ms(self) -> int:
        """How long they have been on a processor, all together."""
        ticks = os.sysconf("SC_CLK_TCK")
        used = (_read(pid, "stat").rpartition(")")[2].split() for pid in self._pids[: self.running()])
        return sum((int(fields[11]) + int(fields[12])) * 1000 // ticks for fields in used)


def _die_with(worker: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker:  # it died before we asked
        os._exit(0)


def sharpen() -> None:
    """This process sleeps as exactly as the kernel can, and is scheduled before others if that is allowed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
