"""The other side of a partition as networks: a cut needs addresses, not names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from blackstart_controller.plan.fleet import FleetSnapshot, HostView, matching
from blackstart_controller.spec.faults.network import PeerSet

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def peer_networks(peers: PeerSet, fleet: FleetSnapshot) -> tuple[str, ...]:
    """Return the peers as CIDRs, v4 before v6, sorted, each once."""
    if peers.cidr is not None:
        wanted = {ipaddress.ip_network(cidr, strict=False) for cidr in peers.cidr}
    else:
        wanted = set(_networks(peer_hosts(peers, fleet)))
    return tuple(map(str, sorted(wanted, key=_order)))


def without_own(networks: tuple[str, ...], target: HostView) -> tuple[str, ...]:
    """Return `networks` without the target's own addresses: a host is never cut from itself."""
    own = {str(network) for address in target.addresses if (network := host_network(address))}
    return networks if own.isdisjoint(networks) else tuple(one for one in networks if one not in own)


def peer_hosts(peers: PeerSet, fleet: FleetSnapshot) -> tuple[HostView, ...]:
    """Return the known hosts on the other side; () when it is given as networks."""
    if peers.site is not None:
        return tuple(host for host in fleet.hosts if host.site == peers.site)
    return matching(peers.hosts, fleet) if peers.hosts is not None else ()


def host_network(address: str) -> Network | None:
    """Return an address as /32 or /128; None for one that no other host can reach, or that is no address."""
    try:
        parsed = ipaddress.ip_interface(address.split("%")[0]).ip
    except ValueError:
        return None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        return None
    return ipaddress.ip_network(parsed)


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _networks(hosts: Iterable[HostView]) -> Iterable[Network]:
    for host in hosts:
        for address in host.addresses:
            network = host_network(address)
            if network is not None:
                yield network
