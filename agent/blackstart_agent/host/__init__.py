"""The real host: Linux with nf_tables, /proc, and systemd or runit as the supervisor."""

from __future__ import annotations

from pathlib import Path

from blackstart_agent.errors import ConfigError
from blackstart_agent.host.capacity import LinuxCapacity
from blackstart_agent.host.clock import LinuxClock
from blackstart_agent.host.connections import LinuxConnections
from blackstart_agent.host.network import LinuxNetwork
from blackstart_agent.host.nft import LinuxNft
from blackstart_agent.host.ports import Units
from blackstart_agent.host.process import LinuxProcesses
from blackstart_agent.host.queues import LinuxQueues
from blackstart_agent.host.units_runit import RunitUnits
from blackstart_agent.host.units_systemd import SystemdUnits
from blackstart_agent.host.workers import LinuxWorkers

__all__ = ["LinuxHost", "units_of"]


class LinuxHost:
    """`supervisor` is "systemd" or "runit:DIRECTORY", as in agent.toml. Nothing is touched by making one."""

    def __init__(self, supervisor: str = "systemd") -> None:
        self._nft = LinuxNft()
        self._processes = LinuxProcesses()
        self._units = units_of(supervisor)
        self._network = LinuxNetwork()
        self._connections = LinuxConnections()
        self._queues = LinuxQueues(self._nft)
        self._clock = LinuxClock()
        self._workers = LinuxWorkers()
        self._capacity = LinuxCapacity()

    @property
    def nft(self) -> LinuxNft:
        return self._nft

    @property
    def processes(self) -> LinuxProcesses:
        return self._processes

    @property
    def units(self) -> Units:
        return self._units

    @property
    def network(self) -> LinuxNetwork:
        return self._network

    @property
    def connections(self) -> LinuxConnections:
        return self._connections

    @property
    def queues(self) -> LinuxQueues:
        return self._queues

    @property
    def clock(self) -> LinuxClock:
        return self._clock

    @property
    def workers(self) -> LinuxWorkers:
        return self._workers

    @property
    def capacity(self) -> LinuxCapacity:
        return self._capacity


def units_of(supervisor: str) -> Units:
    """The supervisor's door. Raises ConfigError for a name that is not known."""
    name, _, directory = supervisor.partition(":")
    if name == "systemd" and not directory:
        return SystemdUnits()
    if name == "runit" and directory.startswith("/"):
        return RunitUnits(Path(directory))
    raise ConfigError(f'supervisor "{supervisor}": must be "systemd" or "runit:/DIRECTORY"')
