"""Workers and what a host has, in memory: a worker ends when the clock reaches its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blackstart_agent.errors import HostError
from blackstart_agent.host.ports import Process
from blackstart_agent.testing.clock import FakeClock


@dataclass
class FakeWorker:
    load: str
    parameters: Mapping[str, int]
    deadline_ns: int = 0  # 0: it has not begun


@dataclass
class FakeWorkers:
    """By order. `weak`: they do less than they were asked to."""

    clock: FakeClock = field(compare=False)
    content: dict[str, FakeWorker] = field(default_factory=dict)
    weak: bool = field(default=False, compare=False)

    def check(self) -> None:
        """A fake worker can always be started."""

    def start(self, order_id: str, load: str, parameters: Mapping[str, int]) -> None:
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
        if worker.load == "memory":
            return {"running": 1, "bytes": worker.parameters["wanted"] // (2 if self.weak else 1)}
        return {"running": worker.parameters["cores"], "cpu_ms": 0 if self.weak else 1_000}

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
    count: int = 2
    total_bytes: int = 8 << 30
    available_bytes: int = 4 << 30

    def cores(self) -> int:
        return self.count

    def memory_total(self) -> int:
        return self.total_bytes

    def memory_available(self) -> int:
        return self.available_bytes
