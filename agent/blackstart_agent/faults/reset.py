"""network.reset: TCP connections break with a reset, and new ones are refused."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.faults import cut, gate
from blackstart_agent.faults.base import Json, Surroundings, Undo
from blackstart_agent.faults.packets import OnAnybody, Protocol
from blackstart_agent.faults.undo import flag, number, numbers, text, texts
from blackstart_agent.host.ports import Host
from blackstart_agent.host.ports.network import Connection

SWEEPS = 5  # one that was just being made may be missed by the first
SHOWN = 5


@dataclass(frozen=True, slots=True)
class NetworkReset(OnAnybody):
    """Established TCP connections with `peers`, or everybody, are ended at both ends; new ones are refused.

    Connections of this host's own network namespace are ended at once; those of others (containers) with
    their next packet.
    """

    kind: ClassVar[str] = "network.reset"
    protocol: Protocol = field(default=Protocol.TCP, kw_only=True)

    @classmethod
    def of(cls, spec: pb.NetworkReset) -> Self:
        return cls(tuple(spec.peers), tuple(spec.ports), all=spec.everybody)

    @classmethod
    def try_out(cls, host: Host) -> None:
        gate.try_out(host)
        host.connections.check()

    @property
    def effect(self) -> str:
        return "reset"

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        return "inet", cut.reject_table(made)

    def more(self, made: cut.Cut, host: Host, around: Surroundings) -> dict[str, Json]:
        controller = made.spared.controller
        return {
            "peers": [str(network) for network in made.peers or ()],
            "everybody": made.peers is None,
            "ports": list(made.ports),
            "spared_ports": list(made.spared.ports),
            "controller": str(controller[0]) if controller else "",
            "controller_port": controller[1] if controller else 0,
        }

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        for _ in range(SWEEPS):
            found = _left(host, undo)
            if not found:
                return
            host.connections.destroy(found)

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        left = [
            f"the connection of port {one.own_port} with [{one.peer}]:{one.peer_port} stands"
            for one in _left(host, undo)[:SHOWN]
        ]
        return [*gate.unproved(host, undo), *left]


def _left(host: Host, undo: Undo) -> Sequence[Connection]:
    """The connections that are meant and still stand."""
    peers = Networks(texts(undo, "peers"))
    everybody = flag(undo, "everybody")
    ports, spared = set(numbers(undo, "ports")), set(numbers(undo, "spared_ports"))
    controller = (text(undo, "controller"), number(undo, "controller_port"))

    def meant(one: Connection) -> bool:
        peer, ends = cut.address(one.peer), {one.own_port, one.peer_port}
        if peer.is_loopback or one.own == one.peer or (str(peer), one.peer_port) == controller:
            return False
        if ends & spared or (ports and not ends & ports):
            return False
        return everybody or peer in peers

    return host.connections.established(meant)


class Networks:
    """Ten thousand networks, asked often: one look-up for each length of prefix that there is."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._known: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for network in map(ipaddress.ip_network, networks):
            key = (network.version, network.prefixlen)
            self._known[key].add(int(network.network_address) >> (network.max_prefixlen - network.prefixlen))

    def __contains__(self, address: cut.Address) -> bool:
        return any(
            version == address.version and int(address) >> (address.max_prefixlen - length) in known
            for (version, length), known in self._known.items()
        )
