"""network.*: what happens to the packets between the targets and others."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from blackstart_controller.spec.faults.base import Held, Targeted, listed
from blackstart_controller.spec.share import Share
from blackstart_controller.spec.types import Cidr, HostSelector, Name, OneOf, Port


class PeerSet(OneOf):
    """The other side of a partition."""

    CHOICES: ClassVar = ("site", "hosts", "cidr")
    site: Name | None = None
    hosts: HostSelector | None = None
    cidr: tuple[Cidr, ...] | None = Field(default=None, min_length=1, max_length=1000)

    def words(self) -> str:
        if self.site is not None:
            return f"the site {self.site}"
        return f"the hosts with {self.hosts}" if self.hosts is not None else listed(self.cidr or ())


class Packets(Held):
    """Which packets are hit; `direction` is seen from the targets."""

    ports: tuple[Port, ...] = Field(default=(), max_length=1000)
    direction: Literal["both", "in", "out"] = "both"

    @abstractmethod
    def others(self) -> PeerSet | None:
        """Return the other side; None: everybody."""

    def whose(self) -> str:
        """Return which packets they are, in words."""
        ways = {"both": "to and from", "in": "coming from", "out": "going to"}[self.direction]
        ports = f" (ports {listed([*map(str, self.ports)])})" if self.ports else ""
        peers = self.others()
        return f"{ways} {'everybody' if peers is None else peers.words()}{ports}"


class Cut(Packets):
    """The path between the targets and `from` is cut."""

    fault: Literal["network.partition"]
    peers: PeerSet = Field(alias="from")
    verdict: Literal["drop", "reject"] = "drop"

    def others(self) -> PeerSet:
        return self.peers

    def words(self, time: str) -> str:
        return f"everything {self.whose()} is lost for {time}"


class Blackhole(Packets):
    """What goes between the targets and `from`, or everybody, vanishes."""

    fault: Literal["network.blackhole"]
    peers: PeerSet | None = Field(default=None, alias="from")

    def others(self) -> PeerSet | None:
        return self.peers

    def words(self, time: str) -> str:
        return f"everything {self.whose()} vanishes for {time}"


class Loss(Packets):
    """A share of what goes between the targets and `from`, or everybody, is lost."""

    fault: Literal["network.loss"]
    peers: PeerSet | None = Field(default=None, alias="from")
    percent: Annotated[float, Share()]

    def others(self) -> PeerSet | None:
        return self.peers

    def words(self, time: str) -> str:
        return f"{self.percent:g}% of the packets {self.whose()} are lost for {time}"


class Partition(Cut, Targeted):
    pass


class BlackholeStep(Blackhole, Targeted):
    pass


class LossStep(Loss, Targeted):
    pass
