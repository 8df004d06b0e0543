"""disk.fill: a volume has no room for data or for files, or little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults import volume
from blackstart_agent.faults.base import Held, Prepared, Surroundings, Undo
from blackstart_agent.faults.load import ENOUGH, Load, count_of, mib, parameters_of, prepared
from blackstart_agent.faults.undo import text
from blackstart_agent.host.ports import Host
from blackstart_agent.host.ports.workers import Room
from blackstart_agent.policy import Volume

MAX_INODES = 1_000_000  # files that one process can have open
INODES_KEPT = 64


@dataclass(frozen=True, slots=True)
class DiskFill(Load):
    """So many bytes more of the volume are used, or so much of it (1 to 100 percent), but for its floor.

    Or so many files more (`inodes`, 1 to 1,000,000), but for 64. What takes the room are files without a
    name: they are gone with the process that holds them open.
    """

    kind: ClassVar[str] = "disk.fill"
    volume: str
    bytes: int = 0
    percent: int = 0
    inodes: int = 0

    def __post_init__(self) -> None:
        if not self.volume:
            raise InvalidOrder(f"{self.kind}: volume must be a name of [volumes] in policy.toml, got none")
        if sum(map(bool, (self.bytes, self.percent, self.inodes))) != 1:
            raise InvalidOrder(f"{self.kind}: exactly one of bytes, percent and inodes must be set")
        if not 0 <= self.percent <= 100:
            raise InvalidOrder(f"{self.kind}: percent must be 1 to 100, got {self.percent}")
        if self.inodes > MAX_INODES:
            raise InvalidOrder(f"{self.kind}: inodes must be 1 to {MAX_INODES}, got {self.inodes}")

    @classmethod
    def of(cls, spec: pb.DiskFill) -> Self:
        return cls(spec.volume, spec.bytes, spec.percent, spec.inodes)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        declared, room = volume.look(self.kind, self.volume, host, around)
        target = f"volume {self.volume} ({declared.path})"
        common: dict[str, int | str] = {"path": declared.path, "volume": self.volume}
        if self.inodes:
            volume.refuse(self.kind, self.volume, declared, self._too_many(room))
            effect = f"{self.inodes} of {room.inodes_free} free inodes are taken"
            return prepared("inodes", target, effect, around, {**common, "wanted": self.inodes})
        floor = declared.keep_mib << 20
        wanted = self._bytes(room, declared)
        volume.refuse(self.kind, self.volume, declared, _too_much(room, wanted, floor))
        effect = f"{mib(wanted)} of {mib(room.free)} free are taken, {mib(floor)} are kept free"
        return prepared("fill", target, effect, around, {**common, "wanted": wanted, "floor": floor})

    def _bytes(self, room: Room, declared: Volume) -> int:
        if self.bytes:
            return self.bytes
        wanted = (room.used + room.free) * self.percent // 100 - room.used
        return min(wanted, room.free - (declared.keep_mib << 20))

    def _too_many(self, room: Room) -> Iterator[str]:
        if self.inodes > room.inodes_free - INODES_KEPT:
            yield f"{self.inodes} are more than the {room.inodes_free} free inodes but for {INODES_KEPT}"

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        return frozenset({f"volume {parameters_of(undo).get('volume')}"})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = count_of(undo, "wanted"), host.workers.status(text(undo, "order"))
        if not status.get("running", 0):
            return ["the process that fills the volume does not run"]
        if text(undo, "load") == "inodes":
            files, full = status.get("files", 0), status.get("full", 0)
            return [] if full or files >= asked else [f"{files} of {asked} inodes are taken"]
        taken = status.get("bytes", 0)
        if status.get("full", 0) or taken >= asked * ENOUGH:
            return []
        return [f"{mib(taken)} of {mib(asked)} are taken"]


def _too_much(room: Room, wanted: int, floor: int) -> Iterator[str]:
    if wanted <= 0:
        yield f"{mib(room.used)} are used and {mib(room.free)} free already; there is nothing to take"
    if wanted > room.free - floor:
        yield f"{mib(wanted)} are more than the {mib(room.free)} free but for {mib(floor)} (keep_mib)"
