"""process.restart and unit.restart: what runs is ended once, and its supervisor has to start it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import process, select, unit
from blackstart_agent.faults.base import Fault, Held, Hit, Json, Prepared, Rung, Surroundings, Undo
from blackstart_agent.faults.undo import number, process_rows, processes, texts
from blackstart_agent.host.ports import SIGKILL, SIGTERM, Host

MAX_GRACE_MS = 600_000
DEFAULT_GRACE_MS = 10_000


class Restart(Fault):
    """What did not start again by itself until revert is started then."""

    rung: ClassVar[Rung] = "guardian"

    @classmethod
    def try_out(cls, host: Host) -> None:
        host.units.check()

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        """What is left after its grace is killed."""
        recorded = processes(undo, "processes")
        for late in host.processes.settle(recorded, timeout_s=number(undo, "grace_ms") / 1000):
            host.processes.signal(late, SIGKILL)
        host.processes.settle(recorded, timeout_s=process.DEATH_TIMEOUT_S)

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        return process.still_running(host, undo)

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        unit.start_again(host, undo, kept)

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        """Nothing is held. A unit that was told to start and cannot is a finding, and not ours to undo."""
        return []


@dataclass(frozen=True, slots=True)
class ProcessRestart(Restart):
    """Every matching process gets SIGTERM, and SIGKILL after `grace_ms` (0 to 600,000) if it is still there.

    Only processes of units are taken: nobody would start another one again.
    """

    kind: ClassVar[str] = "process.restart"
    select: select.Selector
    grace_ms: int = DEFAULT_GRACE_MS

    def __post_init__(self) -> None:
        if not 0 <= self.grace_ms <= MAX_GRACE_MS:
            raise InvalidOrder(f"{self.kind}: grace_ms must be 0 to {MAX_GRACE_MS}, got {self.grace_ms}")

    @classmethod
    def of(cls, spec: pb.ProcessRestart) -> Self:
        return cls(select.Selector.of(spec.select), spec.grace_ms)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        found, undo = process.examined(self.kind, self.select, host, around)
        unit_of = {select.same(one): one.unit for one in host.units.everyone()}
        homeless = [one for one in found if select.same(one) not in unit_of]
        if homeless:
            why = "belongs to no unit, so nobody would start it again; use process.kill"
            raise Refused([f"{self.kind}: {select.label(one)} {why}" for one in homeless])
        units = sorted({unit_of[select.same(one)] for one in found})
        effect = f"SIGTERM, SIGKILL after {self.grace_ms / 1000:g} s, started again by its supervisor"
        hits = tuple(Hit("process", select.label(one), effect) for one in found)
        return Prepared(
            hits, {**undo, "units": units, "grace_ms": self.grace_ms}, host.units.manual(tuple(units))
        )

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        for one in processes(undo, "processes"):
            host.processes.signal(one, SIGTERM)


@dataclass(frozen=True, slots=True)
class UnitRestart(Restart):
    """The units are stopped and started again, as an administrator would; killed if they take over 10 s."""

    kind: ClassVar[str] = "unit.restart"
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        unit.check_names(self.kind, self.units)

    @classmethod
    def of(cls, spec: pb.UnitRestart) -> Self:
        return cls(tuple(spec.units))

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        names = unit.running_units(self.kind, self.units, host, around)
        found = tuple(one for name in names for one in host.units.processes(name))
        undo: dict[str, Json] = {
            "boot_id": host.clock.boot_id(),
            "units": list(names),
            "processes": process_rows(found),
            "grace_ms": DEFAULT_GRACE_MS,
        }
        hits = tuple(Hit("unit", name, "stopped and started again") for name in names)
        return Prepared(hits, undo, host.units.manual(names))

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.units.restart(texts(undo, "units"))
