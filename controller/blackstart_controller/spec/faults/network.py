"""network.*: what happens to the packets between the targets and others."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from blackstart_controller.spec.faults.base import Held, Targeted, listed
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


class Cut(Held):
    """The path between the targets and `from` is cut; `direction` is seen from the targets."""

    fault: Literal["network.partition"]
    peers: PeerSet = Field(alias="from")
    ports: tuple[Port, ...] = Field(default=(), max_length=1000)
    direction: Literal["both", "in", "out"] = "both"
    verdict: Literal["drop", "reject"] = "drop"

    def words(self, time: str) -> str:
        ways = {"both": "to and from", "in": "coming from", "out": "going to"}[self.direction]
        ports = f" (ports {listed([*map(str, self.ports)])})" if self.ports else ""
        return f"everything {ways} {self.peers.words()}{ports} is lost for {time}"


class Partition(Cut, Targeted):
    pass
