"""What a run needs of the fleet. Implemented by `fleet/` over gRPC and by a fake in the tests.

Times are nanoseconds of the controller's CLOCK_MONOTONIC; the fleet maps them to each host's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from blackstart_proto.v1 import agent_pb2, faults_pb2

from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.model import HostOrder, PlannedProbe


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """controller time = host time + offset_ns ± error_ns, measured at `at_ns` (controller): by a burst."""

    host: str
    boot_id: str
    offset_ns: int
    error_ns: int
    at_ns: int


class FleetListener(Protocol):
    """What a fleet tells. Called in the event loop; `stored` calls return only when the data is durable."""

    async def stored_event(self, host: str, event: agent_pb2.HostEvent) -> None: ...

    async def stored_samples(self, host: str, batch: agent_pb2.SampleBatch) -> None: ...

    async def clock_measured(self, estimate: ClockEstimate) -> None: ...

    async def host_connected(self, host: str, open_faults: Sequence[agent_pb2.OpenFault]) -> None: ...

    async def host_lost(self, host: str) -> None: ...


class Fleet(Protocol):
    def snapshot(self) -> FleetSnapshot: ...

    def host(self, name: str) -> HostView | None: ...

    def connected(self, host: str) -> bool: ...

    async def resolve(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        """What the order would hit, from the agent itself; nothing is touched. Raises Unreachable."""
        ...

    async def arm(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution: ...

    async def measure_clocks(self, hosts: Sequence[str]) -> Mapping[str, ClockEstimate]:
        """A burst of 8 exchanges with each host; the fastest counts. Silent hosts are left out."""
        ...

    async def inject(self, host: str, order_ids: Sequence[str], at_ns: int) -> None:
        """Order `host` to fire at `at_ns` on the controller's clock, mapped with the last estimate."""
        ...

    async def renew(self, host: str, order_ids: Sequence[str], lease_ms: int) -> None: ...

    async def revert(self, host: str, order_ids: Sequence[str], reason: str) -> None: ...

    async def revert_all(self, reason: str) -> None: ...

    async def report_faults(self, host: str) -> Sequence[agent_pb2.OpenFault]:
        """What the agent has armed or injected at this moment, in its own words. Raises Unreachable."""
        ...

    async def start_probes(self, host: str, run_id: str, probes: Sequence[PlannedProbe]) -> None: ...

    async def stop_probes(self, host: str, run_id: str) -> None: ...
