"""Volumes that policy.toml declares for faults, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_agent.errors import HostError, Refused
from blackstart_agent.faults.base import Surroundings
from blackstart_agent.host.ports import Host
from blackstart_agent.host.ports.workers import Room
from blackstart_agent.policy import Volume


def look(kind: str, name: str, host: Host, around: Surroundings) -> tuple[Volume, Room]:
    """The volume and its room. Raises Refused when it cannot be written to, or must not be."""
    volume = around.volumes.get(name)
    if volume is None:
        has = ", ".join(sorted(around.volumes)) or "none"
        raise Refused([f"{kind}: policy.toml declares no volume {name}; it has {has}"])
    try:
        room = host.capacity.room(volume.path)
    except HostError as error:
        raise Refused([f"{kind}: volume {name}: {error}"]) from error
    refuse(kind, name, volume, _refusals(host, around, room))
    return volume, room


def refuse(kind: str, name: str, volume: Volume, reasons: Iterator[str]) -> None:
    """Raises Refused with the first of the reasons, if there is one."""
    for why in reasons:
        raise Refused([f"{kind}: volume {name} ({volume.path}): {why}"])


def _refusals(host: Host, around: Surroundings, room: Room) -> Iterator[str]:
    if any(host.capacity.room(path).device == room.device for path in around.own_paths):
        yield "the agent keeps its journal on the same file system, and must go on recording"
    if room.read_only:
        yield "read-only to the agent; under systemd, give it ReadWritePaths= in a drop-in"
