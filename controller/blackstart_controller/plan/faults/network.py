"""network.* in a plan: peers are networks, and a host is never cut from itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

from blackstart_controller.plan.faults.base import PlannedFault, few
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.peers import peer_networks, without_own
from blackstart_controller.spec.faults.network import (
    Bandwidth,
    Blackhole,
    Corrupt,
    Cut,
    Delay,
    Dns,
    Duplicate,
    Loss,
    Packets,
    Reorder,
    Reset,
)
from blackstart_controller.spec.rate import format_rate

Direction: TypeAlias = Literal["both", "in", "out"]
Protocol: TypeAlias = Literal["", "tcp", "udp", "sctp", "icmp"]
_Any: TypeAlias = Blackhole | Loss | Delay | Reorder | Corrupt | Bandwidth


@dataclass(frozen=True, slots=True)
class OnPackets(PlannedFault):
    """`peers` are CIDRs, v4 and v6."""

    peers: tuple[str, ...]
    ports: tuple[int, ...] = ()

    def for_host(self, host: HostView, seed: int) -> Self:
        return replace(self, peers=without_own(self.peers, host))

    def way(self) -> str:
        return "to and from"

    def whom(self) -> str:
        return few(self.peers)

    def which(self) -> str:
        return f" ports {few([*map(str, self.ports)])}" if self.ports else ""

    def to_whom(self) -> str:
        return f"{self.way()} {self.whom()}{self.which()}"


@dataclass(frozen=True, slots=True)
class Directed(OnPackets):
    """`protocol` is empty for every one."""

    direction: Direction = "both"
    protocol: Protocol = field(default="", kw_only=True)

    def way(self) -> str:
        return {"both": "to and from", "in": "from", "out": "to"}[self.direction]

    def which(self) -> str:
        return f" {self.protocol}{OnPackets.which(self)}" if self.protocol else OnPackets.which(self)


@dataclass(frozen=True, slots=True)
class NetworkPartition(Directed):
    verdict: Literal["drop", "reject"] = "drop"
    kind: Literal["network.partition"] = "network.partition"

    @classmethod
    def of(cls, spec: Cut, fleet: FleetSnapshot) -> Self:
        peers = peer_networks(spec.peers, fleet)
        return cls(peers, spec.ports, spec.direction, spec.verdict, protocol=spec.protocol or "")

    def what(self) -> str:
        return f"{self.verdict} {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class OnAnybody(Directed):
    """`everybody`: there are no peers, and all are meant."""

    everybody: bool = False

    def whom(self) -> str:
        return "everybody" if self.everybody else few(self.peers)

    @classmethod
    def on(cls, spec: _Any, fleet: FleetSnapshot, **more: Any) -> Self:
        everybody, protocol = spec.peers is None, spec.protocol or ""
        return cls(_peers(spec, fleet), spec.ports, spec.direction, everybody, protocol=protocol, **more)


@dataclass(frozen=True, slots=True)
class NetworkBlackhole(OnAnybody):
    kind: Literal["network.blackhole"] = "network.blackhole"

    @classmethod
    def of(cls, spec: Blackhole, fleet: FleetSnapshot) -> Self:
        return cls.on(spec, fleet)

    def what(self) -> str:
        return f"nothing passes {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkReset(OnPackets):
    everybody: bool = False
    kind: Literal["network.reset"] = "network.reset"

    @classmethod
    def of(cls, spec: Reset, fleet: FleetSnapshot) -> Self:
        return cls(_peers(spec, fleet), spec.ports, spec.peers is None)

    def whom(self) -> str:
        return "everybody" if self.everybody else few(self.peers)

    def what(self) -> str:
        return f"reset TCP {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkLoss(OnAnybody):
    percent: float = 100.0
    kind: Literal["network.loss"] = "network.loss"

    @classmethod
    def of(cls, spec: Loss, fleet: FleetSnapshot) -> Self:
        return cls.on(spec, fleet, percent=spec.percent)

    def what(self) -> str:
        return f"{self.percent:g}% lost {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkDelay(OnAnybody):
    """`distribution` is empty for uniform."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    distribution: Literal["", "normal", "pareto"] = ""
    kind: Literal["network.delay"] = "network.delay"

    @classmethod
    def of(cls, spec: Delay, fleet: FleetSnapshot) -> Self:
        times = {"delay_ms": float(spec.delay_ms), "jitter_ms": float(spec.jitter_ms)}
        distribution = "" if spec.distribution == "uniform" else spec.distribution
        return cls.on(spec, fleet, **times, distribution=distribution)

    def what(self) -> str:
        jitter = f" ±{self.jitter_ms:g}ms {self.distribution}".rstrip() if self.jitter_ms else ""
        return f"{self.delay_ms:g}ms{jitter} later {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkReorder(OnAnybody):
    percent: float = 0.0
    delay_ms: float = 0.0
    kind: Literal["network.reorder"] = "network.reorder"

    @classmethod
    def of(cls, spec: Reorder, fleet: FleetSnapshot) -> Self:
        return cls.on(spec, fleet, percent=spec.percent, delay_ms=float(spec.delay_ms))

    def what(self) -> str:
        return f"{self.percent:g}% overtake {self.delay_ms:g}ms {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkCorrupt(OnAnybody):
    percent: float = 0.0
    kind: Literal["network.corrupt"] = "network.corrupt"

    @classmethod
    def of(cls, spec: Corrupt, fleet: FleetSnapshot) -> Self:
        return cls.on(spec, fleet, percent=spec.percent)

    def what(self) -> str:
        return f"{self.percent:g}% corrupted {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkDuplicate(OnPackets):
    everybody: bool = False
    percent: float = 0.0
    protocol: Protocol = ""
    kind: Literal["network.duplicate"] = "network.duplicate"

    @classmethod
    def of(cls, spec: Duplicate, fleet: FleetSnapshot) -> Self:
        peers = _peers(spec, fleet)
        return cls(peers, spec.ports, spec.peers is None, spec.percent, spec.protocol or "")

    def way(self) -> str:
        return "to"

    def whom(self) -> str:
        return "everybody" if self.everybody else few(self.peers)

    def what(self) -> str:
        return f"{self.percent:g}% sent twice {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkBandwidth(OnAnybody):
    bits_per_s: int = 0
    kind: Literal["network.bandwidth"] = "network.bandwidth"

    @classmethod
    def of(cls, spec: Bandwidth, fleet: FleetSnapshot) -> Self:
        return cls.on(spec, fleet, bits_per_s=spec.rate)

    def what(self) -> str:
        return f"{format_rate(self.bits_per_s)} {self.to_whom()}"


@dataclass(frozen=True, slots=True)
class NetworkDns(PlannedFault):
    names: tuple[str, ...] = ()
    failure: Literal["silent", "nxdomain", "servfail", "slow", "wrong"] = "silent"
    delay_ms: float = 0.0
    addresses: tuple[str, ...] = ()
    kind: Literal["network.dns"] = "network.dns"

    @classmethod
    def of(cls, spec: Dns, fleet: FleetSnapshot) -> Self:
        return cls(spec.names, spec.failure, float(spec.delay_ms or 0), spec.addresses)

    def what(self) -> str:
        later = f" {self.delay_ms:g}ms" if self.delay_ms else ""
        lie = f" {few(self.addresses)}" if self.addresses else ""
        return f"{self.failure}{later}{lie} for {few(self.names) if self.names else 'every name'}"


def _peers(spec: Packets, fleet: FleetSnapshot) -> tuple[str, ...]:
    peers = spec.others()
    return () if peers is None else peer_networks(peers, fleet)
