"""What faults may ask of a host's network besides nf_tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Network(Protocol):
    def interfaces(self) -> Sequence[str]:
        """Names of the interfaces that lead out of this host (everything but loopback)."""
        ...

    def gateways(self, address: str) -> Sequence[str]:
        """Next hops towards `address`, or the address itself when it is on a link of this host."""
        ...

    def addresses(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """An established TCP connection of this host: addresses without zones, and ports."""

    own: str
    own_port: int
    peer: str
    peer_port: int


class Connections(Protocol):
    def check(self) -> None:
        """Raises Unsupported when this kernel cannot end connections."""
        ...

    def established(self, wanted: Callable[[Connection], bool]) -> Sequence[Connection]:
        """Those that `wanted` picks."""
        ...

    def destroy(self, found: Sequence[Connection]) -> None:
        """Both ends are told that the connection is aborted. One that is gone already is fine."""
        ...


class Queues(Protocol):
    """How packets get into the queue that a worker reads."""

    def check(self) -> None:
        """Raises Unsupported when this kernel has no such queues."""
        ...

    def by_mark(self) -> bool:
        """Whether nf_tables cannot do it itself here, so that `lead` must be used."""
        ...

    def lead(self, queue: int) -> None:
        """Packets with the mark `queue` go into that queue, or pass when nobody reads it. May be repeated."""
        ...

    def unlead(self, queue: int) -> None:
        """They do so no more. May be repeated."""
        ...

    def led(self, queue: int) -> bool: ...

    def manual(self, queue: int) -> tuple[str, ...]:
        """The shell commands that do `unlead` by hand."""
        ...
