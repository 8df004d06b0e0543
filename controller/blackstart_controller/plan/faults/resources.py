"""resources.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults.resources import BusyCpu, BusyDisk, TakenMemory
from blackstart_controller.spec.size import format_size


@dataclass(frozen=True, slots=True)
class ResourcesCpu(PlannedFault):
    """`cores` 0: all."""

    percent: int
    cores: int = 0
    kind: Literal["resources.cpu"] = "resources.cpu"

    @classmethod
    def of(cls, spec: BusyCpu, fleet: FleetSnapshot) -> Self:
        return cls(spec.percent, spec.cores or 0)

    def what(self) -> str:
        cores = "every core" if not self.cores else f"{self.cores} core{'s' * (self.cores > 1)}"
        return f"{self.percent}% of {cores}"


@dataclass(frozen=True, slots=True)
class ResourcesMemory(PlannedFault):
    """Exactly one is not 0."""

    bytes: int = 0
    percent: int = 0
    kind: Literal["resources.memory"] = "resources.memory"

    @classmethod
    def of(cls, spec: TakenMemory, fleet: FleetSnapshot) -> Self:
        return cls(spec.size or 0, spec.percent or 0)

    def what(self) -> str:
        return f"{format_size(self.bytes)} of memory" if self.bytes else f"memory until {self.percent}% used"


@dataclass(frozen=True, slots=True)
class ResourcesIo(PlannedFault):
    volume: str
    workers: int
    bytes: int
    kind: Literal["resources.io"] = "resources.io"

    @classmethod
    def of(cls, spec: BusyDisk, fleet: FleetSnapshot) -> Self:
        return cls(spec.volume, spec.workers, spec.size)

    def what(self) -> str:
        return f"volume {self.volume}: {self.workers} × {format_size(self.bytes)} written and read"
