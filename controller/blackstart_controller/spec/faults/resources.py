"""resources.*: what a host, or all that runs there, is short of."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from blackstart_controller.spec.faults.base import Held, Percent, Targeted
from blackstart_controller.spec.size import Size, format_size
from blackstart_controller.spec.types import Name, OneOf, Whole


class BusyCpu(Held):
    """So much of each core is used; without `cores`, of all of them."""

    fault: Literal["resources.cpu"]
    percent: Percent = 100
    cores: Annotated[int, Whole(1, 1024)] | None = None

    def words(self, time: str) -> str:
        cores = "every core" if self.cores is None else f"{self.cores} core{'s' * (self.cores > 1)}"
        return f"{self.percent}% of {cores} are kept busy for {time}"


class TakenMemory(Held, OneOf):
    """So much more memory is used, or so much of all there is."""

    CHOICES: ClassVar = ("size", "percent")
    fault: Literal["resources.memory"]
    size: Annotated[int, Size()] | None = None
    percent: Annotated[int, Whole(1, 95)] | None = None

    def words(self, time: str) -> str:
        if self.size is not None:
            return f"{format_size(self.size)} of memory are taken for {time}"
        return f"memory is taken until {self.percent}% of it are used, for {time}"


class BusyDisk(Held):
    """So many processes write to a volume and read from it, as fast as they can."""

    fault: Literal["resources.io"]
    volume: Name
    workers: Annotated[int, Whole(1, 64)] = 1
    size: Annotated[int, Size()] = 64 << 20

    def words(self, time: str) -> str:
        who = "one process writes" if self.workers == 1 else f"{self.workers} processes write"
        return f"{who} {format_size(self.size)} to the volume {self.volume}, again and again, for {time}"


class BusyCpuStep(BusyCpu, Targeted):
    pass


class TakenMemoryStep(TakenMemory, Targeted):
    pass


class BusyDiskStep(BusyDisk, Targeted):
    pass
