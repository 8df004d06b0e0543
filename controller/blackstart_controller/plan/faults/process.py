"""process.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.spec.faults.process import OfProcess


@dataclass(frozen=True, slots=True)
class ProcessSelector:
    """Exactly one is set."""

    unit: str = ""
    executable: str = ""
    name: str = ""

    @classmethod
    def of(cls, spec: OfProcess) -> Self:
        return cls(spec.unit or "", spec.executable or "", spec.name or "")

    def what(self) -> str:
        if self.unit:
            return f"processes of unit {self.unit}"
        return f"processes of {self.executable}" if self.executable else f"processes named {self.name}"


@dataclass(frozen=True, slots=True)
class OfProcesses(PlannedFault):
    select: ProcessSelector

    @classmethod
    def of(cls, spec: OfProcess, fleet: FleetSnapshot) -> Self:
        return cls(ProcessSelector.of(spec))

    def what(self) -> str:
        return self.select.what()


@dataclass(frozen=True, slots=True)
class ProcessKill(OfProcesses):
    kind: Literal["process.kill"] = "process.kill"


@dataclass(frozen=True, slots=True)
class ProcessPause(OfProcesses):
    kind: Literal["process.pause"] = "process.pause"
