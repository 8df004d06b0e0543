"""What every fault of a document has: how long it holds, when it begins, whom it hits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

from pydantic import Field

from blackstart_controller.spec.types import Between, HostSelector, OneOf, Strict, Whole

MAX_HOLD: Final = "24h"
MAX_NAMED: Final = 8  # of a list in a sentence; it is to be read

Count = Annotated[int, Whole(1, 100_000)]
Percent = Annotated[int, Whole(1, 100)]


class Pick(OneOf):
    """How many of the selected hosts: chosen by the seed. A percentage is rounded up, so never none."""

    CHOICES: ClassVar = ("count", "percent")
    count: Count | None = None
    percent: Percent | None = None


class Held(Strict):
    """Every fault ends by itself, `for` after it began. A kind adds `fault`, a Literal of its dotted name."""

    hold_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(alias="for")

    @abstractmethod
    def words(self, time: str) -> str:
        """Return what happens to a host, as the end of a sentence; `time` is `for` in words."""


class Later(Strict):
    """Every step may begin `at` later than its neighbours: after T0, or after what it stands in began."""

    at_ms: Annotated[int, Between("0s", MAX_HOLD)] = Field(default=0, alias="at")


class Targeted(Later):
    """A step that selects its hosts by their labels."""

    on: HostSelector
    pick: Pick | None = None


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return `a, b and c`; of more than eight the rest is counted."""
    if len(words) > MAX_NAMED:
        words = [*words[:MAX_NAMED], f"{len(words) - MAX_NAMED} more"]
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)
