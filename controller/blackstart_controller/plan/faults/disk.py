"""disk.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults.disk import FullDisk
from blackstart_controller.spec.size import format_size


@dataclass(frozen=True, slots=True)
class DiskFill(PlannedFault):
    """Exactly one of `bytes`, `percent` and `inodes` is not 0."""

    volume: str
    bytes: int = 0
    percent: int = 0
    inodes: int = 0
    kind: Literal["disk.fill"] = "disk.fill"

    @classmethod
    def of(cls, spec: FullDisk, fleet: FleetSnapshot) -> Self:
        return cls(spec.volume, spec.size or 0, spec.percent or 0, spec.inodes or 0)

    def what(self) -> str:
        if self.inodes:
            return f"volume {self.volume}: {self.inodes} more inodes used"
        amount = f"{format_size(self.bytes)} more" if self.bytes else f"{self.percent}%"
        return f"volume {self.volume}: {amount} used"
