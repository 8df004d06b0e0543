"""disk.fill: a volume has no room, or little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import HostError, InvalidOrder, Refused
from blackstart_agent.faults.base import Held, Prepared, Surroundings, Undo
from blackstart_agent.faults.load import ENOUGH, Load, count_of, mib, parameters_of, prepared
from blackstart_agent.faults.undo import text
from blackstart_agent.host.ports import Host
from blackstart_agent.host.ports.workers import Room
from blackstart_agent.policy import Volume


@dataclass(frozen=True, slots=True)
class DiskFill(Load):
    """So many bytes more of the volume are used, or so much of it (1 to 100 percent), but for its floor.

    The file that takes the room has no name: it is gone with the process that holds it open.
    """

    kind: ClassVar[str] = "disk.fill"
    volume: str
    bytes: int = 0
    percent: int = 0

    def __post_init__(self) -> None:
        if not self.volume:
            raise InvalidOrder(f"{self.kind}: volume must be a name of [volumes] in policy.toml, got none")
        if bool(self.bytes) == bool(self.percent):
            raise InvalidOrder(f"{self.kind}: exactly one of bytes and percent must be set")
        if not 0 <= self.percent <= 100:
            raise InvalidOrder(f"{self.kind}: percent must be 1 to 100, got {self.percent}")

    @classmethod
    def of(cls, spec: pb.DiskFill) -> Self:
        return cls(spec.volume, spec.bytes, spec.percent)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        volume = self._declared(around)
        try:
            room = host.capacity.room(volume.path)
        except HostError as error:
            raise Refused([f"{self.kind}: volume {self.volume}: {error}"]) from error
        floor = volume.keep_mib << 20
        wanted = self.bytes or (room.used + room.free) * self.percent // 100 - room.used
        wanted = min(wanted, room.free - floor) if self.percent else wanted
        reasons = list(self._refusals(host, around, room, wanted, floor))
        if reasons:
            raise Refused([f"{self.kind}: volume {self.volume} ({volume.path}): {why}" for why in reasons])
        effect = f"{mib(wanted)} of {mib(room.free)} free are taken, {mib(floor)} are kept free"
        parameters: dict[str, int | str] = {
            "path": volume.path,
            "wanted": wanted,
            "floor": floor,
            "volume": self.volume,
        }
        return prepared("fill", f"volume {self.volume} ({volume.path})", effect, around, parameters)

    def _declared(self, around: Surroundings) -> Volume:
        volume = around.volumes.get(self.volume)
        if volume is None:
            has = ", ".join(sorted(around.volumes)) or "none"
            raise Refused([f"{self.kind}: policy.toml declares no volume {self.volume}; it has {has}"])
        return volume

    def _refusals(
        self, host: Host, around: Surroundings, room: Room, wanted: int, floor: int
    ) -> Sequence[str]:
        if any(host.capacity.room(path).device == room.device for path in around.own_paths):
            return ["the agent keeps its journal on the same file system, and must go on recording"]
        if room.read_only:
            return ["read-only to the agent; under systemd, give it ReadWritePaths= in a drop-in"]
        if wanted <= 0:
            return [f"{mib(room.used)} are used and {mib(room.free)} free already; there is nothing to take"]
        if wanted > room.free - floor:
            return [f"{mib(wanted)} are more than the {mib(room.free)} free but for {mib(floor)} (keep_mib)"]
        return []

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        return frozenset({f"volume {parameters_of(undo).get('volume')}"})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = count_of(undo, "wanted"), host.workers.status(text(undo, "order"))
        if not status.get("running", 0):
            return ["the process that fills the volume does not run"]
        taken = status.get("bytes", 0)
        if status.get("full", 0) or taken >= asked * ENOUGH:
            return []
        return [f"{mib(taken)} of {mib(asked)} are taken"]
