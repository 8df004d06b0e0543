"""Interfaces, own addresses and next hops of the network namespace that this process is in."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import socket
import struct
from collections.abc import Iterator, Sequence

from blackstart_agent.host import programs

_SIOCGIFFLAGS = 0x8913
_IFF_LOOPBACK = 0x8
_IP_TIMEOUT_S = 5.0


class LinuxNetwork:
    """For plan and arm time only: it starts `ip`."""

    def interfaces(self) -> Sequence[str]:
        return [name for _, name in sorted(socket.if_nameindex()) if not _is_loopback(name)]

    def addresses(self) -> Sequence[str]:
        found = (
            address
            for link in _ip("addr", "show")
            for row in _rows(link.get("addr_info"))
            if isinstance(address := row.get("local"), str)
        )
        parsed = (ipaddress.ip_address(address) for address in found)
        return [str(address) for address in parsed if not address.is_loopback and not address.is_link_local]

    def gateways(self, address: str) -> Sequence[str]:
        wanted = ipaddress.ip_address(address.partition("%")[0])
        if wanted.is_loopback:
            return []
        hops = [hop for row in _ip("route", "get", str(wanted)) for hop in _next_hops(row)]
        return hops or [str(wanted)]


def _next_hops(route: dict[str, object]) -> Iterator[str]:
    if isinstance(gateway := route.get("gateway"), str):
        yield gateway
    via = route.get("via")  # an IPv4 route through an IPv6 next hop
    if isinstance(via, dict) and isinstance(host := via.get("host"), str):
        yield host


def _ip(*words: str) -> list[dict[str, object]]:
    return _rows(json.loads(programs.run("ip", ("-json", *words), timeout_s=_IP_TIMEOUT_S) or "[]"))


def _rows(value: object) -> list[dict[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _is_loopback(name: str) -> bool:
    """By the interface's flags, asked of the kernel: /sys may show another namespace's interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        except OSError:
            return True  # it went away since it was listed: nothing to cut
    flags: int = struct.unpack("16xH14x", answer)[0]
    return bool(flags & _IFF_LOOPBACK)
