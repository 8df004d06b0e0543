"""disk.*: what happens to a volume that its host's policy.toml declares for it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from blackstart_controller.spec.faults.base import Held, Percent, Targeted
from blackstart_controller.spec.size import Size, format_size
from blackstart_controller.spec.types import Name, OneOf, Whole


class FullDisk(Held, OneOf):
    """So much more of the volume is used, or so much of it, or so many files more."""

    CHOICES: ClassVar = ("size", "percent", "inodes")
    fault: Literal["disk.fill"]
    volume: Name
    size: Annotated[int, Size()] | None = None
    percent: Percent | None = None
    inodes: Annotated[int, Whole(1, 1_000_000)] | None = None

    def words(self, time: str) -> str:
        if self.size is not None:
            return f"{format_size(self.size)} of the volume {self.volume} are taken for {time}"
        if self.inodes is not None:
            return f"{self.inodes} inodes of the volume {self.volume} are taken for {time}"
        return f"the volume {self.volume} is filled until {self.percent}% of it are used, for {time}"


class FullDiskStep(FullDisk, Targeted):
    pass
