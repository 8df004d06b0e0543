"""A host's place in the network, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from blackstart_agent.host.ports.network import Connection


@dataclass
class FakeNetwork:
    names: tuple[str, ...] = ("eth0",)
    own: tuple[str, ...] = ("10.1.0.3", "fd00:1::3")
    gateway: str = "10.1.0.1"

    def interfaces(self) -> Sequence[str]:
        return self.names

    def gateways(self, address: str) -> Sequence[str]:
        return (self.gateway,)

    def addresses(self) -> Sequence[str]:
        return self.own


@dataclass
class FakeConnections:
    """`immortal`: those that cannot be ended."""

    content: list[Connection] = field(default_factory=list, compare=False)
    immortal: set[Connection] = field(default_factory=set, compare=False)

    def check(self) -> None:
        """A fake connection can always be ended."""

    def established(self, wanted: Callable[[Connection], bool]) -> Sequence[Connection]:
        return [one for one in self.content if wanted(one)]

    def destroy(self, found: Sequence[Connection]) -> None:
        self.content = [one for one in self.content if one not in found or one in self.immortal]


@dataclass
class FakeQueues:
    """`marks`: nf_tables has no queues here, so marks must lead into them."""

    content: set[int] = field(default_factory=set)
    marks: bool = field(default=False, compare=False)

    def check(self) -> None:
        """A fake kernel has queues."""

    def by_mark(self) -> bool:
        return self.marks

    def lead(self, queue: int) -> None:
        self.content.add(queue)

    def unlead(self, queue: int) -> None:
        self.content.discard(queue)

    def led(self, queue: int) -> bool:
        return queue in self.content

    def manual(self, queue: int) -> tuple[str, ...]:
        return (f"fake-queues unlead {queue}",)
