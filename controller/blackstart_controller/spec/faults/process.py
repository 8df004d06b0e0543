"""process.*: what happens to processes, named by their unit, their program or their name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from blackstart_controller.spec.faults.base import Held, Targeted
from blackstart_controller.spec.types import AbsolutePath, OneOf, Text, UnitName


class OfProcess(Held, OneOf):
    """It hits processes, named by exactly one of these keys."""

    CHOICES: ClassVar = ("unit", "executable", "name")
    unit: UnitName | None = None
    executable: AbsolutePath | None = None
    name: Annotated[Text, Field(min_length=1, max_length=255)] | None = None

    def processes(self) -> str:
        if self.unit is not None:
            return f"the processes of the unit {self.unit}"
        return (
            f"the processes of {self.executable}" if self.executable else f"the processes named {self.name}"
        )


class Kill(OfProcess):
    """`for` is how long its effect is watched before it counts as over."""

    fault: Literal["process.kill"]

    def words(self, time: str) -> str:
        return f"{self.processes()} are killed, and what follows is watched for {time}"


class Freeze(OfProcess):
    fault: Literal["process.pause"]

    def words(self, time: str) -> str:
        return f"{self.processes()} stand still for {time}"


class KillProcess(Kill, Targeted):
    pass


class PauseProcess(Freeze, Targeted):
    pass
