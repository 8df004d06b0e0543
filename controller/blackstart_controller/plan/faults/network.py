"""network.* in a plan: peers are networks, and a host is never cut from itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault, few
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.peers import peer_networks, without_own
from blackstart_controller.spec.faults.network import Cut


@dataclass(frozen=True, slots=True)
class NetworkPartition(PlannedFault):
    peers: tuple[str, ...]  # CIDR, v4 and v6
    ports: tuple[int, ...] = ()
    direction: Literal["both", "in", "out"] = "both"
    verdict: Literal["drop", "reject"] = "drop"
    kind: Literal["network.partition"] = "network.partition"

    @classmethod
    def of(cls, spec: Cut, fleet: FleetSnapshot) -> Self:
        return cls(peer_networks(spec.peers, fleet), spec.ports, spec.direction, spec.verdict)

    def for_host(self, host: HostView) -> Self:
        return replace(self, peers=without_own(self.peers, host))

    def what(self) -> str:
        ports = f" ports {few([*map(str, self.ports)])}" if self.ports else ""
        way = {"both": "to and from", "in": "from", "out": "to"}[self.direction]
        return f"{self.verdict} {way} {few(self.peers)}{ports}"
