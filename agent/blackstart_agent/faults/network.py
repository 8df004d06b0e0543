"""network.*: what happens to packets between this host and its peers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import cut, gate
from blackstart_agent.faults.base import Fault, Held, Hit, Prepared, Rung, Surroundings, Undo, word
from blackstart_agent.host.ports import Host

MAX_PEERS = 65_536
MAX_PORT = 65_535


class Direction(Enum):
    """Seen from this host."""

    BOTH = "both ways"
    IN = "incoming"
    OUT = "outgoing"


class Verdict(Enum):
    DROP = "dropped"
    REJECT = "rejected"


_DIRECTIONS = {"": Direction.BOTH, "both": Direction.BOTH, "in": Direction.IN, "out": Direction.OUT}
_VERDICTS = {"": Verdict.DROP, "drop": Verdict.DROP, "reject": Verdict.REJECT}


@dataclass(frozen=True, slots=True)
class Packets(Fault):
    """What is done to packets, by a table whose gate the kernel closes at the lease.

    `peers`: networks in CIDR form or addresses, IPv4 and IPv6 mixed, 1 to 65,536. `ports`: 1 to 65,535, on
    either end, TCP, UDP and SCTP; empty: every protocol. Connections that are already open are hit too.
    """

    rung: ClassVar[Rung] = "kernel"
    peers: tuple[str, ...]
    ports: tuple[int, ...] = ()
    direction: Direction = Direction.BOTH

    @classmethod
    def try_out(cls, host: Host) -> None:
        gate.try_out(host)

    def __post_init__(self) -> None:
        least = 0 if self.everybody else 1
        if not least <= len(self.peers) <= MAX_PEERS or (self.everybody and self.peers):
            raise InvalidOrder(f"{self.kind}: peers must be 1 to {MAX_PEERS} networks, got {len(self.peers)}")
        self.networks()
        for port in self.ports:
            if not 1 <= port <= MAX_PORT:
                raise InvalidOrder(f"{self.kind}: ports must be 1 to {MAX_PORT}, got {port}")

    @property
    def everybody(self) -> bool:
        """Whether everybody is a peer. It must be said: no peers are a mistake, not the whole world."""
        return False

    @property
    def share(self) -> int:
        """Of 100,000 packets so many are hit."""
        return cut.WHOLE

    @property
    def effect(self) -> str:
        """What happens to packets, for people."""
        return "dropped"

    def networks(self) -> tuple[cut.Network, ...]:
        """The peers, overlapping ones joined."""
        return cut.collapse(_network(self.kind, peer) for peer in self.peers)

    def table(self, made: cut.Cut) -> tuple[str, str]:
        """The family of the table, and its text."""
        return "netdev", cut.drop_table(made)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        networks = self.networks()
        interfaces = gate.outgoing_interfaces(host)
        no_way_out = f"{self.kind}: this host has no interface but loopback; there is nothing to cut"
        reasons = [*_own(self.kind, host, networks), *([] if interfaces else [no_way_out])]
        if reasons:
            raise Refused(reasons)
        spare = gate.spared(host, around)
        made = cut.Cut(
            table=around.table,
            interfaces=tuple(interfaces),
            peers=None if self.everybody else networks,
            ports=tuple(sorted(set(self.ports))),
            incoming=self.direction is not Direction.OUT,
            outgoing=self.direction is not Direction.IN,
            spared=spare,
            share=self.share,
        )
        family, table = self.table(made)
        targets = interfaces if self.everybody else [str(net) for net in networks]
        hits = (*(Hit("network", target, self._told()) for target in targets), *self._kept_open(spare))
        return Prepared(hits, gate.undo_of(family, made, table), (gate.manual(family, around.table),), table)

    def _told(self) -> str:
        ports = f", ports {', '.join(str(port) for port in sorted(set(self.ports)))}" if self.ports else ""
        return f"{self.effect} {self.direction.value}{ports}"

    def _kept_open(self, spare: cut.Spared) -> list[Hit]:
        if spare.controller is None:
            return []
        if not self.everybody and not any(spare.controller[0] in net for net in self.networks()):
            return []
        why = "kept open: the control path (TCP); only a sealed run cuts it"
        return [Hit("network", gate.control_path(spare), why)]

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        gate.stage(host, undo)

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        gate.open_(host, undo, deadline_ns)

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        return gate.unproved(host, undo)

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        gate.renew(host, undo, deadline_ns)

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        gate.remove(host, undo)

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        return gate.leftovers(host, undo)


@dataclass(frozen=True, slots=True)
class NetworkPartition(Packets):
    """Packets between this host and `peers` are lost (drop) or refused (reject)."""

    kind: ClassVar[str] = "network.partition"
    verdict: Verdict = Verdict.DROP

    @classmethod
    def of(cls, spec: pb.NetworkPartition) -> Self:
        verdict = _VERDICTS[word(cls.kind, spec, "verdict")]
        return cls(tuple(spec.peers), tuple(spec.ports), _direction(cls.kind, spec), verdict)

    @property
    def effect(self) -> str:
        return self.verdict.value

    def table(self, made: cut.Cut) -> tuple[str, str]:
        drops = self.verdict is Verdict.DROP
        return ("netdev", cut.drop_table(made)) if drops else ("inet", cut.reject_table(made))


@dataclass(frozen=True, slots=True)
class NetworkBlackhole(Packets):
    """Packets to and from `peers`, or everybody, vanish without a word; the control path stays open."""

    kind: ClassVar[str] = "network.blackhole"
    all: bool = False

    @classmethod
    def of(cls, spec: pb.NetworkBlackhole) -> Self:
        return cls(tuple(spec.peers), tuple(spec.ports), _direction(cls.kind, spec), spec.everybody)

    @property
    def everybody(self) -> bool:
        return self.all


@dataclass(frozen=True, slots=True)
class NetworkLoss(Packets):
    """`percent` (0.001 to 100) of the packets to and from `peers`, or everybody, are lost, each by itself."""

    kind: ClassVar[str] = "network.loss"
    all: bool = False
    percent: float = 100.0

    def __post_init__(self) -> None:
        Packets.__post_init__(self)
        if not 0.001 <= self.percent <= 100:
            raise InvalidOrder(f"{self.kind}: percent must be 0.001 to 100, got {self.percent:g}")

    @classmethod
    def of(cls, spec: pb.NetworkLoss) -> Self:
        direction = _direction(cls.kind, spec)
        return cls(tuple(spec.peers), tuple(spec.ports), direction, spec.everybody, spec.percent)

    @property
    def everybody(self) -> bool:
        return self.all

    @property
    def share(self) -> int:
        return round(self.percent * cut.WHOLE / 100)

    @property
    def effect(self) -> str:
        return f"{self.percent:g} % lost"


def _direction(kind: str, spec: Any) -> Direction:
    return _DIRECTIONS[word(kind, spec, "direction")]


def _network(kind: str, peer: str) -> cut.Network:
    try:
        return ipaddress.ip_network(peer, strict=False)
    except ValueError as error:
        raise InvalidOrder(
            f'{kind}: peer "{peer}" is no network: {error}; write it as 10.0.0.0/24'
        ) from error


def _own(kind: str, host: Host, networks: Sequence[cut.Network]) -> list[str]:
    """Peers that are this host. A wider network may cover it: what a host says to itself never leaves it."""
    own = {cut.address(address) for address in host.network.addresses()}
    return [
        f"{kind}: peer {net} is this host itself; name its peers, or use host.blackout"
        for net in networks
        if net.num_addresses == 1 and net.network_address in own
    ]
