"""A TCP connection that is accepted."""

from __future__ import annotations

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import Surroundings
from blackstart_agent.probes.net import Candidates, Target, connection, resolve_all


class TcpLook:
    """Up when the address accepts a connection. Nothing is sent."""

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        self._address = probe.tcp.address
        self._candidates = Candidates(probe.timeout_ms)

    async def prepare(self) -> None:
        self._candidates.set(await resolve_all([self._address]))

    async def look(self) -> None:
        await self._candidates.first(self._connect)

    async def _connect(self, target: Target) -> None:
        async with connection(target):
            return
