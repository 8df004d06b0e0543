"""A document's probe as the plan carries it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from blackstart_controller.plan.model import (
    CommandProbe,
    HttpProbe,
    NatsProbe,
    ProbeSpec,
    RedisProbe,
    TcpProbe,
)
from blackstart_controller.spec.services import Probe
from blackstart_controller.spec.types import split_address, url_host


def probe_spec(probe: Probe) -> ProbeSpec:
    """Return the plan's form of `probe`, of which exactly one kind is set."""
    if probe.http is not None:
        return HttpProbe(probe.http.url, probe.http.expect_status, probe.http.expect_body)
    if probe.tcp is not None:
        return TcpProbe(probe.tcp.address)
    if probe.redis is not None:
        return RedisProbe(probe.redis.addresses, probe.redis.sentinel_master, probe.redis.write)
    if probe.nats is not None:
        return NatsProbe(probe.nats.addresses, probe.nats.publish or "")
    assert probe.command is not None, "Probe has exactly one kind"
    return CommandProbe(probe.command.name)


def named_hosts(spec: ProbeSpec) -> Iterator[str]:
    """Yield the host names that the probe must resolve; literal addresses need no resolving."""
    match spec:
        case HttpProbe():
            hosts = [url_host(spec.url)]
        case TcpProbe():
            hosts = [_host(spec.address)]
        case RedisProbe() | NatsProbe():
            hosts = [_host(address) for address in spec.addresses]
        case CommandProbe():
            hosts = []
    yield from (host for host in hosts if host and not _is_address(host))


def _host(address: str) -> str | None:
    parts = split_address(address)
    return parts[0] if parts else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
