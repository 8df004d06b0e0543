"""Reverts what the journal holds, without an engine: for the sentry, and for `revert --all` on its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from blackstart_proto.v1 import agent_pb2 as pb

from blackstart_agent.faults.base import Fault, Surroundings
from blackstart_agent.guardian.events import EventLog, event
from blackstart_agent.guardian.journal import Entry, Journal
from blackstart_agent.guardian.life import backoff_ns
from blackstart_agent.guardian.steps import problem_of, revert_once
from blackstart_agent.host.ports import Host

Sweep = Callable[[Host], list[str]]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done. `stayed`: order, or what the sweep found, and why it is still there."""

    reverted: tuple[str, ...] = ()
    stayed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quarantined: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.stayed


@dataclass(frozen=True, slots=True)
class Recovery:
    """The lock of `journal` is ours. `sweep` takes away what carries our mark and no record knows."""

    host: Host
    faults: Mapping[str, type[Fault]]
    sweep: Sweep
    journal: Journal
    log: EventLog

    def run(self, reason: str, timeout_s: float) -> Recovered:
        """Every record is reverted and gone, or named in `stayed` after `timeout_s`."""
        contents = self.journal.load(quarantine=True)
        left = {entry.record.order_id: entry for entry in contents.entries}
        for entry in left.values():
            if entry.progress.state != "armed":
                self._say(pb.EVENT_KIND_REVERTING, entry, reason)  # in memory: the revert waits for no disk
        problems: dict[str, tuple[str, ...]] = {}
        failures = 0
        until = time.monotonic() + timeout_s
        while left:
            problems = {order: self._attempt(entry, reason) for order, entry in left.items()}
            left = {order: entry for order, entry in left.items() if problems[order]}
            if not left or time.monotonic() >= until:
                break
            time.sleep(backoff_ns(failures) / 1e9)
            failures += 1
        for order, entry in left.items():
            self._say(pb.EVENT_KIND_REVERT_FAILED, entry, "; ".join(problems[order]))
        reverted = tuple(e.record.order_id for e in contents.entries if e.record.order_id not in left)
        self.log.flush()
        stayed = {order: problems[order] for order in left} | self._sweep(left)
        return Recovered(reverted, stayed, contents.quarantined)

    def _attempt(self, entry: Entry, reason: str) -> tuple[str, ...]:
        record = entry.record
        problems = revert_once(self.host, self.faults, record.kind, record.undo)
        if problems:
            return problems
        armed = entry.progress.state == "armed"
        self._say(pb.EVENT_KIND_DISARMED if armed else pb.EVENT_KIND_REVERTED, entry, reason)
        if self.log.flush():  # else the record stays, so that the next start says it
            problem_of(lambda: self.journal.remove(record.order_id))
        return ()

    def _sweep(self, left: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
        if left:
            return {}  # their tables are theirs
        found: list[str] = []
        problem = problem_of(lambda: found.extend(self.sweep(self.host)))
        if problem:
            found.append(f"cannot tell what is left: {problem}")
        return {"sweep": tuple(found)} if found else {}

    def _say(self, kind: pb.EventKind.ValueType, entry: Entry, detail: str) -> None:
        record = entry.record
        self.log.remember(
            event(
                self.host.clock,
                kind,
                order_id=record.order_id,
                run_id=record.run_id,
                fault_kind=record.kind,
                detail=detail,
            )
        )


def tables_of(entries: tuple[Entry, ...]) -> list[str]:
    """The names of the tables that open orders may have."""
    return [Surroundings(entry.record.order_id, False, None).table for entry in entries]
