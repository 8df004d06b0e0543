"""Many simulated agents in one process: mutual TLS and a TCP connection each, the real contract, no faults.

Dialling and back-off are the real link's. `python -m bench.swarm CERTS ADDRESS FIRST COUNT` keeps hosts
hFIRST … connected with `CERTS/NAME.pem` and `.key`. Commands: `state` (welcomed streams, and since when,
CLOCK_MONOTONIC), `seen` (when a Resolve and a RevertAll arrived since the last `reset`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import grpc
from blackstart_agent.link.backoff import Backoff
from blackstart_agent.link.dial import secure_dial
from blackstart_agent.link.keystore import Identity
from blackstart_agent.link.stream import STEADY_S
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc, faults_pb2

from bench.control import serve_commands

Call: TypeAlias = "grpc.aio.StreamStreamCall[agent_pb2.FromAgent, agent_pb2.ToAgent]"
LOST = (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError)
BOOT = "00000000-0000-0000-0000-000000000000"


class SimulatedAgent:
    """One stream that answers what a controller asks, and comes back for ever."""

    def __init__(self, number: int, certs: Path, address: str) -> None:
        self.name = f"h{number}"
        self.welcome_ns = self.resolved_ns = self.reverted_ns = 0
        self._hello = agent_pb2.Hello(
            host=self.name,
            site=f"s{number % 4}",
            labels={"role": "bench"},
            version="0.1.0",
            boot_id=BOOT,
            addresses=[f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"],
            fault_kinds=["network.partition", "process.kill", "process.pause", "unit.stop", "host.blackout"],
            probe_kinds=["http", "tcp", "redis", "nats", "command"],
        )
        pems = [(certs / name).read_bytes() for name in (f"{self.name}.key", f"{self.name}.pem", "ca.pem")]
        identity = Identity(*pems)
        self._dial = secure_dial(address, lambda: identity)

    async def live(self) -> None:
        backoff = Backoff(random.Random())
        while True:
            began_s = time.monotonic()
            with contextlib.suppress(*LOST):
                await self._session()
            if time.monotonic() - began_s > STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _session(self) -> None:
        async with self._dial() as channel:
            call: Call = agent_pb2_grpc.FleetStub(channel).Connect()
            await call.write(agent_pb2.FromAgent(hello=self._hello))
            beats: asyncio.Task[None] | None = None
            try:
                while isinstance(message := await call.read(), agent_pb2.ToAgent):
                    if message.WhichOneof("body") == "welcome":
                        self.welcome_ns = time.monotonic_ns()
                        beats = asyncio.create_task(_beat(call, message.welcome.beat_ms / 1000))
                    else:
                        await self._answer(call, message, time.monotonic_ns())
            finally:
                self.welcome_ns = 0
                if beats is not None:
                    beats.cancel()

    async def _answer(self, call: Call, message: agent_pb2.ToAgent, now_ns: int) -> None:
        match message.WhichOneof("body"):
            case "clock":
                reply = agent_pb2.ClockReply(
                    id=message.clock.id, received_ns=now_ns, sent_ns=time.monotonic_ns()
                )
                await call.write(agent_pb2.FromAgent(clock=reply))
            case "resolve":
                self.resolved_ns = now_ns
                resolution = faults_pb2.Resolution(order_id=message.resolve.order.id)
                answer = agent_pb2.Answer(request=message.resolve.request, resolution=resolution)
                await call.write(agent_pb2.FromAgent(answer=answer))
            case "revert_all":
                self.reverted_ns = now_ns
                await call.write(agent_pb2.FromAgent(open_faults=agent_pb2.OpenFaults()))
            case _:
                pass


async def _beat(call: Call, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await call.write(agent_pb2.FromAgent(beat=agent_pb2.Beat(mono_ns=time.monotonic_ns())))


def _spread(times: Iterable[int]) -> dict[str, object]:
    seen = [value for value in times if value]
    return {"count": len(seen), "first_ns": min(seen, default=0), "last_ns": max(seen, default=0)}


async def main(certs: Path, address: str, first: int, count: int) -> None:
    agents = [SimulatedAgent(number, certs, address) for number in range(first, first + count)]

    async def state() -> dict[str, object]:
        return {"welcome": _spread(agent.welcome_ns for agent in agents)}

    async def seen() -> dict[str, object]:
        return {
            "resolved": _spread(agent.resolved_ns for agent in agents),
            "reverted": _spread(agent.reverted_ns for agent in agents),
        }

    async def reset() -> dict[str, object]:
        for agent in agents:
            agent.resolved_ns = agent.reverted_ns = 0
        return {}

    async with asyncio.TaskGroup() as group:  # a bug in one agent ends them all: no silence
        lives = [group.create_task(agent.live()) for agent in agents]
        await serve_commands({"state": state, "seen": seen, "reset": reset})
        for life in lives:
            life.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
