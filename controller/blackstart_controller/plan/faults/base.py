"""What a fault of a plan is: frozen data that becomes the message of its kind field by field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from blackstart_controller.plan.fleet import FleetSnapshot, HostView

MAX_NAMED = 6  # of a list in a cell of a table


@dataclass(frozen=True, slots=True)
class PlannedFault(ABC):
    """One fault without its host and its time. A subclass per kind, its fields named as in `faults.proto`.

    `kind` is the dotted name. Texts of a field that is an enum there are the value's name without its
    prefix, in small letters.
    """

    @classmethod
    @abstractmethod
    def of(cls, spec: Any, fleet: FleetSnapshot) -> Self:
        """Return what a document asks for: no selector of hosts and no name of a site is left in it."""

    def for_host(self, host: HostView, seed: int) -> Self:
        """Return what of it is for this host; `seed` is this step's and this host's own."""
        return self

    @abstractmethod
    def what(self) -> str:
        """Return its parameters in a few words, for a table."""


def few(names: Sequence[str]) -> str:
    """Return at most six names, and how many more there are."""
    shown = ", ".join(names[:MAX_NAMED])
    return f"{shown} and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else shown or "-"
