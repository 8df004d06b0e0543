"""The faults of an experiment: what is broken (without `on`, as waves need it), and whom it hits."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from blackstart_controller.spec.types import (
    AbsolutePath,
    Between,
    Cidr,
    HostSelector,
    Name,
    OneOf,
    Port,
    Strict,
    Text,
    UnitName,
    Whole,
)

MAX_HOLD: Final = "24h"

Count = Annotated[int, Whole(1, 100_000)]
Percent = Annotated[int, Whole(1, 100)]


class Pick(OneOf):
    """How many of the selected hosts: chosen by the seed. A percentage is rounded up, so never none."""

    CHOICES: ClassVar = ("count", "percent")
    count: Count | None = None
    percent: Percent | None = None


class PeerSet(OneOf):
    """The other side of a partition."""

    CHOICES: ClassVar = ("site", "hosts", "cidr")
    site: Name | None = None
    hosts: HostSelector | None = None
    cidr: tuple[Cidr, ...] | None = Field(default=None, min_length=1, max_length=1000)


class Held(Strict):
    """Every fault ends by itself, `for` after it began."""

    hold_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(alias="for")


class Later(Strict):
    """Every step may begin `at` later than its neighbours: after T0, or after what it stands in began."""

    at_ms: Annotated[int, Between("0s", MAX_HOLD)] = Field(default=0, alias="at")


class Targeted(Later):
    """A step that selects its hosts by their labels."""

    on: HostSelector
    pick: Pick | None = None


# ---- what is broken -------------------------------------------------------------------------------


class Blackout(Held):
    """The host is cut off and its units are taken down."""

    fault: Literal["host.blackout"]
    units: Literal["kill", "freeze"] = "kill"


class Cut(Held):
    """The path between the targets and `from` is cut; `direction` is seen from the targets."""

    fault: Literal["network.partition"]
    peers: PeerSet = Field(alias="from")
    ports: tuple[Port, ...] = Field(default=(), max_length=1000)
    direction: Literal["both", "in", "out"] = "both"
    verdict: Literal["drop", "reject"] = "drop"


class OfProcess(Held, OneOf):
    """It hits processes, named by exactly one of these keys."""

    CHOICES: ClassVar = ("unit", "executable", "name")
    unit: UnitName | None = None
    executable: AbsolutePath | None = None
    name: Annotated[Text, Field(min_length=1, max_length=255)] | None = None


class Kill(OfProcess):
    """`for` is how long its effect is watched before it counts as over."""

    fault: Literal["process.kill"]


class Freeze(OfProcess):
    fault: Literal["process.pause"]


class Down(Held):
    """The units are stopped, held down, and started again at the end."""

    fault: Literal["unit.stop"]
    units: tuple[UnitName, ...] = Field(min_length=1, max_length=100)


# ---- what is broken, where ------------------------------------------------------------------------


class SiteBlackout(Held, Later):
    """Every host of the site is cut off and its units are taken down, all at one moment."""

    fault: Literal["site.blackout"]
    site: Name
    units: Literal["kill", "freeze"] = "kill"


class HostBlackout(Blackout, Targeted):
    pass


class Partition(Cut, Targeted):
    pass


class KillProcess(Kill, Targeted):
    pass


class PauseProcess(Freeze, Targeted):
    pass


class StopUnits(Down, Targeted):
    pass


FaultStep: TypeAlias = SiteBlackout | HostBlackout | Partition | KillProcess | PauseProcess | StopUnits
OnHosts: TypeAlias = Blackout | Cut | Kill | Freeze | Down
Breakage: TypeAlias = SiteBlackout | OnHosts
