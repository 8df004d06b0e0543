"""unit.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault, few
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults.unit import Down


@dataclass(frozen=True, slots=True)
class UnitStop(PlannedFault):
    units: tuple[str, ...]
    kind: Literal["unit.stop"] = "unit.stop"

    @classmethod
    def of(cls, spec: Down, fleet: FleetSnapshot) -> Self:
        return cls(spec.units)

    def what(self) -> str:
        return f"units {few(self.units)}"
