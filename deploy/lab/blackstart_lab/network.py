"""Pure: the commands for `ip -batch` that wire hosts to their site's bridge and the bridges to the router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blackstart_lab.layout import Layout, PlacedHost, PlacedSite

INTERFACE: Final = "eth0"
UPLINK: Final = "uplink"
BRIDGE: Final = "br0"


def router_batch(layout: Layout, site_namespaces: Mapping[str, str], *, ipv6: bool) -> str:
    """Wire every site to the router, which has the first address of each subnet."""
    lines = ["link set lo up"]
    for site in layout.sites:
        port = router_port(site)
        lines += [
            f"link add {port} type veth peer name {UPLINK} netns {site_namespaces[site.name]}",
            f"address add {site.router4}/{site.subnet4.prefixlen} dev {port}",
            *([f"address add {site.router6}/{site.subnet6.prefixlen} dev {port} nodad"] if ipv6 else []),
            f"link set {port} up",
        ]
    return "\n".join(lines) + "\n"


def router_port(site: PlacedSite) -> str:
    return f"site{site.number}"


def site_batch(layout: Layout, site: PlacedSite, host_pids: Mapping[str, int]) -> str:
    """A bridge without spanning tree or snooping (both delay first packets), with a port for each host."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {UPLINK} master {BRIDGE} up",
        f"link set {BRIDGE} up",
    ]
    for host in layout.hosts:
        if host.site.name == site.name:
            port = f"port{host.number}"
            lines += [
                f"link add {port} type veth peer name {INTERFACE} netns {host_pids[host.name]}",
                f"link set {port} master {BRIDGE} up",
            ]
    return "\n".join(lines) + "\n"


def host_batch(host: PlacedHost, *, ipv6: bool) -> str:
    """Both addresses and both default routes; `nodad`, because nobody else can have the address."""
    site = host.site
    lines = [
        "link set lo up",
        f"address add {host.address4}/{site.subnet4.prefixlen} dev {INTERFACE}",
        *([f"address add {host.address6}/{site.subnet6.prefixlen} dev {INTERFACE} nodad"] if ipv6 else []),
        f"link set {INTERFACE} up",
        f"route add default via {site.router4}",
        *([f"route add default via {site.router6}"] if ipv6 else []),
    ]
    return "\n".join(lines) + "\n"


def hosts_file(layout: Layout, own: PlacedHost, *, ipv6: bool) -> str:
    """/etc/hosts of one host: itself and every other by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for host in layout.hosts:
        names = f"{host.name} {host.name}.{layout.name}"
        lines += [f"{host.address4} {names}", *([f"{host.address6} {names}"] if ipv6 else [])]
    return "\n".join([f"# hosts of lab {layout.name}, as {own.name} knows them", *lines]) + "\n"
