"""Every fault that this agent can inject, and the sweep for what no fault remembers."""

from __future__ import annotations

from collections.abc import Collection

from blackstart_agent.errors import AgentError, HostError
from blackstart_agent.faults import cut
from blackstart_agent.faults.base import TABLE_PREFIX, Fault
from blackstart_agent.faults.blackout import HostBlackout
from blackstart_agent.faults.crash_loop import UnitCrashLoop
from blackstart_agent.faults.disk import DiskFill
from blackstart_agent.faults.dns import NetworkDns
from blackstart_agent.faults.network import (
    NetworkBlackhole,
    NetworkDuplicate,
    NetworkLoss,
    NetworkPartition,
)
from blackstart_agent.faults.process import ProcessKill, ProcessPause
from blackstart_agent.faults.reset import NetworkReset
from blackstart_agent.faults.resources import ResourcesCpu, ResourcesIo, ResourcesMemory
from blackstart_agent.faults.restart import ProcessRestart, UnitRestart
from blackstart_agent.faults.shape import (
    NetworkBandwidth,
    NetworkCorrupt,
    NetworkDelay,
    NetworkReorder,
)
from blackstart_agent.faults.unit import UnitStop
from blackstart_agent.host.ports import Host

FAULTS: dict[str, type[Fault]] = {
    NetworkPartition.kind: NetworkPartition,
    NetworkBlackhole.kind: NetworkBlackhole,
    NetworkReset.kind: NetworkReset,
    NetworkLoss.kind: NetworkLoss,
    NetworkDelay.kind: NetworkDelay,
    NetworkReorder.kind: NetworkReorder,
    NetworkCorrupt.kind: NetworkCorrupt,
    NetworkDuplicate.kind: NetworkDuplicate,
    NetworkBandwidth.kind: NetworkBandwidth,
    NetworkDns.kind: NetworkDns,
    ProcessKill.kind: ProcessKill,
    ProcessPause.kind: ProcessPause,
    ProcessRestart.kind: ProcessRestart,
    UnitStop.kind: UnitStop,
    UnitRestart.kind: UnitRestart,
    UnitCrashLoop.kind: UnitCrashLoop,
    HostBlackout.kind: HostBlackout,
    DiskFill.kind: DiskFill,
    ResourcesCpu.kind: ResourcesCpu,
    ResourcesMemory.kind: ResourcesMemory,
    ResourcesIo.kind: ResourcesIo,
}


def capabilities(host: Host) -> tuple[list[str], dict[str, str]]:
    """The kinds of fault that work here, and for every other kind the reason why not: each is tried out."""
    why_not = {kind: _why_not(fault, host) for kind, fault in FAULTS.items()}
    return [kind for kind, why in why_not.items() if not why], {k: why for k, why in why_not.items() if why}


def _why_not(fault: type[Fault], host: Host) -> str:
    try:
        fault.try_out(host)
    except (AgentError, OSError) as error:  # what cannot be tried is no reason for an agent not to start
        return str(error)
    return ""


def sweep(host: Host, known: Collection[str] = ()) -> list[str]:
    """Every table with our mark whose name is not in `known` is gone; the answer lists those that stayed.

    A table that a living process owns cannot be deleted by another one: it ends with that process.
    """
    stayed: list[str] = []
    for family, table in host.nft.tables(TABLE_PREFIX):
        if table in known:
            continue
        try:
            host.nft.run(cut.delete_table(family, table))
        except HostError as error:
            stayed.append(f"table {family} {table} stays: {error}")
    return stayed
