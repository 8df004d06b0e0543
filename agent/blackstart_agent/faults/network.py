"""network.partition: this host and its peers no longer hear each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

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
class NetworkPartition(Fault):
    """Packets between this host and `peers` are lost (drop) or refused (reject).

    `peers`: networks in CIDR form or addresses, IPv4 and IPv6 mixed, 1 to 65,536. `ports`: 1 to 65,535, on
    either end, TCP, UDP and SCTP; empty: every protocol. Connections that are already open are cut too.
    """

    kind: ClassVar[str] = "network.partition"
    rung: ClassVar[Rung] = "kernel"
    peers: tuple[str, ...]
    ports: tuple[int, ...] = ()
    direction: Direction = Direction.BOTH
    verdict: Verdict = Verdict.DROP

    @classmethod
    def of(cls, spec: pb.NetworkPartition) -> Self:
        return cls(
            peers=tuple(spec.peers),
            ports=tuple(spec.ports),
            direction=_DIRECTIONS[word(cls.kind, spec, "direction")],
            verdict=_VERDICTS[word(cls.kind, spec, "verdict")],
        )

    @classmethod
    def try_out(cls, host: Host) -> None:
        gate.try_out(host)

    def __post_init__(self) -> None:
        if not 1 <= len(self.peers) <= MAX_PEERS:
            raise InvalidOrder(f"{self.kind}: peers must be 1 to {MAX_PEERS} networks, got {len(self.peers)}")
        self.networks()
        for port in self.ports:
            if not 1 <= port <= MAX_PORT:
                raise InvalidOrder(f"{self.kind}: ports must be 1 to {MAX_PORT}, got {port}")

    def networks(self) -> tuple[cut.Network, ...]:
        """The peers, overlapping ones joined."""
        return cut.collapse(_network(peer) for peer in self.peers)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        networks = self.networks()
        interfaces = gate.outgoing_interfaces(host)
        reasons = [*_own(host, networks), *([] if interfaces else [_NO_WAY_OUT])]
        if reasons:
            raise Refused(reasons)
        spare = gate.spared(host, around)
        made = cut.Cut(
            table=around.table,
            interfaces=tuple(interfaces),
            peers=networks,
            ports=tuple(sorted(set(self.ports))),
            incoming=self.direction is not Direction.OUT,
            outgoing=self.direction is not Direction.IN,
            spared=spare,
        )
        family, table = ("netdev", cut.drop_table(made)) if self._drops else ("inet", cut.reject_table(made))
        hits = (*(Hit("network", str(net), self._effect()) for net in networks), *_kept_open(networks, spare))
        undo = gate.undo_of(family, made, table)
        return Prepared(hits, undo, (gate.manual(family, around.table),), rules=table)

    @property
    def _drops(self) -> bool:
        return self.verdict is Verdict.DROP

    def _effect(self) -> str:
        ports = f", ports {', '.join(str(port) for port in sorted(set(self.ports)))}" if self.ports else ""
        return f"{self.verdict.value} {self.direction.value}{ports}"

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


_NO_WAY_OUT = "network.partition: this host has no interface but loopback; there is nothing to cut"


def _network(peer: str) -> cut.Network:
    try:
        return ipaddress.ip_network(peer, strict=False)
    except ValueError as error:
        raise InvalidOrder(
            f'network.partition: peer "{peer}" is no network: {error}; write it as 10.0.0.0/24'
        ) from error


def _own(host: Host, networks: Sequence[cut.Network]) -> list[str]:
    """Peers that are this host. A wider network may cover it: what a host says to itself never leaves it."""
    own = {cut.address(address) for address in host.network.addresses()}
    return [
        f"network.partition: peer {net} is this host itself; name its peers, or use host.blackout"
        for net in networks
        if net.num_addresses == 1 and net.network_address in own
    ]


def _kept_open(networks: Sequence[cut.Network], spare: cut.Spared) -> list[Hit]:
    if spare.controller is None or not any(spare.controller[0] in net for net in networks):
        return []
    return [
        Hit(
            "network",
            gate.control_path(spare),
            "kept open: the control path (TCP); only a sealed run cuts it",
        )
    ]
