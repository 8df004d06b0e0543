"""What a person at this host can do without controller and guardian: see what is open, and end it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TypedDict

from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import AgentError
from blackstart_agent.guardian import open_host
from blackstart_agent.guardian.journal import Contents, Journal
from blackstart_agent.guardian.recovery import Recovered

MOVE_TIMEOUT_S = 2.0
REVERT_TIMEOUT_S = 30.0
LOCK_TIMEOUT_S = 10.0
POLL_S = 0.02


class OpenFault(TypedDict):
    order_id: str
    run_id: str
    kind: str
    state: str
    mode: str
    deadline_mono_ns: int
    undo: list[str]


def open_faults(config: AgentConfig) -> list[OpenFault]:
    """Every fault that has a record on this host."""
    if not config.journal_dir.is_dir():
        return []
    with Journal(config.journal_dir, config.mirror_dir) as journal:
        return [
            OpenFault(
                order_id=entry.record.order_id,
                run_id=entry.record.run_id,
                kind=entry.record.kind,
                state=entry.progress.state,
                mode=entry.record.mode,
                deadline_mono_ns=entry.progress.deadline_ns,
                undo=list(entry.record.manual),
            )
            for entry in journal.load().entries
        ]


def revert_all(config: AgentConfig, reason: str) -> Recovered:
    """Every fault is ended, by a guardian that answers or else by this process; `stayed` says what is not."""
    with Journal(config.journal_dir, config.mirror_dir) as journal:
        if journal.lock(open_host.owner_line("revert")):
            return open_host.revert_all(config, journal, reason, REVERT_TIMEOUT_S)
        owner = open_host.parse_owner(journal.owner())
        if owner is not None and owner[0] == "guardian":
            asked = _ask(journal, owner[1], owner[2])
            if asked is not None:
                return asked
        if journal.lock(open_host.owner_line("revert"), LOCK_TIMEOUT_S):
            return open_host.revert_all(config, journal, reason, REVERT_TIMEOUT_S)
    raise AgentError(
        f"{config.journal_dir}/lock is held by {journal.owner() or 'an unknown process'}; end it first"
    )


def _ask(journal: Journal, pid: int, ticks: int) -> Recovered | None:
    """The guardian reverts everything; None when it does not move and was killed."""
    before = journal.load()
    with contextlib.ExitStack() as stack:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        stack.callback(os.close, pidfd)
        if open_host.start_ticks(pid) != ticks:
            return None
        signal.pidfd_send_signal(pidfd, signal.SIGUSR1)
        if not _wait(journal, _moving, MOVE_TIMEOUT_S):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return None
    _wait(journal, lambda contents: not contents.entries, REVERT_TIMEOUT_S)
    left = {entry.record.order_id for entry in journal.load().entries}
    orders = [entry.record.order_id for entry in before.entries]
    stayed = dict.fromkeys(left, ("the guardian still tries; see its log and `blackstart-agent status`",))
    return Recovered(tuple(order for order in orders if order not in left), stayed)


def _moving(contents: Contents) -> bool:
    return all(entry.progress.state == "reverting" for entry in contents.entries)


def _wait(journal: Journal, until: object, timeout_s: float) -> bool:
    assert callable(until)
    deadline = time.monotonic() + timeout_s
    while not until(journal.load()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
