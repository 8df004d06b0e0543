"""unit.*: what happens to supervised services."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.faults.base import Held, Targeted, listed
from blackstart_controller.spec.types import Between, UnitName


class OfUnits(Held):
    """It hits supervised services, by their names."""

    units: tuple[UnitName, ...] = Field(min_length=1, max_length=100)


class Down(OfUnits):
    """The units are stopped, held down, and started again at the end."""

    fault: Literal["unit.stop"]

    def words(self, time: str) -> str:
        return f"the units {listed(self.units)} are stopped and held down for {time}"


class StartedAnew(OfUnits):
    """The units are stopped and started again; `for` is how long what follows is watched."""

    fault: Literal["unit.restart"]

    def words(self, time: str) -> str:
        return f"the units {listed(self.units)} are restarted, and what follows is watched for {time}"


class CrashLooping(OfUnits):
    """The units are killed at once, and `every` so long after each start again."""

    fault: Literal["unit.crash_loop"]
    every_ms: Annotated[int, Between("50ms", "1h")] = Field(default=1_000, alias="every")

    def words(self, time: str) -> str:
        every = format_duration(self.every_ms)
        return f"the units {listed(self.units)} crash again {every} after each start, for {time}"


class StopUnits(Down, Targeted):
    pass


class RestartUnits(StartedAnew, Targeted):
    pass


class CrashUnits(CrashLooping, Targeted):
    pass
