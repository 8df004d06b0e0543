"""The controller's fleet alone: its hub, sessions and server, without API, runs and store.

`python -m bench.hub_server CERTS PORT`; commands `fan_out` (each agent resolves an order of its own,
and answers) and `halt` (each is told to revert everything).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from blackstart_controller.errors import Refused
from blackstart_controller.fleet.hub import FleetHub
from blackstart_controller.fleet.receive import Reception
from blackstart_controller.fleet.server import FleetServer, tune_gc
from blackstart_controller.plan.faults.unit import UnitStop
from blackstart_controller.plan.model import HostOrder, Mode
from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.security.authority import Issued, ServerPair
from blackstart_controller.security.secret import Secret
from blackstart_proto.v1 import agent_pb2

from bench.control import serve_commands


class Deaf:
    """A FleetListener that stores nothing."""

    async def stored_event(self, host: str, event: agent_pb2.HostEvent) -> None: ...

    async def stored_samples(self, host: str, batch: agent_pb2.SampleBatch) -> None: ...

    async def clock_measured(self, estimate: ClockEstimate) -> None: ...

    async def host_connected(self, host: str, open_faults: Sequence[agent_pb2.OpenFault]) -> None: ...

    async def host_lost(self, host: str) -> None: ...


class EverybodyKnown:
    async def is_known(self, host: str) -> bool:
        return True

    async def renew(self, host: str, csr_pem: bytes) -> Issued:
        raise Refused(f"host {host}: nothing is renewed in a benchmark")


def order_of(host: str) -> HostOrder:
    fault = UnitStop(("redis",))
    return HostOrder("0" * 36, host, 0, fault, Mode.TETHERED, at_s=0, hold_s=1, lease_s=15)


async def fan_out(hub: FleetHub) -> dict[str, object]:
    orders = [order_of(view.name) for view in hub.snapshot().hosts]
    cpu, started_ns = time.process_time(), time.monotonic_ns()
    await asyncio.gather(*(hub.resolve("0" * 36, order) for order in orders))
    answered_ns = time.monotonic_ns()
    return {"started_ns": started_ns, "answered_ns": answered_ns, "cpu_s": time.process_time() - cpu}


async def halt(hub: FleetHub) -> dict[str, object]:
    started_ns = time.monotonic_ns()
    await hub.revert_all("bench")
    return {"started_ns": started_ns}


async def main(certs: Path, port: int) -> None:
    hub = FleetHub()
    await hub.start(Deaf())
    pair = ServerPair(Secret((certs / "server.key").read_text()), (certs / "server.pem").read_bytes())
    reception = Reception(hub, EverybodyKnown(), version="bench")
    server = FleetServer(reception, pair, (certs / "ca.pem").read_bytes())
    await server.start(f"127.0.0.1:{port}")
    tune_gc()
    await serve_commands({"fan_out": lambda: fan_out(hub), "halt": lambda: halt(hub)})
    await server.stop()
    await hub.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
