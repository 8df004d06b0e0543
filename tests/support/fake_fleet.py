"""A fleet of fake agents behind a network that loses, repeats and reorders messages, all by one seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from blackstart_controller.errors import Unreachable
from blackstart_controller.plan.faults import KINDS
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.model import HostOrder, PlannedProbe
from blackstart_controller.runs.ports import ClockEstimate, FleetListener
from blackstart_controller.store.model import StoreFailed
from blackstart_proto.v1 import agent_pb2, faults_pb2

from support.fake_agent import FakeAgent

Answer = TypeVar("Answer")
ANSWER_S = 5.0
RESEND_S = 0.5
TICK_S = 1e-6
REDIAL_S = 0.3


@dataclass(slots=True)
class Network:
    """Chances are 0 to 1, delays in seconds."""

    random: random.Random
    delay_s: float = 0.001
    lost: float = 0.0
    twice: float = 0.0

    def deliveries(self) -> list[float]:
        """When copies of one message arrive, counted from now: none when it is lost."""
        if self.random.random() < self.lost:
            return []
        copies = 2 if self.random.random() < self.twice else 1
        return [self.delay_s * (0.5 + self.random.random()) for _ in range(copies)]


def reliable() -> Network:
    return Network(random.Random(1))


class FakeFleet:
    """Implements `runs.ports.Fleet`. A controller's life: `attach` its listener, `kill`, attach the next."""

    def __init__(self, agents: Sequence[FakeAgent], network: Network | None = None) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.network = network or reliable()
        self.clock_error_ns = 100_000
        self.shift_s = 0.0  # the controller's monotonic clock minus the loop's
        self.calls: list[tuple[str, str]] = []
        self.slow_events_s: dict[str, float] = {}  # of these hosts each event comes so much later
        self.deaf: set[str] = set()  # questions to these hosts never arrive
        self.mute: set[str] = set()  # their answers do not; events do
        self._connected: set[str] = set()
        self._listener: FleetListener | None = None
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._streams: dict[str, int] = {}
        self._last_arrival_s: dict[str, float] = {}
        self._wake: dict[str, asyncio.Event] = {}

    # ---- the world ----

    async def attach(self, listener: FleetListener) -> None:
        """A controller is alive: every agent connects."""
        self._listener = listener
        for name in self.agents:
            await self.connect(name)

    def kill(self) -> None:
        """The controller dies: every stream breaks."""
        self._listener = None
        for name in list(self._connected):
            self._drop(name)

    async def connect(self, name: str) -> None:
        listener, agent = self._listener, self.agents[name]
        if listener is None or name in self._connected:
            return
        self._connected.add(name)
        self._streams[name] = self._streams.get(name, 0) + 1
        wake = self._wake[name] = asyncio.Event()
        agent.told = wake.set
        await listener.clock_measured(self._estimate(agent))
        await listener.host_connected(name, agent.open_faults())
        if name in self._connected and self._listener is listener:
            self._pumps[name] = asyncio.create_task(self._pump(agent, listener, wake))

    async def disconnect(self, name: str) -> None:
        if name in self._connected:
            self._drop(name)
            if self._listener is not None:
                await self._listener.host_lost(name)

    def _drop(self, name: str) -> None:
        self._connected.discard(name)
        if (pump := self._pumps.pop(name, None)) is not None:
            pump.cancel()
        self.agents[name].stream_lost()

    async def _pump(self, agent: FakeAgent, listener: FleetListener, wake: asyncio.Event) -> None:
        """Serve one stream. When something cannot be stored it is closed, and the agent dials again."""
        try:
            await self._send_spools(agent, listener, wake)
        except StoreFailed:
            self._pumps.pop(agent.name, None)
            self._drop(agent.name)
            await listener.host_lost(agent.name)
            await asyncio.sleep(REDIAL_S)
            if self._listener is listener:
                await self.connect(agent.name)

    async def _send_spools(self, agent: FakeAgent, listener: FleetListener, wake: asyncio.Event) -> None:
        """Send what is spooled until it is acknowledged; the network may lose either way."""
        while True:
            wake.clear()
            for seq, event in list(agent.events.items()):
                for delay_s in self.network.deliveries():
                    await asyncio.sleep(delay_s + self.slow_events_s.get(agent.name, 0.0))
                    await listener.stored_event(agent.name, event)
                    if self.network.deliveries():  # the acknowledgement arrives
                        agent.events.pop(seq, None)
            for seq, batch in list(agent.batches.items()):
                for delay_s in self.network.deliveries():
                    await asyncio.sleep(delay_s)
                    await listener.stored_samples(agent.name, batch)
                    if self.network.deliveries():
                        agent.batches.pop(seq, None)
            try:
                async with asyncio.timeout(RESEND_S if agent.events or agent.batches else None):
                    await wake.wait()
            except TimeoutError:
                continue

    # ---- runs.ports.Fleet ----

    def snapshot(self) -> FleetSnapshot:
        return FleetSnapshot(tuple(self._view(agent) for agent in self.agents.values()), ("192.0.2.1",))

    def host(self, name: str) -> HostView | None:
        agent = self.agents.get(name)
        return None if agent is None else self._view(agent)

    def connected(self, host: str) -> bool:
        return host in self._connected

    async def resolve(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        return await self._ask(order.host, "resolve", lambda agent: agent.resolve(order))

    async def arm(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        return await self._ask(order.host, "arm", lambda agent: agent.arm(run_id, order))

    async def measure_clocks(self, hosts: Sequence[str]) -> Mapping[str, ClockEstimate]:
        await asyncio.sleep(self.network.delay_s)
        found = {host: self._estimate(self.agents[host]) for host in hosts if host in self._connected}
        for estimate in found.values():
            if self._listener is not None:
                await self._listener.clock_measured(estimate)
        return found

    async def inject(self, host: str, order_ids: Sequence[str], at_ns: int) -> None:
        agent = self.agents[host]
        at_mono_ns = at_ns + round((agent.offset_s - self.shift_s) * 1e9)
        self._post(host, "inject", lambda: agent.inject(order_ids, at_mono_ns))

    async def renew(self, host: str, order_ids: Sequence[str], lease_ms: int) -> None:
        self._post(host, "renew", lambda: self.agents[host].renew(order_ids, lease_ms))

    async def revert(self, host: str, order_ids: Sequence[str], reason: str) -> None:
        self._post(host, "revert", lambda: self.agents[host].revert(order_ids, reason))

    async def revert_all(self, reason: str) -> None:
        for host in self._connected:
            self._post(host, "revert_all", partial(self.agents[host].revert_all, reason))

    async def report_faults(self, host: str) -> Sequence[agent_pb2.OpenFault]:
        return await self._ask(host, "report_faults", lambda agent: agent.open_faults())

    async def start_probes(self, host: str, run_id: str, probes: Sequence[PlannedProbe]) -> None:
        self._post(host, "start_probes", lambda: self.agents[host].start_probes(run_id, probes))

    async def stop_probes(self, host: str, run_id: str) -> None:
        self._post(host, "stop_probes", lambda: self.agents[host].stop_probes(run_id))

    # ---- the wire ----

    def _post(self, host: str, what: str, deliver: Callable[[], None]) -> None:
        self._check(host, what)
        self._send(host, deliver)

    def _send(self, host: str, deliver: Callable[[], None]) -> None:
        """In order within one stream; what is under way when it breaks is lost."""
        loop, stream = asyncio.get_running_loop(), self._streams[host]
        for delay_s in self.network.deliveries():
            arrives_s = max(loop.time() + delay_s, self._last_arrival_s.get(host, 0.0) + TICK_S)
            self._last_arrival_s[host] = arrives_s
            loop.call_at(arrives_s, self._arrive, host, stream, deliver)

    def _arrive(self, host: str, stream: int, deliver: Callable[[], None]) -> None:
        if host in self._connected and self._streams[host] == stream:
            deliver()

    async def _ask(self, host: str, what: str, answer: Callable[[FakeAgent], Answer]) -> Answer:
        """There and back; either way can be lost. Lost: unknown, after a timeout, as with the real one."""
        self._check(host, what)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def deliver() -> None:
            if host in self.deaf:
                return
            found = answer(self.agents[host])
            if not answered.done() and host not in self.mute:
                answered.set_result(found)

        self._send(host, deliver)
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await answered
                for delay_s in self.network.deliveries():
                    await asyncio.sleep(delay_s)
                    return found
                await asyncio.sleep(ANSWER_S)
        except TimeoutError:
            pass
        raise Unreachable(f"agent {host}: no answer in {ANSWER_S} s")

    def _check(self, host: str, what: str) -> None:
        self.calls.append((what, host))
        if host not in self._connected:
            raise Unreachable(f"agent {host}: not connected")

    def _estimate(self, agent: FakeAgent) -> ClockEstimate:
        at_ns = round((asyncio.get_running_loop().time() + self.shift_s) * 1e9)
        offset_ns = round((self.shift_s - agent.offset_s) * 1e9)
        return ClockEstimate(agent.name, agent.boot_id, offset_ns, self.clock_error_ns, at_ns)

    def _view(self, agent: FakeAgent) -> HostView:
        return HostView(
            name=agent.name,
            site=agent.site,
            labels=agent.labels,
            addresses=(),
            connected=agent.name in self._connected,
            fault_kinds=tuple(KINDS),
            probe_kinds=("http", "tcp", "redis", "nats", "command"),
            open_faults=len(agent.orders),
        )
