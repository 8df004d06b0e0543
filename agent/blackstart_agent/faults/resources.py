"""resources.*: worker processes keep the host short of something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import volume
from blackstart_agent.faults.base import Held, Prepared, Surroundings, Undo
from blackstart_agent.faults.load import ENOUGH, Load, count_of, mib, prepared
from blackstart_agent.faults.undo import text
from blackstart_agent.host.ports import Host
from blackstart_agent.host.ports.workers import Room

MAX_CORES = 1_024
MAX_WRITERS = 64
LEAST_FILE = 1 << 20
MAX_MEMORY_PERCENT = 95
FLOOR_PERCENT = 3  # of all memory, which a load never takes
FLOOR_LEAST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ResourcesCpu(Load):
    """`percent` (1 to 100) of each of `cores` processors is used; 0 cores are all that this host has."""

    kind: ClassVar[str] = "resources.cpu"
    percent: int
    cores: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 100:
            raise InvalidOrder(f"{self.kind}: percent must be 1 to 100, got {self.percent}")
        if not 0 <= self.cores <= MAX_CORES:
            raise InvalidOrder(f"{self.kind}: cores must be 0 (all) to {MAX_CORES}, got {self.cores}")

    @classmethod
    def of(cls, spec: pb.ResourcesCpu) -> Self:
        return cls(spec.percent, spec.cores)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        cores = self.cores or host.capacity.cores()
        effect = f"{self.percent} % of {cores} {'core' if cores == 1 else 'cores'} busy"
        return prepared("cpu", "this host", effect, around, {"percent": self.percent, "cores": cores})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = count_of(undo, "cores"), host.workers.status(text(undo, "order"))
        if status.get("running", 0) < asked:
            return [f"{status.get('running', 0)} of {asked} busy processes run"]
        return [] if status.get("cpu_ms", 0) else ["the busy processes have not been on a processor yet"]


@dataclass(frozen=True, slots=True)
class ResourcesMemory(Load):
    """So many bytes more are used, or so many percent (1 to 95) of all memory; never the last 3 percent.

    Its process is the first to die when memory runs out all the same; blackstart's own are the last.
    """

    kind: ClassVar[str] = "resources.memory"
    bytes: int = 0
    percent: int = 0

    def __post_init__(self) -> None:
        if bool(self.bytes) == bool(self.percent):
            raise InvalidOrder(f"{self.kind}: exactly one of bytes and percent must be set")
        if self.percent and not 1 <= self.percent <= MAX_MEMORY_PERCENT:
            raise InvalidOrder(f"{self.kind}: percent must be 1 to {MAX_MEMORY_PERCENT}, got {self.percent}")

    @classmethod
    def of(cls, spec: pb.ResourcesMemory) -> Self:
        return cls(spec.bytes, spec.percent)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        total, available = host.capacity.memory_total(), host.capacity.memory_available()
        floor = max(FLOOR_LEAST_BYTES, total * FLOOR_PERCENT // 100)
        wanted = self.bytes or total * self.percent // 100 - (total - available)
        if wanted <= 0:
            raise Refused([f"{self.kind}: more than {self.percent} % of {mib(total)} is used already"])
        if wanted > available - floor:
            raise Refused(
                [
                    f"{self.kind}: {mib(wanted)} would leave less than {mib(floor)}; of {mib(total)} "
                    f"{mib(available)} are available to the agent; at most {mib(available - floor)} may go"
                ]
            )
        effect = f"{mib(wanted)} more are used, of {mib(available)} available"
        return prepared("memory", "this host", effect, around, {"wanted": wanted, "floor": floor})

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        """Two of them would each count on what the other takes."""
        return frozenset({"the host's memory"})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = count_of(undo, "wanted"), host.workers.status(text(undo, "order"))
        if not status.get("running", 0):
            return ["the process that takes memory does not run"]
        taken = status.get("bytes", 0)
        return [] if taken >= asked * ENOUGH else [f"{mib(taken)} of {mib(asked)} are taken"]


@dataclass(frozen=True, slots=True)
class ResourcesIo(Load):
    """`workers` (1 to 64) processes write `bytes` (1 MiB or more) each to a volume, and read them back.

    Again and again, synced and past the cache. The files have no name: they are gone with the processes.
    """

    kind: ClassVar[str] = "resources.io"
    volume: str
    workers: int
    bytes: int

    def __post_init__(self) -> None:
        if not self.volume:
            raise InvalidOrder(f"{self.kind}: volume must be a name of [volumes] in policy.toml, got none")
        if not 1 <= self.workers <= MAX_WRITERS:
            raise InvalidOrder(f"{self.kind}: workers must be 1 to {MAX_WRITERS}, got {self.workers}")
        if self.bytes < LEAST_FILE:
            raise InvalidOrder(f"{self.kind}: bytes must be {LEAST_FILE} or more, got {self.bytes}")

    @classmethod
    def of(cls, spec: pb.ResourcesIo) -> Self:
        return cls(spec.volume, spec.workers, spec.bytes)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        declared, room = volume.look(self.kind, self.volume, host, around)
        floor = declared.keep_mib << 20
        volume.refuse(self.kind, self.volume, declared, self._too_much(room, floor))
        target = f"volume {self.volume} ({declared.path})"
        effect = f"{self.workers} processes write {mib(self.bytes)} each and read them back, again and again"
        parameters: dict[str, int | str] = {
            "path": declared.path,
            "workers": self.workers,
            "size": self.bytes,
            "floor": floor,
        }
        return prepared("io", target, effect, around, parameters)

    def _too_much(self, room: Room, floor: int) -> Iterator[str]:
        wanted = self.workers * self.bytes
        if wanted > room.free - floor:
            yield f"{mib(wanted)} are more than the {mib(room.free)} free but for {mib(floor)} (keep_mib)"

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = count_of(undo, "workers"), host.workers.status(text(undo, "order"))
        if status.get("running", 0) < asked:
            return [f"{status.get('running', 0)} of {asked} writing processes run"]
        return [] if status.get("bytes", 0) else ["nothing has been written yet"]
