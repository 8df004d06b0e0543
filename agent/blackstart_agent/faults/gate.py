"""What every fault with a cut does with its table, from the undo record alone."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart_agent.faults import cut
from blackstart_agent.faults.base import Json, Surroundings, Undo
from blackstart_agent.faults.undo import text, texts
from blackstart_agent.host.ports import Host

PROBE_TABLE = "blackstart_probe"

# A whole cut, made and deleted in one transaction: the kernel checks it, nobody ever sees it.
_DROP_PROBE = """create table netdev {name} {{
flags owner;
}}
table netdev {name} {{
flags owner;
set gate {{
type ifname
flags timeout
}}
chain outgoing {{
arp daddr ip 192.0.2.1 drop
ip daddr 192.0.2.1 tcp dport 1 drop
ip6 daddr 2001:db8::1 numgen random mod 100000 < 1 drop
meta mark and 0x800000 == 0 meta mark set meta mark or 0x800000 dup to "lo"
}}
chain egress {{
type filter hook egress device "lo" priority -500; policy accept;
oifname @gate jump outgoing
}}
chain ingress {{
type filter hook ingress device "lo" priority -500; policy accept;
iifname @gate jump outgoing
}}
}}
add element netdev {name} gate {{ "lo" timeout 1ms }}
delete table netdev {name}"""
_REJECT_PROBE = """create table inet {name} {{
flags owner;
}}
table inet {name} {{
flags owner;
set gate {{
type nf_proto
flags timeout
}}
chain input {{
type filter hook input priority -500; policy accept;
meta nfproto @gate ip saddr 192.0.2.1 meta l4proto tcp reject with tcp reset
meta nfproto @gate ip saddr 192.0.2.1 reject with icmpx admin-prohibited
}}
}}
delete table inet {name}"""


def try_out(host: Host) -> None:
    """Every kind of table that a cut needs is taken by the kernel, and gone again."""
    name = f"{PROBE_TABLE}_{host.clock.monotonic_ns()}"
    for probe in (_DROP_PROBE, _REJECT_PROBE):
        host.nft.run(probe.format(name=name))


def undo_of(family: str, made: cut.Cut, stage: str) -> dict[str, Json]:
    """The part of an undo record that the functions below read."""
    return {
        "family": family,
        "table": made.table,
        "gate": list(cut.gate_elements(family, made.interfaces)),
        "stage": stage,
    }


def manual(family: str, table: str) -> str:
    return f"nft {cut.delete_table(family, table)}"


def stage(host: Host, undo: Undo) -> None:
    """The table is there, its gate closed."""
    host.nft.run(text(undo, "stage"))


def open_(host: Host, undo: Undo, deadline_ns: int) -> None:
    """The gate is open until the deadline, by the kernel's own timer."""
    lease = cut.lease_ms(deadline_ns, host.clock.monotonic_ns())
    host.nft.run(cut.open_gate(text(undo, "family"), text(undo, "table"), texts(undo, "gate"), lease))


def renew(host: Host, undo: Undo, deadline_ns: int) -> None:
    """The gate closes at the new deadline instead of the old one."""
    lease = cut.lease_ms(deadline_ns, host.clock.monotonic_ns())
    host.nft.run(cut.renew_gate(text(undo, "family"), text(undo, "table"), texts(undo, "gate"), lease))


def close(host: Host, undo: Undo) -> None:
    """The gate is closed, whether it was open or not; the table stays. No such table is fine."""
    if leftovers(host, undo):
        host.nft.run(cut.close_gate(text(undo, "family"), text(undo, "table")))


def unproved(host: Host, undo: Undo) -> list[str]:
    family, table = text(undo, "family"), text(undo, "table")
    shown = host.nft.show(family, table)
    if shown is None:
        return [f"table {family} {table} is not there"]
    return [] if cut.gate_is_open(shown) else [f"the gate of table {family} {table} is closed"]


def remove(host: Host, undo: Undo) -> None:
    """The table is gone. No such table is fine; any other failure raises HostError: nothing is known."""
    if leftovers(host, undo):
        host.nft.run(cut.delete_table(text(undo, "family"), text(undo, "table")))


def leftovers(host: Host, undo: Undo) -> list[str]:
    family, table = text(undo, "family"), text(undo, "table")
    return [f"table {family} {table}"] if (family, table) in host.nft.tables(table) else []


def spared(host: Host, around: Surroundings) -> cut.Spared:
    """What a cut on this host leaves open: nothing but protected ports in sealed mode."""
    ports = tuple(sorted(around.protected_ports))
    if around.sealed or around.controller is None:
        return cut.Spared(ports=ports)
    address, port = around.controller
    hops = tuple(cut.address(hop) for hop in host.network.gateways(address))
    return cut.Spared((cut.address(address), port), hops, ports)


def control_path(spare: cut.Spared) -> str:
    """The control path as `address:port`, or "" when it is not spared."""
    if spare.controller is None:
        return ""
    address, port = spare.controller
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def outgoing_interfaces(host: Host) -> Sequence[str]:
    return tuple(host.network.interfaces())
