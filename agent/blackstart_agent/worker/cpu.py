"""Processors are kept busy: one process for each, on for a share of every 50 ms and asleep for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from blackstart_agent.worker.children import Children

PERIOD_S = 0.05


@dataclass(frozen=True, slots=True)
class Cpu:
    """`percent` of each of `cores` processors, 1 to 100."""

    percent: int
    cores: int

    def begin(self, children: Children) -> None:
        for _ in range(self.cores):
            children.start(lambda: burn(self.percent))

    def status(self, children: Children) -> dict[str, int]:
        return {"running": children.running(), "cpu_ms": children.cpu_ms()}


def burn(percent: int, periods: int = 0, now: Callable[[], float] = time.monotonic) -> None:
    """Busy for `percent` of so many periods; 0: for ever."""
    begin = now()
    number = 0
    while not periods or number < periods:
        busy_until = begin + (number + percent / 100) * PERIOD_S
        while now() < busy_until:
            pass
        number += 1
        time.sleep(max(0.0, begin + number * PERIOD_S - now()))
