"""The faults that orders carry, a file per family, and their table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_args

from blackstart_controller.plan.faults.disk import DiskFill
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.faults.network import (
    NetworkBandwidth,
    NetworkBlackhole,
    NetworkCorrupt,
    NetworkDelay,
    NetworkDns,
    NetworkDuplicate,
    NetworkLoss,
    NetworkPartition,
    NetworkReorder,
    NetworkReset,
)
from blackstart_controller.plan.faults.process import ProcessKill, ProcessPause, ProcessRestart
from blackstart_controller.plan.faults.resources import ResourcesCpu, ResourcesIo, ResourcesMemory
from blackstart_controller.plan.faults.unit import UnitCrashLoop, UnitRestart, UnitStop
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults import Breakage

FaultData: TypeAlias = (
    NetworkPartition
    | NetworkBlackhole
    | NetworkReset
    | NetworkLoss
    | NetworkDelay
    | NetworkReorder
    | NetworkCorrupt
    | NetworkDuplicate
    | NetworkBandwidth
    | NetworkDns
    | ProcessKill
    | ProcessPause
    | ProcessRestart
    | UnitStop
    | UnitRestart
    | UnitCrashLoop
    | HostBlackout
    | ResourcesCpu
    | ResourcesMemory
    | ResourcesIo
    | DiskFill
)

# `kind` of a slotted dataclass can be read from its fields only.
KINDS: Final[Mapping[str, type[FaultData]]] = MappingProxyType(
    {
        str(field.default): kind
        for kind in get_args(FaultData)
        for field in fields(kind)
        if field.name == "kind"
    }
)
# What the document may say besides: it becomes one of the kinds above.
_MEANS: Final = MappingProxyType({"site.blackout": "host.blackout"})


def fault_of(spec: Breakage, fleet: FleetSnapshot) -> FaultData:
    """Return the order's form of what a document asks for."""
    kind: Any = KINDS[_MEANS.get(spec.fault, spec.fault)]  # `of` takes this kind's class of document alone
    made: FaultData = kind.of(spec, fleet)
    return made
