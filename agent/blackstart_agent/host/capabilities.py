"""What this host can really do: each mechanism is tried, in a way that leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from blackstart_agent.errors import AgentError
from blackstart_agent.host.ports import Host, Nft, Processes

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
ip6 daddr 2001:db8::1 drop
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


def capabilities(host: Host) -> tuple[list[str], dict[str, str]]:
    """The kinds of fault that work here, and for every other kind the reason why not."""
    why_not = {
        "network.partition": _first_reason(lambda: _probe_tables(host.nft)),
        "process.kill": _first_reason(lambda: _probe_signals(host.processes)),
        "process.pause": _first_reason(lambda: _probe_signals(host.processes)),
        "unit.stop": _first_reason(host.units.check),
    }
    why_not["host.blackout"] = why_not["network.partition"] or why_not["unit.stop"]
    return [kind for kind, why in why_not.items() if not why], {k: why for k, why in why_not.items() if why}


def _first_reason(probe: Callable[[], object]) -> str:
    try:
        probe()
    except AgentError as error:
        return str(error)
    return ""


def _probe_tables(nft: Nft) -> None:
    name = f"{PROBE_TABLE}_{os.getpid()}"
    for probe in _PROBES:
        nft.run(probe.format(name=name))


def _probe_signals(processes: Processes) -> None:
    """Signal 0 to the host's first process: is this root, and are there pidfds?"""
    first = [process for process in processes.list() if process.pid == 1]
    for process in first:
        processes.signal(process, 0)


_PROBES: Sequence[str] = (_DROP_PROBE, _REJECT_PROBE)
