"""What a probe is: one look at a service, which passes, fails, or cannot be taken.

"It is down" is an answer; only "I could not look" is an error. A look returns when the service is up, raises
Down (or OSError, TimeoutError, EOF: the network's own words for it) when it is not, and CannotLook when the
reason lies with this host.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

from blackstart_proto.v1 import agent_pb2

# kind -> module and class. Modules are loaded when the first probe of their kind starts.
KINDS: Mapping[str, tuple[str, str]] = {
    "http": ("blackstart_agent.probes.http", "HttpLook"),
    "tcp": ("blackstart_agent.probes.tcp", "TcpLook"),
    "redis": ("blackstart_agent.probes.redis", "RedisLook"),
    "nats": ("blackstart_agent.probes.nats", "NatsLook"),
    "command": ("blackstart_agent.probes.command", "CommandLook"),
}
PROBE_KINDS = tuple(KINDS)

# Errors of this host, not of the service: no descriptors, memory, buffers, local ports; our own firewall.
LOCAL_ERRORS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EPERM}
)


class Down(Exception):
    """The service answered, and the answer says that it does not work. The text is for a person."""


class CannotLook(Exception):
    """This host could not look: says nothing of the service."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this host allows and gives to probes: the commands that policy.toml names."""

    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Look(Protocol):
    """One kind of probe with its parameters."""

    async def prepare(self) -> None:
        """Resolve names, once. Raises OSError when a name has no address."""
        ...

    async def look(self) -> None:
        """Return when the service is up. Cancelled at the time-out; leaves no socket and no process
        behind.
        """
        ...


class LookClass(Protocol):
    def __call__(self, probe: agent_pb2.Probe, around: Surroundings) -> Look: ...


def build(probe: agent_pb2.Probe, around: Surroundings) -> Look:
    """The look that `probe` describes. Raises CannotLook for a kind that this agent does not know."""
    kind = probe.WhichOneof("spec")
    if kind is None or kind not in KINDS:
        known = ", ".join(KINDS)
        raise CannotLook(f"probe {probe.id}: unknown kind; this agent knows {known}; update the agent")
    module, name = KINDS[kind]
    return cast(LookClass, getattr(import_module(module), name))(probe, around)
