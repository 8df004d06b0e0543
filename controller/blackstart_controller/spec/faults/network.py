"""network.*: what happens to the packets between the targets and others."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.faults.base import Held, Targeted, listed
from blackstart_controller.spec.rate import Rate, format_rate
from blackstart_controller.spec.share import Share
from blackstart_controller.spec.types import (
    Between,
    Cidr,
    HostSelector,
    IpAddress,
    Name,
    OneOf,
    Port,
    Text,
    invalid,
)


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
    """Which packets are hit, seen from the targets."""

    ports: tuple[Port, ...] = Field(default=(), max_length=1000)

    @abstractmethod
    def others(self) -> PeerSet | None:
        """Return the other side; None: everybody."""

    def way(self) -> str:
        return "to and from"

    def which(self) -> str:
        """Return what else tells the packets from others, in words."""
        return f" (ports {listed([*map(str, self.ports)])})" if self.ports else ""

    def whose(self) -> str:
        """Return which packets they are, in words."""
        peers = self.others()
        return f"{self.way()} {'everybody' if peers is None else peers.words()}{self.which()}"


class OfProtocol(Packets):
    protocol: Literal["tcp", "udp", "sctp", "icmp"] | None = None

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if self.ports and self.protocol == "icmp":
            raise invalid("ICMP has no ports; leave ports or protocol out")
        return self

    def which(self) -> str:
        ports = Packets.which(self)
        return f" over {self.protocol.upper()}{ports}" if self.protocol else ports


class Directed(OfProtocol):
    """`direction` is seen from the targets."""

    direction: Literal["both", "in", "out"] = "both"

    def way(self) -> str:
        return {"both": "to and from", "in": "coming from", "out": "going to"}[self.direction]


class Anybody(Packets):
    """Between the targets and `from`, or everybody."""

    peers: PeerSet | None = Field(default=None, alias="from")

    def others(self) -> PeerSet | None:
        return self.peers


class Cut(Directed):
    """The path between the targets and `from` is cut."""

    fault: Literal["network.partition"]
    peers: PeerSet = Field(alias="from")
    verdict: Literal["drop", "reject"] = "drop"

    def others(self) -> PeerSet:
        return self.peers

    def words(self, time: str) -> str:
        return f"everything {self.whose()} is lost for {time}"


class Blackhole(Directed, Anybody):
    fault: Literal["network.blackhole"]

    def words(self, time: str) -> str:
        return f"everything {self.whose()} vanishes for {time}"


class Reset(Anybody):
    """TCP connections are reset, new ones refused."""

    fault: Literal["network.reset"]

    def words(self, time: str) -> str:
        return f"TCP connections {self.whose()} are reset, and new ones refused, for {time}"


class Loss(Directed, Anybody):
    """A share is lost."""

    fault: Literal["network.loss"]
    percent: Annotated[float, Share()]

    def words(self, time: str) -> str:
        return f"{self.percent:g}% of the packets {self.whose()} are lost for {time}"


class Delay(Directed, Anybody):
    """Packets arrive later; in each direction."""

    fault: Literal["network.delay"]
    delay_ms: Annotated[int, Between("1ms", "1m")] = Field(alias="delay")
    jitter_ms: Annotated[int, Between("0ms", "1m")] = Field(default=0, alias="jitter")
    distribution: Literal["uniform", "normal", "pareto"] = "uniform"

    def words(self, time: str) -> str:
        jitter = f", more or less by {format_duration(self.jitter_ms)}" if self.jitter_ms else ""
        late = f"arrive {format_duration(self.delay_ms)} later{jitter}"
        return f"packets {self.whose()} {late}, for {time}"


class Reorder(Directed, Anybody):
    """A share overtakes the others, which wait for `delay`."""

    fault: Literal["network.reorder"]
    percent: Annotated[float, Share()]
    delay_ms: Annotated[int, Between("1ms", "1m")] = Field(default=10, alias="delay")

    def words(self, time: str) -> str:
        others = f"the others, which wait for {format_duration(self.delay_ms)}"
        return f"{self.percent:g}% of the packets {self.whose()} overtake {others}, for {time}"


class Corrupt(Directed, Anybody):
    """A share has one bit flipped."""

    fault: Literal["network.corrupt"]
    percent: Annotated[float, Share()]

    def words(self, time: str) -> str:
        return f"{self.percent:g}% of the packets {self.whose()} have a bit flipped, for {time}"


class Duplicate(OfProtocol, Anybody):
    """A share of what the targets send leaves them twice."""

    fault: Literal["network.duplicate"]
    percent: Annotated[float, Share()]

    def way(self) -> str:
        return "going to"

    def words(self, time: str) -> str:
        return f"{self.percent:g}% of the packets {self.whose()} are sent twice, for {time}"


class Bandwidth(Directed, Anybody):
    """All of them together get so much, in each direction."""

    fault: Literal["network.bandwidth"]
    rate: Annotated[int, Rate()]

    def words(self, time: str) -> str:
        return f"packets {self.whose()} get {format_rate(self.rate)} together, for {time}"


DnsPattern = Annotated[Text, Field(min_length=1, max_length=255)]


class Dns(Held):
    """What the targets ask of name servers elsewhere fails, for `names` or for every name."""

    fault: Literal["network.dns"]
    names: tuple[Annotated[Text, Field(min_length=1, max_length=255)], ...] = Field(
        default=(), max_length=100
    )
    failure: Literal["silent", "nxdomain", "servfail", "slow", "wrong"]
    delay_ms: Annotated[int, Between("1ms", "1m")] | None = Field(default=None, alias="delay")
    addresses: tuple[IpAddress, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.failure == "slow") != (self.delay_ms is not None):
            raise invalid("delay goes with failure: slow, and only with that")
        if (self.failure == "wrong") != bool(self.addresses):
            raise invalid("addresses go with failure: wrong, and only with that")
        return self

    def words(self, time: str) -> str:
        names = listed(self.names) if self.names else "any name"
        told = {
            "silent": "get no answer",
            "nxdomain": "are told that there is no such name",
            "servfail": "are told that the server failed",
            "slow": f"get their answer {format_duration(self.delay_ms or 0)} later",
            "wrong": f"are sent to {listed(self.addresses)}",
        }
        return f"questions for {names} {told[self.failure]}, for {time}"


class Partition(Cut, Targeted):
    pass


class BlackholeStep(Blackhole, Targeted):
    pass


class ResetStep(Reset, Targeted):
    pass


class LossStep(Loss, Targeted):
    pass


class DelayStep(Delay, Targeted):
    pass


class ReorderStep(Reorder, Targeted):
    pass


class CorruptStep(Corrupt, Targeted):
    pass


class DuplicateStep(Duplicate, Targeted):
    pass


class BandwidthStep(Bandwidth, Targeted):
    pass


class DnsStep(Dns, Targeted):
    pass
