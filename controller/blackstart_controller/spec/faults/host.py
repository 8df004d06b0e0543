"""host.* and site.*: what happens to whole hosts."""

from __future__ import annotations

from typing import Literal

from blackstart_controller.spec.faults.base import Held, Later, Targeted
from blackstart_controller.spec.types import Name

UnitsAre = Literal["kill", "freeze"]


class Dark(Held):
    """A host is cut off and its units are taken down."""

    units: UnitsAre = "kill"

    def words(self, time: str) -> str:
        units = {"kill": "killed", "freeze": "frozen"}[self.units]
        return f"the network is cut and all units are {units} for {time}"


class Blackout(Dark):
    """The host is cut off and its units are taken down."""

    fault: Literal["host.blackout"]


class HostBlackout(Blackout, Targeted):
    pass


class SiteBlackout(Dark, Later):
    """Every host of the site is cut off and its units are taken down, all at one moment."""

    fault: Literal["site.blackout"]
    site: Name
