"""The simulated fleet as the benchmark sees it: some swarm processes, asked together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.children import CLIENT_CORE, Talker, wait_until

PROCESSES = 2
CONNECT_LIMIT_S = 90.0
RECEIVE_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How many agents, the first and the last moment, CLOCK_MONOTONIC."""

    count: int
    first_ns: int
    last_ns: int


class Swarms:
    def __init__(self, members: list[Talker], agents: int) -> None:
        self._members = members
        self.agents = agents

    def seen(self, what: str) -> Seen:
        """`what`: welcome, resolved or reverted."""
        command = "state" if what == "welcome" else "seen"
        parts = [member.ask(command)[what] for member in self._members]
        firsts = [part["first_ns"] for part in parts if part["count"]]
        return Seen(
            count=sum(part["count"] for part in parts),
            first_ns=min(firsts, default=0),
            last_ns=max(part["last_ns"] for part in parts),
        )

    def reset(self) -> None:
        for member in self._members:
            member.ask("reset")

    def wait_all(self, what: str, limit_s: float = RECEIVE_LIMIT_S) -> Seen:
        wait_until(
            f"{what}: all {self.agents} agents", lambda: self.seen(what).count == self.agents, limit_s=limit_s
        )
        return self.seen(what)

    def wait_connected(self) -> Seen:
        return self.wait_all("welcome", CONNECT_LIMIT_S)

    def wait_back(self, since_ns: int, limit_s: float) -> Seen:
        """Who is connected when all have come back since then, or after `limit_s`."""
        deadline_s = time.monotonic() + limit_s
        seen = self.seen("welcome")
        while (seen.count < self.agents or seen.first_ns < since_ns) and time.monotonic() < deadline_s:
            time.sleep(0.02)
            seen = self.seen("welcome")
        return seen


@contextmanager
def swarms(certs: Path, address: str, agents: int) -> Iterator[Swarms]:
    """`agents` simulated agents dial `address` until the block ends."""
    bounds = [agents * number // PROCESSES for number in range(PROCESSES + 1)]
    members: list[Talker] = []
    try:
        for first, end in pairwise(bounds):
            arguments = (str(certs), address, str(first), str(end - first))
            members.append(Talker("swarm", *arguments, core=CLIENT_CORE))
        yield Swarms(members, agents)
    finally:
        for member in members:
            member.close()
