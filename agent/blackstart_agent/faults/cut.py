"""The text of the nftables tables that cut a host off. Pure: nothing here touches the host.

Every table is ours alone and has a set `gate`. While the gate is empty, no rule matches. Opening the gate is
one tiny transaction whatever the number of peers, and its elements expire by themselves: the kernel closes it
at the lease even when every process of ours is dead or frozen. `flags owner` makes the kernel drop the table
with us.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from blackstart_agent.errors import HostError

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

# What a packet must be besides, and what happens to it then.
Verdicts: TypeAlias = "Sequence[tuple[str, str]]"

COPIED = 0x00800000  # a bit of a packet's mark
PRIORITY = -500  # before every other table, conntrack and defragmentation
MAX_LEASE_MS = 24 * 60 * 60 * 1000
NANOSECONDS_PER_MS = 1_000_000
WHOLE = 100_000
DISCOVERY = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"


@dataclass(frozen=True, slots=True)
class Spared:
    """What stays open inside a cut: the control path, the neighbour discovery it needs, protected ports."""

    controller: tuple[Address, int] | None = None
    next_hops: tuple[Address, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut. `peers` None means everybody; `ports` empty means every protocol, ARP included."""

    table: str
    interfaces: tuple[str, ...]
    peers: tuple[Network, ...] | None
    ports: tuple[int, ...] = ()
    incoming: bool = True
    outgoing: bool = True
    spared: Spared = Spared()
    protocol: str = ""  # tcp, udp, sctp or icmp (ICMPv6 too); empty: every one
    share: int = WHOLE  # so many of 100,000 packets; all of them: a cut cable, which ARP does not pass


def drop_table(cut: Cut) -> str:
    """A netdev table that loses packets silently at the interfaces, as a cut cable does."""
    return _netdev(cut, _drop(cut.share))


def duplicate_table(cut: Cut) -> str:
    """A netdev table that sends a share of the packets twice.

    The copy passes the hook again, so the first is marked: else a copy would be copied.
    """
    some = f"meta mark and {COPIED:#x} == 0 {_some(cut.share)}"
    again = f"{some}meta mark set meta mark or {COPIED:#x} dup to"
    return _netdev(cut, [(f'oifname "{device}" ', f'{again} "{device}"') for device in cut.interfaces])


def _netdev(cut: Cut, verdicts: Verdicts) -> str:
    body = [*_peer_sets(cut), "set gate {", "type ifname", "flags timeout", "}"]
    devices = ", ".join(f'"{name}"' for name in cut.interfaces)
    for hook, key, chain, wanted in (
        ("ingress", "iifname", "incoming", cut.incoming),
        ("egress", "oifname", "outgoing", cut.outgoing),
    ):
        if wanted:
            rules = (*_discovery(cut, chain), *_spared(cut, chain), *_verdicts(cut, chain, verdicts))
            body += [f"chain {chain} {{", *rules, "}"]
            head = f"type filter hook {hook} devices = {{ {devices} }} priority {PRIORITY}; policy accept;"
            body += [f"chain {hook} {{", head, f"{key} @gate jump {chain}", "}"]
    return _table("netdev", cut.table, body)


def reject_table(cut: Cut) -> str:
    """An inet table that refuses packets with an answer, as a firewall does: the sender is told at once.

    Our own refusals pass the output hook too and must leave, so resets and unreachables are let out.
    Neighbour discovery stays: without it an IPv6 peer would wait in silence instead of being refused.
    """
    return _inet(cut, _rejects(cut.protocol), _OWN_REFUSALS)


def queue_table(cut: Cut, queue: int, *, by_mark: bool, refused: Sequence[str] = ()) -> str:
    """An inet table that hands packets to a worker, which lets each go on when it is due.

    Nobody reads the queue: packets pass as if there were no rule. `by_mark`: for a kernel whose nf_tables
    has no queue; a rule of iptables hands on what has the queue's number as its mark. `refused`: what
    else leaves this host is answered with a reset.
    """
    verdict = f"meta mark set {queue}" if by_mark else f"queue num {queue} bypass"
    return _inet(cut, (("", verdict),), (), [f"{match} reject with tcp reset" for match in refused])


