"""What every supervisor's units have in common: processes that are waited for, or killed to the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from blackstart_agent.host.ports import SIGKILL, Process, Processes

MAX_SWEEPS = 50
Members = Callable[[], Sequence[Process]]  # every process of the units, as it is now


def settle(members: Members, processes: Processes, *, timeout_s: float, poll_s: float) -> Sequence[str]:
    """The units that still have a process when none is left or `timeout_s` is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = members()
        left = sorted({member.unit for member in found})
        if not left or time.monotonic() >= deadline:
            return left
        processes.settle(found, timeout_s=min(poll_s, deadline - time.monotonic()))


def kill(members: Members, processes: Processes) -> None:
    """SIGKILL for every process of the units, children that are forked meanwhile too."""
    for _ in range(MAX_SWEEPS):
        found = members()
        if not found:
            return
        for member in found:
            processes.signal(member, SIGKILL)
