"""How long to wait before dialling again: full jitter, so that a fleet does not return as one wave."""

from __future__ import annotations

import random

FIRST_S = 0.1
CAP_S = 5.0


class Backoff:
    """Waits are drawn evenly from 0 to a limit of 0.1 s that doubles up to 5 s."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def next_s(self) -> float:
        limit_s = min(CAP_S, FIRST_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return self._rng.uniform(0.0, limit_s)

    def reset(self) -> None:
        self._failures = 0
