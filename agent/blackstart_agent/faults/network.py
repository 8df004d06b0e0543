"""network.*: packets between this host and its peers are lost, refused or sent twice, by the kernel alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.faults import cut
from blackstart_agent.faults.base import word
from blackstart_agent.faults.packets import (
    Direction,
    OnAnybody,
    Packets,
    checked_share,
    direction_of,
    protocol_of,
)
from blackstart_agent.host.ports import Host


class Verdict(Enum):
    DROP = "dropped"
    REJECT = "rejected"


_VERDICTS = {"": Verdict.DROP, "drop": Verdict.DROP, "reject": Verdict.REJECT}


@dataclass(frozen=True, slots=True)
class NetworkPartition(Packets):
    """Packets between this host and `peers` are lost (drop) or refused (reject)."""

    kind: ClassVar[str] = "network.partition"
    verdict: Verdict = Verdict.DROP

    @classmethod
    def of(cls, spec: pb.NetworkPartition) -> Self:
        verdict = _VERDICTS[word(cls.kind, spec, "verdict")]
        direction, protocol = direction_of(cls.kind, spec), protocol_of(cls.kind, spec)
        return cls(tuple(spec.peers), tuple(spec.ports), direction, verdict, protocol=protocol)

    @property
    def effect(self) -> str:
        return self.verdict.value

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        drops = self.verdict is Verdict.DROP
        return ("netdev", cut.drop_table(made)) if drops else ("inet", cut.reject_table(made))


@dataclass(frozen=True, slots=True)
class NetworkBlackhole(OnAnybody):
    """Packets to and from `peers`, or everybody, vanish without a word; the control path stays open."""

    kind: ClassVar[str] = "network.blackhole"

    @classmethod
    def of(cls, spec: pb.NetworkBlackhole) -> Self:
        direction, protocol = direction_of(cls.kind, spec), protocol_of(cls.kind, spec)
        return cls(tuple(spec.peers), tuple(spec.ports), direction, spec.everybody, protocol=protocol)


@dataclass(frozen=True, slots=True)
class NetworkLoss(OnAnybody):
    """`percent` (0.001 to 100) of the packets to and from `peers`, or everybody, are lost, each by itself."""

    kind: ClassVar[str] = "network.loss"
    percent: float = 100.0

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        checked_share(self.kind, self.percent)

    @classmethod
    def of(cls, spec: pb.NetworkLoss) -> Self:
        direction, protocol = direction_of(cls.kind, spec), protocol_of(cls.kind, spec)
        some = tuple(spec.peers), tuple(spec.ports), direction, spec.everybody
        return cls(*some, spec.percent, protocol=protocol)

    @property
    def share(self) -> int:
        return checked_share(self.kind, self.percent)

    @property
    def effect(self) -> str:
        return f"{self.percent:g} % lost"


@dataclass(frozen=True, slots=True)
class NetworkDuplicate(OnAnybody):
    """`percent` (0.001 to 100) of the packets that this host sends to `peers`, or everybody, leave it twice.

    A host can send a packet twice; that one arrives twice, only its sender can bring about.
    """

    kind: ClassVar[str] = "network.duplicate"
    direction: Direction = Direction.OUT
    percent: float = 100.0

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        checked_share(self.kind, self.percent)

    @classmethod
    def of(cls, spec: pb.NetworkDuplicate) -> Self:
        some = tuple(spec.peers), tuple(spec.ports), Direction.OUT, spec.everybody
        return cls(*some, spec.percent, protocol=protocol_of(cls.kind, spec))

    @property
    def share(self) -> int:
        return checked_share(self.kind, self.percent)

    @property
    def effect(self) -> str:
        return f"{self.percent:g} % sent twice,"

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        return "netdev", cut.duplicate_table(made)
