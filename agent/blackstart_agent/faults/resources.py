"""resources.cpu and resources.memory: a worker process keeps the host short of something."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults.base import Fault, Held, Hit, Json, Prepared, Rung, Surroundings, Undo
from blackstart_agent.faults.undo import text
from blackstart_agent.host.ports import Host

MAX_CORES = 1_024
MAX_MEMORY_PERCENT = 95
FLOOR_PERCENT = 3  # of all memory, which a load never takes
FLOOR_LEAST_BYTES = 64 << 20
ENOUGH = 0.98  # of the memory that was asked for: pages are counted, not bytes
LOAD_TIMEOUT_S = 30.0
POLL_S = 0.02
MIB = 1 << 20


class Load(Fault):
    """What every load does: its worker is ready before T0, and ends at the deadline by itself."""

    rung: ClassVar[Rung] = "worker"

    @classmethod
    def try_out(cls, host: Host) -> None:
        host.workers.check()

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        host.workers.start(text(undo, "order"), text(undo, "load"), _parameters(undo))

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.workers.until(text(undo, "order"), deadline_ns)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        """Waits until the whole load is there; what is missing then, `unproved` says."""
        until = time.monotonic() + LOAD_TIMEOUT_S
        while cls.unproved(host, undo) and host.workers.found(text(undo, "order")):
            if time.monotonic() >= until or cls._rests(host, undo):
                return
            time.sleep(POLL_S)

    @classmethod
    def _rests(cls, host: Host, undo: Undo) -> bool:
        """Whether nothing more is to be expected."""
        before = dict(host.workers.status(text(undo, "order")))
        time.sleep(POLL_S * 10)
        return dict(host.workers.status(text(undo, "order"))) == before

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.workers.until(text(undo, "order"), deadline_ns)

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        host.workers.end(text(undo, "order"))

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        found = host.workers.found(text(undo, "order"))
        return [f"{process.name}[{process.pid}] of {text(undo, 'load')} still runs" for process in found]


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
        return _prepared("cpu", effect, around, {"percent": self.percent, "cores": cores})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = _parameters(undo)["cores"], host.workers.status(text(undo, "order"))
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
            raise Refused([f"{self.kind}: more than {self.percent} % of {_mib(total)} is used already"])
        if wanted > available - floor:
            raise Refused(
                [
                    f"{self.kind}: {_mib(wanted)} would leave less than {_mib(floor)}; of {_mib(total)} "
                    f"{_mib(available)} are available to the agent; at most {_mib(available - floor)} may go"
                ]
            )
        effect = f"{_mib(wanted)} more are used, of {_mib(available)} available"
        return _prepared("memory", effect, around, {"wanted": wanted, "floor": floor})

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        """Two of them would each count on what the other takes."""
        return frozenset({"the host's memory"})

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        asked, status = _parameters(undo)["wanted"], host.workers.status(text(undo, "order"))
        if not status.get("running", 0):
            return ["the process that takes memory does not run"]
        taken = status.get("bytes", 0)
        return [] if taken >= asked * ENOUGH else [f"{_mib(taken)} of {_mib(asked)} are taken"]


def _prepared(load: str, effect: str, around: Surroundings, parameters: dict[str, Json]) -> Prepared:
    undo: dict[str, Json] = {"order": around.order_id, "load": load, "parameters": parameters}
    by_hand = f"kill -9 $(grep -lsz BLACKSTART_ORDER={around.order_id} /proc/[0-9]*/environ | cut -d/ -f3)"
    return Prepared((Hit("resource", load, effect),), undo, (by_hand,))


def _parameters(undo: Undo) -> dict[str, int]:
    found = undo.get("parameters")
    return {key: int(str(value)) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _mib(count: int) -> str:
    return f"{count // MIB} MiB"
