"""A TCP connection that is accepted."""

from __future__ import annotations

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import Surroundings
from blackstart_agent.probes.net import Target, connection, race, resolve_all


class TcpLook:
    """Up when the address accepts a connection. Nothing is sent."""

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        self._address = probe.tcp.address
        self._stagger_s = probe.timeout_ms / 4000
        self._targets: tuple[Target, ...] = ()

    async def prepare(self) -> None:
        self._targets = await resolve_all([self._address])

    async def look(self) -> None:
        await race(self._targets, self._connect, stagger_s=self._stagger_s)

    async def _connect(self, target: Target) -> None:
        async with connection(target):
            return
