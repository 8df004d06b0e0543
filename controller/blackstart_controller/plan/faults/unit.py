"""unit.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault, few
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.faults.unit import CrashLooping, Down, StartedAnew


@dataclass(frozen=True, slots=True)
class UnitStop(PlannedFault):
    units: tuple[str, ...]
    kind: Literal["unit.stop"] = "unit.stop"

    @classmethod
    def of(cls, spec: Down, fleet: FleetSnapshot) -> Self:
        return cls(spec.units)

    def what(self) -> str:
        return f"units {few(self.units)}"


@dataclass(frozen=True, slots=True)
class UnitRestart(PlannedFault):
    units: tuple[str, ...]
    kind: Literal["unit.restart"] = "unit.restart"

    @classmethod
    def of(cls, spec: StartedAnew, fleet: FleetSnapshot) -> Self:
        return cls(spec.units)

    def what(self) -> str:
        return f"units {few(self.units)}"


@dataclass(frozen=True, slots=True)
class UnitCrashLoop(PlannedFault):
    units: tuple[str, ...]
    every_ms: int
    kind: Literal["unit.crash_loop"] = "unit.crash_loop"

    @classmethod
    def of(cls, spec: CrashLooping, fleet: FleetSnapshot) -> Self:
        return cls(spec.units, spec.every_ms)

    def what(self) -> str:
        return f"units {few(self.units)}, {format_duration(self.every_ms)} after each start"
