"""The fleet: every connected host, what it is told and what it tells. Implements `runs.ports.Fleet`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence

from blackstart_proto.v1 import agent_pb2, faults_pb2

from blackstart_controller.errors import Refused, Unreachable
from blackstart_controller.fleet.clock import to_host_ns
from blackstart_controller.fleet.clocks import Clocks
from blackstart_controller.fleet.dispatch import Dispatcher
from blackstart_controller.fleet.encode import encode_order, encode_probe
from blackstart_controller.fleet.inbox import Inbox
from blackstart_controller.fleet.roster import Roster
from blackstart_controller.fleet.session import HostSession, not_connected
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.model import HostOrder, PlannedProbe
from blackstart_controller.runs.ports import ClockEstimate, FleetListener

ANSWER_TIMEOUT_S = 5.0
MAX_ORDER_BYTES = 1_000_000  # a little below what a stream takes, which would end over a larger message


class FleetHub:
    """One per controller. `start` it with its listener before the server takes streams."""

    def __init__(
        self,
        *,
        known: Sequence[HostView] = (),
        controller_addresses: Sequence[str] = (),
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.roster = Roster(known, controller_addresses)
        self.dispatcher = Dispatcher()
        self._sessions: dict[str, HostSession] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._answer_timeout_s = answer_timeout_s
        self._listener: FleetListener | None = None
        self._clocks = Clocks(self._sessions, self._clock_measured)
        self._background: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self, listener: FleetListener) -> None:
        self._listener = listener
        self._background = asyncio.create_task(self._clocks.keep_fresh())

    async def stop(self) -> None:
        """End every stream; return when everything received is dealt with."""
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        self._stopping = True
        for session in list(self._sessions.values()):
            session.close(stopping())
            self.detach(session)
        for inbox in list(self._inboxes.values()):
            await inbox.idle()
        await self.dispatcher.close()

    @property
    def listener(self) -> FleetListener:
        if self._listener is None:
            raise RuntimeError("FleetHub.start was not called")
        return self._listener

    # ---- streams, called by fleet.receive ----

    def attach(self, session: HostSession) -> None:
        """`session` is its host's only one from now on; an older one ends."""
        if self._stopping:
            raise stopping()
        host = session.host
        older = self._sessions.get(host)
        self._sessions[host] = session
        if older is not None:
            older.close(Unreachable(f"agent {host}: replaced by a newer stream of the same host"))
        self.roster.connected(session.hello)
        self._clocks.connected(host)
        faults = list(session.hello.open.faults)
        self.inbox(host).put_now(lambda: self.listener.host_connected(host, faults))

    def detach(self, session: HostSession) -> None:
        """The stream is gone. Everybody who waits for an answer hears it now."""
        session.close(Unreachable(f"agent {session.host}: its stream ended"))
        if self._sessions.get(session.host) is session:
            del self._sessions[session.host]
            self.roster.lost(session.host)
            self.inbox(session.host).put_now(lambda: self.listener.host_lost(session.host))

    def inbox(self, host: str) -> Inbox:
        return self._inboxes.setdefault(host, Inbox())

    def disconnect(self, host: str, why: str) -> None:
        """End the stream of a host that is revoked."""
        session = self._sessions.get(host)
        if session is not None:
            session.close(Unreachable(f"agent {host}: {why}"))

    # ---- runs.ports.Fleet ----

    def snapshot(self) -> FleetSnapshot:
        return self.roster.snapshot()

    def host(self, name: str) -> HostView | None:
        return self.roster.host(name)

    def connected(self, host: str) -> bool:
        return host in self._sessions

    async def resolve(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        encoded = _sized(encode_order(run_id, order))
        return await self._session(order.host).ask(
            lambda number: agent_pb2.ToAgent(resolve=agent_pb2.Resolve(request=number, order=encoded)),
            timeout_s=self._answer_timeout_s,
            on_silence="nothing was touched there; see whether the host is overloaded or frozen",
        )

    async def arm(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        encoded = _sized(encode_order(run_id, order))
        return await self._session(order.host).ask(
            lambda number: agent_pb2.ToAgent(arm=agent_pb2.Arm(request=number, order=encoded)),
            timeout_s=self._answer_timeout_s,
            on_silence="the order may be armed there: revert it, do not arm it again",
        )

    async def measure_clocks(self, hosts: Sequence[str]) -> Mapping[str, ClockEstimate]:
        return await self._clocks.measure(hosts)

    def watch_clocks(self, hosts: Collection[str]) -> None:
        """Measure these hosts' clocks every 10 s, the others every 5 min, until the next call."""
        self._clocks.watch(hosts)

    async def inject(self, host: str, order_ids: Sequence[str], at_ns: int) -> None:
        session = self._session(host)
        measured = self._clocks.last(session)
        if measured is None:
            raise Unreachable(f"agent {host}: its clock is not measured yet; measure it before T0")
        inject = agent_pb2.Inject(order_ids=order_ids, at_mono_ns=to_host_ns(measured, at_ns))
        session.post(agent_pb2.ToAgent(inject=inject))

    async def renew(self, host: str, order_ids: Sequence[str], lease_ms: int) -> None:
        renewal = agent_pb2.RenewLease(order_ids=order_ids, lease_ms=lease_ms)
        self._session(host).post(agent_pb2.ToAgent(renew=renewal))

    async def revert(self, host: str, order_ids: Sequence[str], reason: str) -> None:
        revert = agent_pb2.Revert(order_ids=order_ids, reason=reason)
        self._session(host).post(agent_pb2.ToAgent(revert=revert))

    async def revert_all(self, reason: str) -> None:
        """Every connected host is told; a host whose stream breaks now reverts by its grace."""
        message = agent_pb2.ToAgent(revert_all=agent_pb2.RevertAll(reason=reason))
        for session in list(self._sessions.values()):
            with contextlib.suppress(Unreachable):
                session.post(message)

    async def start_probes(self, host: str, run_id: str, probes: Sequence[PlannedProbe]) -> None:
        start = agent_pb2.StartProbes(run_id=run_id, probes=[encode_probe(probe) for probe in probes])
        self._session(host).post(agent_pb2.ToAgent(start_probes=start))

    async def stop_probes(self, host: str, run_id: str) -> None:
        stop = agent_pb2.StopProbes(run_id=run_id)
        self._session(host).post(agent_pb2.ToAgent(stop_probes=stop))

    async def report_faults(self, host: str) -> Sequence[agent_pb2.OpenFault]:
        """What the agent has armed or injected at this moment, in its own words. Raises Unreachable."""
        return await self._session(host).report_faults(timeout_s=self._answer_timeout_s)

    def _session(self, host: str) -> HostSession:
        session = self._sessions.get(host)
        if session is None:
            raise not_connected(host)
        return session

    async def _clock_measured(self, estimate: ClockEstimate) -> None:
        await self.listener.clock_measured(estimate)


def stopping() -> Unreachable:
    return Unreachable("the controller is stopping")


def _sized(order: faults_pb2.Order) -> faults_pb2.Order:
    size = order.ByteSize()
    if size > MAX_ORDER_BYTES:
        raise Refused(
            f"order {order.id} for host {order.host}: {size} bytes; the most is {MAX_ORDER_BYTES}: "
            "name larger networks or fewer peers"
        )
    return order
