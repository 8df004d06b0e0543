"""The yardstick: the shortest grpc.aio server that can do a fan-out over the same contract, and nothing else.

`python bare_server.py CERTS PORT`; commands on standard input as for `hub_server.py`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc, faults_pb2

from bench.control import serve_commands, server_credentials


class Bare(agent_pb2_grpc.FleetServicer):
    def __init__(self) -> None:
        self.streams: dict[str, grpc.aio.ServicerContext[agent_pb2.FromAgent, agent_pb2.ToAgent]] = {}
        self.waiting: dict[str, asyncio.Event] = {}

    async def Connect(self, requests: AsyncIterator[agent_pb2.FromAgent], context) -> None:  # type: ignore[no-untyped-def,override]
        name = ""
        async for message in requests:
            kind = message.WhichOneof("body")
            if kind == "hello":
                name = message.hello.host
                self.streams[name] = context
                await context.write(agent_pb2.ToAgent(welcome=agent_pb2.Welcome()))
            elif name in self.waiting:
                self.waiting[name].set()

    async def fan_out(self, message: agent_pb2.ToAgent) -> dict[str, float]:
        """Write one message to every stream and wait for every answer; milliseconds."""
        self.waiting = {name: asyncio.Event() for name in self.streams}
        started = time.monotonic_ns()
        await asyncio.gather(*(context.write(message) for context in self.streams.values()))
        await asyncio.gather(*(event.wait() for event in self.waiting.values()))
        ended = time.monotonic_ns()
        return {"agents": len(self.streams), "started_ns": started, "acked_ms": (ended - started) / 1e6}


async def main(certs: Path, port: int) -> None:
    bare = Bare()
    server = grpc.aio.server(
        options=[("grpc.server.max_pending_requests", 100000), ("grpc.server.max_pending_requests_hard_limit", 100000)]
    )
    agent_pb2_grpc.add_FleetServicer_to_server(bare, server)
    server.add_secure_port(f"127.0.0.1:{port}", server_credentials(certs))
    await server.start()
    order = faults_pb2.Order(id="0" * 36, run_id="0" * 36)
    await serve_commands(
        {
            "fanout": lambda: bare.fan_out(agent_pb2.ToAgent(resolve=agent_pb2.Resolve(request=1, order=order))),
            "halt": lambda: bare.fan_out(agent_pb2.ToAgent(revert_all=agent_pb2.RevertAll(reason="bench"))),
        }
    )
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
