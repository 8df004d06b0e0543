"""This host's own addresses, from /proc: psutil would cost 20 ms of every start."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

PROC_NET = Path("/proc/net")
_GLOBAL_SCOPE = "00"


def own_addresses(proc_net: Path = PROC_NET) -> list[str]:
    """IPv4 and IPv6 addresses of this host's interfaces, without loopback and link-local."""
    found: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, None] = dict.fromkeys(
        [*_v4(_lines(proc_net / "fib_trie")), *_v6(_lines(proc_net / "if_inet6"))]
    )
    return [str(address) for address in found if not (address.is_loopback or address.is_link_local)]


def _v4(lines: Iterable[str]) -> Iterable[ipaddress.IPv4Address]:
    """Local routes of one address: `|-- 10.0.0.1` and, below it, `/32 host LOCAL`."""
    address = ""
    for line in lines:
        text = line.strip()
        if text.startswith("|-- "):
            address = text.removeprefix("|-- ")
        elif text == "/32 host LOCAL":
            yield ipaddress.IPv4Address(address)


def _v6(lines: Iterable[str]) -> Iterable[ipaddress.IPv6Address]:
    """`ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, all in hex."""
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[3] == _GLOBAL_SCOPE:
            yield ipaddress.IPv6Address(int(fields[0], 16))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return []
