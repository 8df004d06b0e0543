"""Workers and what a host has, in memory: a worker ends when the clock reaches its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blackstart_agent.errors import HostError
from blackstart_agent.host.ports import Process
from blackstart_agent.host.ports.workers import Room
from blackstart_agent.testing.clock import FakeClock


@dataclass
class FakeWorker:
    load: str
    parameters: Mapping[str, int | str]
    deadline_ns: int = 0  # 0: it has not begun


@dataclass
class FakeWorkers:
    """By order. `weak`: they do less than they were asked to."""

    clock: FakeClock = field(compare=False)
    content: dict[str, FakeWorker] = field(default_factory=dict)
    weak: bool = field(default=False, compare=False)

    def check(self) -> None:
        """A fake worker can always be started."""

    def start(self, order_id: str, load: str, parameters: Mapping[str, int | str]) -> None:
        self.content[order_id] = FakeWorker(load, parameters)

    def until(self, order_id: str, deadline_ns: int) -> None:
        worker = self._alive(order_id)
        if worker is None:
            raise HostError(f"order {order_id} has no worker here")
        worker.deadline_ns = deadline_ns

    def status(self, order_id: str) -> Mapping[str, int]:
        worker = self._alive(order_id)
        if worker is None or not worker.deadline_ns:
            return {} if worker is None else {"running": 0}
        if worker.load in ("shape", "dns"):
            return {"running": 0 if self.weak else 1, "packets": 1, "held": 0}
        if worker.load == "crash_loop":
            return {
                "running": 1,
                "kills": 0 if self.weak else str(worker.parameters["units"]).count("\n") + 1,
            }
        if worker.load == "inodes":
            return {"running": 1, "files": int(worker.parameters["wanted"]) // (2 if self.weak else 1)}
        if worker.load == "io":
            return {"running": int(worker.parameters["workers"]), "bytes": 0 if self.weak else 1 << 20}
        if worker.load != "cpu":
            return {"running": 1, "bytes": int(worker.parameters["wanted"]) // (2 if self.weak else 1)}
        return {"running": int(worker.parameters["cores"]), "cpu_ms": 0 if self.weak else 1_000}

    def end(self, order_id: str) -> None:
        self.content.pop(order_id, None)

    def found(self, order_id: str) -> Sequence[Process]:
        worker = self._alive(order_id)
        return [] if worker is None else [Process(50_000, 1, worker.load, "/usr/bin/python3")]

    def _alive(self, order_id: str) -> FakeWorker | None:
        worker = self.content.get(order_id)
        ended = worker is not None and 0 < worker.deadline_ns <= self.clock.now_ns
        return None if ended else worker


@dataclass
class FakeCapacity:
    """`rooms`: every directory there is."""

    count: int = 2
    total_bytes: int = 8 << 30
    available_bytes: int = 4 << 30
    rooms: dict[str, Room] = field(
        default_factory=lambda: {"/srv/data": Room(1 << 30, 3 << 30, 7, inodes_free=100_000)}
    )

    def cores(self) -> int:
        return self.count

    def memory_total(self) -> int:
        return self.total_bytes

    def memory_available(self) -> int:
        return self.available_bytes

    def room(self, path: str) -> Room:
        if path not in self.rooms:
            raise HostError(f"{path}: No such file or directory")
        return self.rooms[path]
