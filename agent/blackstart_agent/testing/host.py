"""A whole host in memory. Equal hosts show no trace of a fault."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart_agent.testing.clock import FakeClock
from blackstart_agent.testing.network import FakeConnections, FakeNetwork, FakeQueues
from blackstart_agent.testing.nft import FakeNft
from blackstart_agent.testing.processes import FakeProcesses
from blackstart_agent.testing.units import FakeUnits
from blackstart_agent.testing.workers import FakeCapacity, FakeWorkers


class FakeHost:
    """A host with one interface, the units `redis` and `nginx`, and a process `cron` that no unit keeps."""

    def __init__(self, clock: FakeClock | None = None, units: Sequence[str] = ("redis", "nginx")) -> None:
        self._clock = clock or FakeClock()
        self._nft = FakeNft(self._clock)
        self._processes = FakeProcesses(self._clock)
        self._units = FakeUnits(self._processes)
        self._network = FakeNetwork()
        self._connections = FakeConnections()
        self._queues = FakeQueues()
        self._workers = FakeWorkers(self._clock)
        self._capacity = FakeCapacity()
        self._processes.died = self._units.restart_dead
        self._processes.add("cron")
        for name in units:
            self._units.add(name)

    @property
    def clock(self) -> FakeClock:
        return self._clock

    @property
    def nft(self) -> FakeNft:
        return self._nft

    @property
    def processes(self) -> FakeProcesses:
        return self._processes

    @property
    def units(self) -> FakeUnits:
        return self._units

    @property
    def network(self) -> FakeNetwork:
        return self._network

    @property
    def connections(self) -> FakeConnections:
        return self._connections

    @property
    def queues(self) -> FakeQueues:
        return self._queues

    @property
    def workers(self) -> FakeWorkers:
        return self._workers

    @property
    def capacity(self) -> FakeCapacity:
        return self._capacity

    def reboot(self) -> None:
        """Power off and on: no table, nothing stopped or held, every process new."""
        self._clock.boot += "+"
        self._nft.content.clear()
        self._workers.content.clear()
        self._queues.content.clear()
        self._connections.content.clear()
        names = [process for process in self._processes.content if not process.unit]
        self._processes.content.clear()
        for process in names:
            self._processes.add(process.name, executable=process.executable)
        for name in self._units.held:
            self._units.add(name)

    def __eq__(self, other: object) -> bool:
        """Whether both hosts look the same from outside: tables, processes, units and network."""
        return isinstance(other, FakeHost) and self._state() == other._state()

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"FakeHost{self._state()!r}"

    def _state(self) -> tuple[object, ...]:
        return self._nft, self._processes, self._units, self._network, self._queues, self._workers
