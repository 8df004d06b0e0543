"""unit.*: what happens to supervised services."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blackstart_controller.spec.faults.base import Held, Targeted, listed
from blackstart_controller.spec.types import UnitName


class Down(Held):
    """The units are stopped, held down, and started again at the end."""

    fault: Literal["unit.stop"]
    units: tuple[UnitName, ...] = Field(min_length=1, max_length=100)

    def words(self, time: str) -> str:
        return f"the units {listed(self.units)} are stopped and held down for {time}"


class StopUnits(Down, Targeted):
    pass
