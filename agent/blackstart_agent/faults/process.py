"""process.kill and process.pause: processes get a signal once, or stand still until revert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import select
from blackstart_agent.faults.base import (
    NOTHING_HELD,
    Fault,
    Held,
    Hit,
    Json,
    Prepared,
    Rung,
    Surroundings,
    Undo,
)
from blackstart_agent.faults.undo import of_this_boot, process_rows, processes, text
from blackstart_agent.host.ports import SIGCONT, SIGSTOP, Host, Process, Signals

DEATH_TIMEOUT_S = 5.0
# All but those that stop and wake a process, which need an end, and those that tell it of its own doings.
SIGNALS = (
    *("KILL", "TERM", "INT", "HUP", "QUIT", "ABRT", "SEGV", "BUS", "FPE", "ILL", "SYS", "TRAP", "PIPE"),
    *("USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "IO", "PWR", "WINCH"),
)


@dataclass(frozen=True, slots=True)
class ProcessKill(Fault):
    """Every matching process gets a signal once. There is nothing to revert: a restart is what is measured.

    `signal` is a name such as TERM, one that does not stop the process for good: that is process.pause.
    """

    kind: ClassVar[str] = "process.kill"
    rung: ClassVar[Rung] = "kernel"
    select: select.Selector
    signal: str = "KILL"

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise InvalidOrder(
                f'{self.kind}: signal must be one of {", ".join(SIGNALS)}, got "{self.signal}"'
            )

    @classmethod
    def of(cls, spec: pb.ProcessKill) -> Self:
        return cls(select.Selector.of(spec.select), spec.signal or "KILL")

    @classmethod
    def try_out(cls, host: Host) -> None:
        select.try_signals(host)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        found, undo = examined(self.kind, self.select, host, around)
        hits = tuple(Hit("process", select.label(process), f"SIG{self.signal}") for process in found)
        return Prepared(hits, {**undo, "signal": self.signal})

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        """What was found is killed first, then what was forked since; nothing that started at T0 or later."""
        before_ticks = host.clock.boot_ticks()
        number = Signals[f"SIG{text(undo, 'signal')}"]
        told = {select.same(process) for process in processes(undo, "processes")}
        for process in processes(undo, "processes"):
            host.processes.signal(process, number)
        spare = select.Untouchable.of(undo)
        for process in (one for selector in select.followed(undo) for one in selector.matches(host)):
            late = process.start_ticks < before_ticks and select.same(process) not in told
            if late and not spare.reason(process):
                host.processes.signal(process, number)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        if text(undo, "signal") == "KILL":
            host.processes.settle(processes(undo, "processes"), timeout_s=DEATH_TIMEOUT_S)

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        """Any other signal a process may take as it likes: that the kernel delivered it is all there is."""
        return still_running(host, undo) if text(undo, "signal") == "KILL" else []

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        """A killed process does not come back by our hand; its supervisor starts a new one."""

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        return []


@dataclass(frozen=True, slots=True)
class ProcessPause(Fault):
    """Every matching process stands still (SIGSTOP) until revert (SIGCONT), and those that it forks too.

    A process that was already stopped before stays stopped on revert.
    """

    kind: ClassVar[str] = "process.pause"
    rung: ClassVar[Rung] = "guardian"
    select: select.Selector

    @classmethod
    def of(cls, spec: pb.ProcessPause) -> Self:
        return cls(select.Selector.of(spec.select))

    @classmethod
    def try_out(cls, host: Host) -> None:
        select.try_signals(host)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        undo = examined(self.kind, self.select, host, around)[1]
        fresh = _ours(undo)
        if not fresh:
            raise Refused([f"{self.kind}: every process that matches {self.select} is stopped already"])
        hits = tuple(Hit("process", select.label(process), "SIGSTOP, SIGCONT on revert") for process in fresh)
        return Prepared(hits, undo, (f"kill -CONT {' '.join(str(process.pid) for process in fresh)}",))

    @classmethod
    def holds(cls, undo: Undo) -> Held:
        return frozenset(select.stop_hold(process) for process in _ours(undo))

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        for process in _ours(undo):
            host.processes.signal(process, SIGSTOP)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        select.stop_all(host, select.followed(undo), select.Untouchable.of(undo))

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        """Of what is there now: a child that ended before T0 need not stand still, a later one must.

        A child that ended under its stopped parent stays a zombie until revert; it runs no more.
        """
        recorded = {select.same(process) for process in _ours(undo)}
        matching = {select.same(one) for followed in select.followed(undo) for one in followed.matches(host)}
        found = [process for process in host.processes.list() if select.same(process) in recorded | matching]
        if not _still_stopped(host, undo, NOTHING_HELD):
            return [f"no process that matches {select.selector_of(undo)} is stopped"]
        spare = select.Untouchable.of(undo)
        return [
            f"{select.label(process)} is not stopped"
            for process in found
            if not process.stopped and host.processes.alive(process) and not spare.reason(process)
        ]

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        for process in _still_stopped(host, undo, kept):
            host.processes.signal(process, SIGCONT)

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        return [f"{select.label(process)} is stopped" for process in _still_stopped(host, undo, kept)]


def examined(
    kind: str, selector: select.Selector, host: Host, around: Surroundings
) -> tuple[tuple[Process, ...], dict[str, Json]]:
    """What would be hit, and what every undo record of processes holds. Raises Refused."""
    selector = selector.resolved(host)
    spare = select.untouchable(host, around)
    matching = selector.matches(host)
    reasons = select.refusals(kind, selector, matching, spare)
    if reasons:
        raise Refused(reasons)
    found = selector.pick(matching)
    asleep = select.asleep(found, around.held)
    undo: dict[str, Json] = {
        "boot_id": host.clock.boot_id(),
        "processes": process_rows(found),
        "stopped_before": process_rows(asleep),
        **select.rows(selector),
        **spare.undo(),
    }
    return found, undo


def still_running(host: Host, undo: Undo) -> list[str]:
    """The recorded processes that have not ended."""
    recorded = processes(undo, "processes")
    return [f"{select.label(process)} still runs" for process in recorded if host.processes.alive(process)]


def _ours(undo: Undo) -> list[Process]:
    before = {select.same(process) for process in processes(undo, "stopped_before")}
    return [process for process in processes(undo, "processes") if select.same(process) not in before]


def _still_stopped(host: Host, undo: Undo, kept: Held) -> list[Process]:
    """What we stopped and still stands: the recorded processes, and matching ones that were forked since."""
    if not of_this_boot(host, undo):
        return []
    recorded, before = processes(undo, "processes"), processes(undo, "stopped_before")
    return select.stopped_by_us(host, select.followed(undo), recorded, before, kept)
