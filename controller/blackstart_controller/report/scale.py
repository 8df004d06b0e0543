"""Seconds to picture units, and where the axis gets its marks."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis: `from_s` lies at `left`, `until_s` at `right`."""

    from_s: float
    until_s: float
    left: float
    right: float

    def x(self, seconds: float) -> float:
        """The place of a moment, held inside the picture."""
        inside = min(max(seconds, self.from_s), self.until_s)
        share = (inside - self.from_s) / (self.until_s - self.from_s)
        return round(self.left + share * (self.right - self.left), 2)

    def ticks(self, about: int = 8) -> list[float]:
        """Round moments, at most about so many, zero among them when it is inside."""
        rough = (self.until_s - self.from_s) / about
        magnitude = 10 ** math.floor(math.log10(rough))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
        first = math.ceil(self.from_s / step)
        last = math.floor(self.until_s / step)
        return [round(k * step, 6) for k in range(first, last + 1)]
