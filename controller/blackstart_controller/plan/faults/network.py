"""network.* in a plan: peers are networks, and a host is never cut from itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault, few
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.peers import peer_networks, without_own
from blackstart_controller.spec.faults.network import Blackhole, Cut, Loss, Packets

Direction = Literal["both", "in", "out"]


@dataclass(frozen=True, slots=True)
class OnPackets(PlannedFault):
    """`peers` are CIDRs, v4 and v6."""

    peers: tuple[str, ...]
    ports: tuple[int, ...] = ()
    direction: Direction = "both"

    def for_host(self, host: HostView, seed: int) -> Self:
        return replace(self, peers=without_own(self.peers, host))

    def to_whom(self) -> str:
        ports = f" ports {few([*map(str, self.ports)])}" if self.ports else ""
        way = {"both": "to and from", "in": "from", "out": "to"}[self.direction]
        return f"{way} {few(self.peers)}{ports}"


@dataclass(frozen=True, slots=True)
class NetworkPartition(OnPackets):
    verdict: Literal["drop", "reject"] = "drop"
    kind: Literal["network.partition"] = "network.partition"

    @classmethod
    def of(cls, spec: Cut, fleet: FleetSnapshot) -> Self:
        return cls(peer_networks(spec.peers, fleet), spec.ports, spec.direction, spec.verdict)

    def what(self) -> str:
        return f"{self.verdict} {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class OnAnybody(OnPackets):
    """`everybody`: there are no peers, and all are meant."""

    everybody: bool = False

    def to_whom(self) -> str:
        told = OnPackets.to_whom(self)
        return told.replace(" -", " everybody", 1) if self.everybody else told


@dataclass(frozen=True, slots=True)
class NetworkBlackhole(OnAnybody):
    kind: Literal["network.blackhole"] = "network.blackhole"

    @classmethod
    def of(cls, spec: Blackhole, fleet: FleetSnapshot) -> Self:
        return cls(_peers(spec, fleet), spec.ports, spec.direction, spec.peers is None)

    def what(self) -> str:
        return f"nothing passes {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkLoss(OnAnybody):
    percent: float = 100.0
    kind: Literal["network.loss"] = "network.loss"

    @classmethod
    def of(cls, spec: Loss, fleet: FleetSnapshot) -> Self:
        return cls(_peers(spec, fleet), spec.ports, spec.direction, spec.peers is None, spec.percent)

    def what(self) -> str:
        return f"{self.percent:g}% lost {self.to_whom()}"


def _peers(spec: Packets, fleet: FleetSnapshot) -> tuple[str, ...]:
    peers = spec.others()
    return () if peers is None else peer_networks(peers, fleet)
