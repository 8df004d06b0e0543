"""Many simulated agents in one process: real mutual TLS, one TCP connection each, the real contract, no faults.

`python swarm.py CERTS ADDRESS FIRST COUNT` connects hosts FIRST to FIRST+COUNT-1 with the certificates
`CERTS/NAME.pem` and `.key`, then prints one JSON line for each line read from standard input:

* `state`  how many streams are welcome now
* `seen`   when (CLOCK_MONOTONIC, ns) each agent last got a Resolve and a RevertAll: first, last, count
* `quit`
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path

import grpc
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc, faults_pb2

OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class SimulatedAgent:
    """One stream that answers what a controller asks and reconnects with full jitter for ever."""

    def __init__(self, name: str, certs: Path, address: str) -> None:
        self.name = name
        self.welcome = False
        self.resolved_ns = 0
        self.reverted_ns = 0
        self._address = address
        self._credentials = grpc.ssl_channel_credentials(
            (certs / "ca.pem").read_bytes(),
            (certs / f"{name}.key").read_bytes(),
            (certs / f"{name}.pem").read_bytes(),
        )

    async def live(self) -> None:
        attempt = 0
        while True:
            try:
                await self._session()
            except grpc.aio.AioRpcError:
                pass
            finally:
                attempt = 0 if self.welcome else attempt + 1
                self.welcome = False
            await asyncio.sleep(random.uniform(0, min(5.0, 0.2 * 2**attempt)))

    async def _session(self) -> None:
        async with grpc.aio.secure_channel(self._address, self._credentials, options=OPTIONS) as channel:
            stream = agent_pb2_grpc.FleetStub(channel).Connect()
            hello = agent_pb2.Hello(
                host=self.name,
                site=f"s{hash(self.name) % 4}",
                version="0.1.0",
                boot_id="bench",
                addresses=["127.0.0.1"],
                fault_kinds=["host.blackout"],
                probe_kinds=["tcp"],
            )
            await stream.write(agent_pb2.FromAgent(hello=hello))
            while (message := await stream.read()) is not grpc.aio.EOF:
                await self._answer(stream, message)

    async def _answer(
        self, stream: grpc.aio.StreamStreamCall[agent_pb2.FromAgent, agent_pb2.ToAgent], message: agent_pb2.ToAgent
    ) -> None:
        now = time.monotonic_ns()
        kind = message.WhichOneof("body")
        if kind == "welcome":
            self.welcome = True
        elif kind == "clock":
            reply = agent_pb2.ClockReply(id=message.clock.id, received_ns=now, sent_ns=time.monotonic_ns())
            await stream.write(agent_pb2.FromAgent(clock=reply))
        elif kind in ("resolve", "arm"):
            self.resolved_ns = now
            asked = message.resolve if kind == "resolve" else message.arm
            answer = agent_pb2.Answer(
                request=asked.request, resolution=faults_pb2.Resolution(order_id=asked.order.id)
            )
            await stream.write(agent_pb2.FromAgent(answer=answer))
        elif kind in ("revert_all", "report_faults"):
            self.reverted_ns = now
            await stream.write(agent_pb2.FromAgent(open_faults=agent_pb2.OpenFaults()))


def _spread(times: list[int]) -> dict[str, int]:
    seen = sorted(value for value in times if value)
    return {"count": len(seen), "first_ns": seen[0] if seen else 0, "last_ns": seen[-1] if seen else 0}


async def main(certs: Path, address: str, first: int, count: int) -> None:
    agents = [SimulatedAgent(f"h{number}", certs, address) for number in range(first, first + count)]
    lives = [asyncio.create_task(agent.live()) for agent in agents]
    loop = asyncio.get_running_loop()
    while (line := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) not in ("", "quit"):
        if line == "seen":
            report: dict[str, object] = {
                "resolved": _spread([agent.resolved_ns for agent in agents]),
                "reverted": _spread([agent.reverted_ns for agent in agents]),
            }
            for agent in agents:
                agent.resolved_ns = agent.reverted_ns = 0
        else:
            report = {"welcome": sum(agent.welcome for agent in agents)}
        print(json.dumps(report), flush=True)
    for life in lives:
        life.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
