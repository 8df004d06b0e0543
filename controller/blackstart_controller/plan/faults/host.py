"""host.* in a plan; site.blackout has become host.blackout on each host of the site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults.host import Dark


@dataclass(frozen=True, slots=True)
class HostBlackout(PlannedFault):
    units_are: Literal["killed", "frozen"] = "killed"
    kind: Literal["host.blackout"] = "host.blackout"

    @classmethod
    def of(cls, spec: Dark, fleet: FleetSnapshot) -> Self:
        return cls("killed" if spec.units == "kill" else "frozen")

    def what(self) -> str:
        return f"network cut, units {self.units_are}"
