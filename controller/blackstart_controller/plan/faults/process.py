"""process.* in a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from blackstart_controller.plan.faults.base import PlannedFault
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.spec.faults.process import Kill, OfProcess, Restarted


@dataclass(frozen=True, slots=True)
class ProcessSelector:
    """Exactly one of the first seven is set; with `count` or `percent`, `seed` decides which are meant."""

    unit: str = ""
    executable: str = ""
    name: str = ""
    cgroup: str = ""
    argv: str = ""
    port: int = 0
    user: str = ""
    count: int = 0
    percent: int = 0
    seed: int = 0

    @classmethod
    def of(cls, spec: OfProcess) -> Self:
        some = spec.processes
        return cls(
            spec.unit or "",
            spec.executable or "",
            spec.name or "",
            spec.cgroup or "",
            spec.argv or "",
            spec.port or 0,
            spec.user or "",
            (some and some.count) or 0,
            (some and some.percent) or 0,
        )

    def seeded(self, seed: int) -> Self:
        return replace(self, seed=seed) if self.count or self.percent else self

    def what(self) -> str:
        share = f"{self.percent}% of " if self.percent else f"{self.count} of " if self.count else ""
        told = {
            "unit": "of unit",
            "executable": "of",
            "name": "named",
            "cgroup": "in control group",
            "argv": "like",
            "port": "listening on port",
            "user": "of user",
        }
        return next(
            f"{share}processes {told[key]} {getattr(self, key)}" for key in told if getattr(self, key)
        )


@dataclass(frozen=True, slots=True)
class OfProcesses(PlannedFault):
    select: ProcessSelector

    def for_host(self, host: HostView, seed: int) -> Self:
        return replace(self, select=self.select.seeded(seed))

    def what(self) -> str:
        return self.select.what()


@dataclass(frozen=True, slots=True)
class ProcessKill(OfProcesses):
    """`signal` is a name without SIG; empty: KILL."""

    signal: str = ""
    kind: Literal["process.kill"] = "process.kill"

    @classmethod
    def of(cls, spec: Kill, fleet: FleetSnapshot) -> Self:
        return cls(ProcessSelector.of(spec), "" if spec.signal == "KILL" else spec.signal)

    def what(self) -> str:
        return f"SIG{self.signal} to {self.select.what()}" if self.signal else self.select.what()


@dataclass(frozen=True, slots=True)
class ProcessPause(OfProcesses):
    kind: Literal["process.pause"] = "process.pause"

    @classmethod
    def of(cls, spec: OfProcess, fleet: FleetSnapshot) -> Self:
        return cls(ProcessSelector.of(spec))


@dataclass(frozen=True, slots=True)
class ProcessRestart(OfProcesses):
    grace_ms: int = 10_000
    kind: Literal["process.restart"] = "process.restart"

    @classmethod
    def of(cls, spec: Restarted, fleet: FleetSnapshot) -> Self:
        return cls(ProcessSelector.of(spec), spec.grace_ms)