def _inet(cut: Cut, verdicts: Verdicts, let_out: Sequence[str], last: Sequence[str] = ()) -> str:
    """`let_out` and `last`: the first and the last rules for what leaves."""
    body = [*_peer_sets(cut), "set gate {", "type nf_proto", "flags timeout", "}"]
    forward: list[str] = []
    for hook, key, chain, wanted in (
        ("input", "iifname", "incoming", cut.incoming),
        ("output", "oifname", "outgoing", cut.outgoing),
    ):
        if wanted:
            first, after = (let_out, last) if chain == "outgoing" else ((), ())
            spared = (*first, f"{DISCOVERY} accept", *_spared(cut, chain))
            rules = (*spared, *_verdicts(cut, chain, verdicts), *after)
            body += [f"chain {chain} {{", *rules, "}"]
            gate = f'{key} != "lo" meta nfproto @gate jump {chain}'
            body += [f"chain {hook} {{", _inet_hook(hook), gate, "}"]
            forward.append(f"meta nfproto @gate jump {chain}")
    body += ["chain forward {", _inet_hook("forward"), *forward, "}"]
    return _table("inet", cut.table, body)


def gate_elements(family: str, interfaces: Sequence[str]) -> tuple[str, ...]:
    """The elements that open the gate of a table of this family."""
    return tuple(f'"{name}"' for name in interfaces) if family == "netdev" else ("ipv4", "ipv6")


def open_gate(family: str, table: str, elements: Sequence[str], lease_ms: int) -> str:
    return f"add element {family} {table} gate {{ {_timed(elements, lease_ms)} }}"


def renew_gate(family: str, table: str, elements: Sequence[str], lease_ms: int) -> str:
    """One transaction that moves the lease without a packet slipping through.

    Add first, so that the delete finds something even after an expiry; a plain second add is silently ignored
    by Linux 6.1.
    """
    bare = ", ".join(elements)
    return "\n".join(
        (
            f"add element {family} {table} gate {{ {bare} }}",
            f"delete element {family} {table} gate {{ {bare} }}",
            open_gate(family, table, elements, lease_ms),
        )
    )


def close_gate(family: str, table: str) -> str:
    return f"flush set {family} {table} gate"


def delete_table(family: str, table: str) -> str:
    return f"delete table {family} {table}"


def lease_ms(deadline_ns: int, now_ns: int) -> int:
    """Whole milliseconds from now to the deadline, rounded down: a cut may end early, never late.

    0 would mean "for ever" to nftables, so a deadline that has passed raises HostError.
    """
    left_ms = (deadline_ns - now_ns) // NANOSECONDS_PER_MS
    if not 1 <= left_ms <= MAX_LEASE_MS:
        raise HostError(
            f"the gate stays closed: {left_ms} ms are left of the lease, 1 to {MAX_LEASE_MS} are possible"
        )
    return left_ms


def gate_is_open(shown: str) -> bool:
    """Whether a table, as nft prints it, has an element left in its gate."""
    found = re.search(r"set gate \{(.*?)\n\s*\}", shown, re.DOTALL)
    return found is not None and "elements = {" in found.group(1)


