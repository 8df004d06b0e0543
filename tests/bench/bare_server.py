"""The yardstick: the shortest grpc.aio server that can do a fan-out over the same contract, and nothing else.

`python -m bench.bare_server CERTS PORT`; commands as `hub_server` has them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import grpc
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc, faults_pb2

from bench.control import serve_commands

Context: TypeAlias = grpc.aio.ServicerContext[agent_pb2.FromAgent, agent_pb2.ToAgent]
# Without these a thousand agents that come at once are turned away; everything else is as it comes.
OPTIONS = [
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.so_reuseport", 0),
]


class Bare(agent_pb2_grpc.FleetServicer):
    def __init__(self) -> None:
        self.streams: dict[str, Context] = {}
        self.waiting: dict[str, asyncio.Event] = {}

    async def Connect(self, requests: AsyncIterator[agent_pb2.FromAgent], context: Context) -> None:  # type: ignore[override]
        name = ""
        async for message in requests:
            if message.WhichOneof("body") == "hello":
                name = message.hello.host
                self.streams[name] = context
                await context.write(agent_pb2.ToAgent(welcome=agent_pb2.Welcome(beat_ms=30_000)))
            elif name in self.waiting:
                self.waiting[name].set()

    async def send_all(self, message: agent_pb2.ToAgent) -> dict[str, object]:
        """Write one message to every stream and wait for every answer."""
        self.waiting = {name: asyncio.Event() for name in self.streams}
        cpu, started_ns = time.process_time(), time.monotonic_ns()
        await asyncio.gather(*(context.write(message) for context in self.streams.values()))
        await asyncio.gather(*(event.wait() for event in self.waiting.values()))
        return {
            "started_ns": started_ns,
            "answered_ns": time.monotonic_ns(),
            "cpu_s": time.process_time() - cpu,
        }


async def main(certs: Path, port: int) -> None:
    bare = Bare()
    server = grpc.aio.server(options=OPTIONS)
    agent_pb2_grpc.add_FleetServicer_to_server(bare, server)
    pair = ((certs / "server.key").read_bytes(), (certs / "server.pem").read_bytes())
    authority = (certs / "ca.pem").read_bytes()
    server.add_secure_port(
        f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair], authority, require_client_auth=True)
    )
    await server.start()
    order = faults_pb2.Order(
        id="0" * 36, run_id="0" * 36, fault=faults_pb2.Fault(kind="unit.stop"), lease_ms=15_000, hold_ms=1_000
    )
    resolve = agent_pb2.ToAgent(resolve=agent_pb2.Resolve(request=1, order=order))
    halt = agent_pb2.ToAgent(revert_all=agent_pb2.RevertAll(reason="bench"))
    await serve_commands({"fan_out": lambda: bare.send_all(resolve), "halt": lambda: bare.send_all(halt)})
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
