"""What every fault on packets has: which packets they are, and a table whose gate the kernel closes."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import cut, gate
from blackstart_agent.faults.base import Fault, Held, Hit, Json, Prepared, Rung, Surroundings, Undo, word
from blackstart_agent.host.ports import Host

MAX_PEERS = 65_536
MAX_PORT = 65_535


class Direction(Enum):
    """Seen from this host."""

    BOTH = "both ways"
    IN = "incoming"
    OUT = "outgoing"


class Protocol(Enum):
    """ICMP is ICMPv6 too, but for neighbour discovery, without which nothing at all would pass."""

    ANY = ""
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"


_DIRECTIONS = {"": Direction.BOTH, "both": Direction.BOTH, "in": Direction.IN, "out": Direction.OUT}


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
    protocol: Protocol = field(default=Protocol.ANY, kw_only=True)

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
        if self.ports and self.protocol is Protocol.ICMP:
            raise InvalidOrder(f"{self.kind}: ICMP has no ports; leave ports or protocol out")

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

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        """The family of the table, and its text."""
        return "netdev", cut.drop_table(made)

    def more(self, made: cut.Cut, host: Host, around: Surroundings) -> dict[str, Json]:
        """What the undo record holds besides the table."""
        return {}

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
            protocol=self.protocol.value,
            share=self.share,
        )
        family, table = self.table(made, host)
        targets = interfaces if self.everybody else [str(net) for net in networks]
        hits = (*(Hit("network", target, self._told()) for target in targets), *self._kept_open(spare))
        undo = {**gate.undo_of(family, made, table), **self.more(made, host, around)}
        return Prepared(hits, undo, (gate.manual(family, around.table), *self.by_hand(host, undo)), table)

    def by_hand(self, host: Host, undo: Undo) -> tuple[str, ...]:
        """What has to be done by hand besides deleting the table."""
        return ()

    def _told(self) -> str:
        ports = f", ports {', '.join(str(port) for port in sorted(set(self.ports)))}" if self.ports else ""
        protocol = f", {self.protocol.name}" if self.protocol.value else ""
        return f"{self.effect} {self.direction.value}{protocol}{ports}"

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
class OnAnybody(Packets):
    """`all`: there are no peers, and everybody is meant."""

    all: bool = False

    @property
    def everybody(self) -> bool:
        return self.all


def direction_of(kind: str, spec: Any) -> Direction:
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


def protocol_of(kind: str, spec: Any) -> Protocol:
    return Protocol(word(kind, spec, "protocol"))


def checked_share(kind: str, percent: float) -> int:
    """Of 100,000 packets so many. Raises InvalidOrder unless it is 0.001 to 100 percent."""
    if not 0.001 <= percent <= 100:
        raise InvalidOrder(f"{kind}: percent must be 0.001 to 100, got {percent:g}")
    return round(percent * cut.WHOLE / 100)
