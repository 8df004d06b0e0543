"""unit.crash_loop: units are killed again each time they have been up for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults import unit
from blackstart_agent.faults.base import Held, Hit, Prepared, Surroundings, Undo
from blackstart_agent.faults.load import Load, by_hand, undo_of
from blackstart_agent.faults.select import unit_crash
from blackstart_agent.faults.undo import text, texts
from blackstart_agent.host.ports import Host

MIN_EVERY_MS = 50
MAX_EVERY_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class UnitCrashLoop(Load):
    """The units' processes are killed at T0, and `every_ms` (50 to 3,600,000) after each later start.

    A worker does it, so it ends with its lease. On revert a unit that its supervisor has given up is started.
    """

    kind: ClassVar[str] = "unit.crash_loop"
    units: tuple[str, ...]
    every_ms: int

    def __post_init__(self) -> None:
        unit.check_names(self.kind, self.units)
        if not MIN_EVERY_MS <= self.every_ms <= MAX_EVERY_MS:
            raise InvalidOrder(
                f"{self.kind}: every_ms must be {MIN_EVERY_MS} to {MAX_EVERY_MS}, got {self.every_ms}"
            )

    @classmethod
    def of(cls, spec: pb.UnitCrashLoop) -> Self:
        return cls(tuple(spec.units), spec.every_ms)

    @classmethod
    def try_out(cls, host: Host) -> None:
        host.units.check()
        host.workers.check()

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        names = unit.running_units(self.kind, self.units, host, around)
        parameters: dict[str, int | str] = {
            "supervisor": host.units.supervisor,
            "units": "\n".join(names),
            "every_ms": self.every_ms,
        }
        effect = f"killed at once, and again {self.every_ms / 1000:g} s after each start"
        return Prepared(
            tuple(Hit("unit", name, effect) for name in names),
            {
                **undo_of("crash_loop", around, parameters),
                "boot_id": host.clock.boot_id(),
                "units": list(names),
            },
            (by_hand(around.order_id), *host.units.manual(names)),
        )

    @classmethod
    def holds(cls, undo: Undo) -> Held:
        return frozenset(unit_crash(name) for name in texts(undo, "units"))

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        status = host.workers.status(text(undo, "order"))
        if not status.get("running", 0):
            return ["the process that kills the units does not run"]
        killed, wanted = status.get("kills", 0), len(texts(undo, "units"))
        return [] if killed >= wanted else [f"units were killed {killed} times, at least {wanted} are due"]

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        host.workers.end(text(undo, "order"))
        unit.start_again(host, undo, kept)
