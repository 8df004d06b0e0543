"""network.dns: what this host asks of name servers elsewhere fails, for some names or for all."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults import cut
from blackstart_agent.faults.base import word
from blackstart_agent.faults.packets import Protocol
from blackstart_agent.faults.shape import Shaped, check_delay, queue_of
from blackstart_agent.host.ports import Host

PORT = 53
MAX_NAMES = 100
MAX_NAME = 255  # characters, as of a name itself (RFC 1035, 2.3.4)
MAX_ADDRESSES = 16  # so that an answer still fits into 512 bytes
FAILURES = {
    "silent": "gets no answer",
    "nxdomain": "is told that there is no such name (NXDOMAIN)",
    "servfail": "is told that the server failed (SERVFAIL)",
    "slow": "gets its answer later",
    "wrong": "gets wrong addresses",
}


@dataclass(frozen=True, slots=True)
class NetworkDns(Shaped):
    """`names`: up to 100 shell-style patterns, in any case; none: every name.

    Queries over UDP and their answers are hit, as they pass between this host and others: what a cache on
    this host knows already it goes on answering. DNS over TCP is refused, whatever the name, unless `slow`.
    """

    kind: ClassVar[str] = "network.dns"
    load: ClassVar[str] = "dns"
    names: tuple[str, ...] = ()
    failure: str = ""
    delay_ms: float = 0.0
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Shaped.__post_init__(self)
        if self.failure not in FAILURES:
            known = ", ".join(FAILURES)
            raise InvalidOrder(f'{self.kind}: failure must be one of {known}, got "{self.failure}"')
        if len(self.names) > MAX_NAMES or not all(0 < len(name) <= MAX_NAME for name in self.names):
            raise InvalidOrder(f"{self.kind}: names: at most {MAX_NAMES}, of 1 to {MAX_NAME} characters each")
        if self.failure == "slow":
            check_delay(self.kind, "delay_ms", self.delay_ms, 0.1)
        elif self.delay_ms:
            raise InvalidOrder(f"{self.kind}: delay_ms is for slow answers only, got {self.failure}")
        self._check_addresses()

    def _check_addresses(self) -> None:
        least, most = (1, MAX_ADDRESSES) if self.failure == "wrong" else (0, 0)
        if not least <= len(self.addresses) <= most:
            raise InvalidOrder(
                f"{self.kind}: {least} to {most} addresses go with {self.failure}, got {len(self.addresses)}"
            )
        for address in self.addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                raise InvalidOrder(f"{self.kind}: {error}") from error

    @classmethod
    def of(cls, spec: pb.NetworkDns) -> Self:
        return cls.asked(
            tuple(spec.names), word(cls.kind, spec, "failure"), spec.delay_ms, tuple(spec.addresses)
        )

    @classmethod
    def asked(
        cls, names: tuple[str, ...], failure: str, delay_ms: float = 0.0, addresses: tuple[str, ...] = ()
    ) -> Self:
        return cls(
            (),
            (PORT,),
            all=True,
            protocol=Protocol.UDP,
            names=names,
            failure=failure,
            delay_ms=delay_ms,
            addresses=addresses,
        )

    @property
    def longest_ms(self) -> int:
        return round(self.delay_ms) + 1

    @property
    def effect(self) -> str:
        who = f"who asks for {', '.join(self.names)}" if self.names else "who asks for any name"
        later = f" by {self.delay_ms:g} ms" if self.delay_ms else ""
        return f"{who} {FAILURES[self.failure]}{later}; both ways"

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        refused = () if self.failure == "slow" else (f"tcp dport {PORT}",)
        by_mark = host.queues.by_mark()
        return "inet", cut.queue_table(made, queue_of(made.table), by_mark=by_mark, refused=refused)

    def parameters(self) -> dict[str, int | str]:
        return {
            "names": "\n".join(self.names),
            "failure": self.failure,
            "delay_us": round(self.delay_ms * 1000),
            "addresses": "\n".join(self.addresses),
        }