def collapse(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in the fewest networks: interval sets refuse overlaps."""
    every = list(networks)
    four = ipaddress.collapse_addresses(net for net in every if isinstance(net, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(net for net in every if isinstance(net, ipaddress.IPv6Network))
    return (*four, *six)


def _table(family: str, table: str, body: Sequence[str]) -> str:
    # `create` fails when the name is taken, where `add` would silently add our rules to somebody's table.
    head = f"table {family} {table} {{\nflags owner;"
    return "\n".join((f"create {head}\n}}", head, *body, "}"))


def _inet_hook(hook: str) -> str:
    return f"type filter hook {hook} priority {PRIORITY}; policy accept;"


def _timed(elements: Sequence[str], lease: int) -> str:
    return ", ".join(f"{element} timeout {lease}ms" for element in elements)


def _listed(values: Iterable[object]) -> str:
    return "{ " + ", ".join(str(value) for value in values) + " }"


def _peer_sets(cut: Cut) -> list[str]:
    lines: list[str] = []
    for name, kind, version in (("peers4", "ipv4_addr", 4), ("peers6", "ipv6_addr", 6)):
        members = [net for net in cut.peers or () if net.version == version]
        if members:
            lines += [
                f"set {name} {{",
                f"type {kind}",
                "flags interval",
                f"elements = {_listed(members)}",
                "}",
            ]
    return lines


_DROP: Verdicts = (("", "drop"),)


def _drop(share: int) -> Verdicts:
    return _DROP if share >= WHOLE else (("", f"{_some(share)}drop"),)


def _some(share: int) -> str:
    """A share of the packets, each by itself; all of them need no number."""
    return f"numgen random mod {WHOLE} < {share} " if share < WHOLE else ""


def _rejects(protocol: str) -> Verdicts:
    reset, told = ("meta l4proto tcp ", "reject with tcp reset"), ("", "reject with icmpx admin-prohibited")
    return (reset, told) if not protocol else (("", reset[1]),) if protocol == "tcp" else (told,)


_OWN_REFUSALS = (
    "tcp flags rst accept",
    "icmp type destination-unreachable accept",
    "icmpv6 type destination-unreachable accept",
)


def _verdicts(cut: Cut, chain: str, verdicts: Verdicts) -> list[str]:
    """The rules that end a packet, once the gate has matched and nothing spared it."""
    if cut.peers is None:
        return [f"{ports}{match}{verdict}" for ports in _port_matches(cut) for match, verdict in verdicts]
    end = "saddr" if chain == "incoming" else "daddr"
    lines: list[str] = []
    for version, word in ((4, "ip"), (6, "ip6")):
        if any(net.version == version for net in cut.peers):
            for ports in _port_matches(cut):
                lines += [
                    f"{word} {end} @peers{version} {ports}{match}{verdict}" for match, verdict in verdicts
                ]
    cuts_whole_hosts = not cut.ports and not cut.protocol and verdicts is _DROP
    if cuts_whole_hosts and any(net.version == 4 for net in cut.peers):
        lines.append(f"arp {end} ip @peers4 drop")
    return lines


def _port_matches(cut: Cut) -> list[str]:
    """What tells the packets that are meant by their protocol and ports."""
    if not cut.ports:
        return [f"meta l4proto {_PROTOCOLS[cut.protocol]} " if cut.protocol else ""]
    head = f"meta l4proto {_PROTOCOLS[cut.protocol or 'with ports']}"
    return [f"{head} th {end} {_listed(cut.ports)} " for end in ("sport", "dport")]


_PROTOCOLS = {
    "with ports": "{ tcp, udp, sctp }",
    "tcp": "tcp",
    "udp": "udp",
    "sctp": "sctp",
    "icmp": "{ icmp, ipv6-icmp }",
}


def _spared(cut: Cut, chain: str) -> list[str]:
    """Rules that let through what a cut must leave open. They come first in their chain."""
    end, port_end = ("saddr", "sport") if chain == "incoming" else ("daddr", "dport")
    lines: list[str] = []
    if cut.spared.controller is not None:
        address, port = cut.spared.controller
        lines.append(f"{_word(address)} {end} {address} tcp {port_end} {port} accept")
    if cut.spared.ports:
        listed = _listed(cut.spared.ports)
        lines += [f"meta l4proto {{ tcp, udp }} th {either} {listed} accept" for either in ("sport", "dport")]
    return lines


def _discovery(cut: Cut, chain: str) -> list[str]:
    """ARP and neighbour discovery with the next hops, else their link-layer addresses are forgotten."""
    end = "saddr" if chain == "incoming" else "daddr"
    rules = [f"{DISCOVERY} accept"] if cut.protocol == "icmp" else []
    for hop in cut.spared.next_hops:
        if isinstance(hop, ipaddress.IPv4Address):
            rules.append(f"arp {end} ip {hop} accept")
            continue
        asked = [hop, _solicited_node(hop)] if chain == "outgoing" else [hop]
        rules.append(f"ip6 {end} {_listed(asked)} {DISCOVERY} accept")
    return rules


def _solicited_node(address: ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """The multicast group that is asked for the link-layer address of `address` (RFC 4291, 2.7.1)."""
    return ipaddress.IPv6Address(int(ipaddress.IPv6Address("ff02::1:ff00:0")) | int(address) & 0xFFFFFF)


def _word(address: Address) -> str:
    return "ip" if address.version == 4 else "ip6"


def address(text: str) -> Address:
    """An address as the kernel sees it on the wire: IPv4 written inside IPv6 is IPv4, zones are left out."""
    parsed = ipaddress.ip_address(text.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
