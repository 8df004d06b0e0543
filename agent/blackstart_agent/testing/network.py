"""A host's place in the network, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
