"""What a process that reverts needs, opened for real: the host, the journal with its lock, the events."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from blackstart_agent.config import AgentConfig
from blackstart_agent.faults import FAULTS, sweep
from blackstart_agent.guardian.events import EventLog
from blackstart_agent.guardian.journal import Journal
from blackstart_agent.guardian.recovery import Recovered, Recovery
from blackstart_agent.host import LinuxHost
from blackstart_agent.spool import Spool

EVENTS_BYTES = 16 << 20


def open_events(config: AgentConfig) -> Spool:
    return Spool(config.events_dir, max_bytes=EVENTS_BYTES)


def owner_line(role: str) -> str:
    """Who holds the journal's lock: role, pid and start time, by which `parse_owner` finds it again."""
    return f"{role} {os.getpid()} {start_ticks(os.getpid())}"


def parse_owner(line: str) -> tuple[str, int, int] | None:
    """(role, pid, start time) of a holder that still runs; None otherwise."""
    words = line.split()
    if len(words) != 3 or not (words[1].isdecimal() and words[2].isdecimal()):
        return None
    pid, ticks = int(words[1]), int(words[2])
    return (words[0], pid, ticks) if start_ticks(pid) == ticks else None


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[19])


def revert_all(config: AgentConfig, journal: Journal, reason: str, timeout_s: float) -> Recovered:
    """Everything is reverted by this process. The journal's lock is already ours.

    A disk that takes no events does not stop it: the records stay, and the next start says what was done.
    """
    with contextlib.ExitStack() as stack:
        log = EventLog(None)
        with contextlib.suppress(OSError):
            spool = open_events(config)
            stack.callback(spool.close)
            log = EventLog(spool)
        return Recovery(LinuxHost(config.supervisor), FAULTS, sweep, journal, log).run(reason, timeout_s)
