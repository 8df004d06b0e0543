"""What control needs of a store. Implemented in SQL by `store/control.py`, and in memory by `control.memory`.

Whatever changes something takes the event that tells of it, and stores both in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from blackstart_controller.control.model import ControlEvent, Environment
from blackstart_controller.security.ports import StoredToken


@dataclass(frozen=True, slots=True)
class RecentRun:
    """A run as the daily limit counts it."""

    environments: tuple[str, ...]
    state: str
    exit_code: int | None


class ControlStore(Protocol):
    async def environments(self) -> Sequence[Environment]:
        """By name."""
        ...

    async def set_environment(self, environment: Environment, event: ControlEvent) -> None:
        """New, or in place of the one with this name."""
        ...

    async def remove_environment(self, name: str, event: ControlEvent) -> bool:
        """False, and no event, when there is none."""
        ...

    async def add_operator(self, token: StoredToken, event: ControlEvent) -> bool:
        """False, and no event, when this name has a token already that is good after `token.created_s`."""
        ...

    async def remove_operator(self, name: str, event: ControlEvent) -> Sequence[str]:
        """The digests of all tokens of `name`, which are gone now; none of them, no event."""
        ...

    async def record(self, event: ControlEvent) -> None: ...

    async def events(self, limit: int = 200) -> Sequence[ControlEvent]:
        """The last ones, the oldest first."""
        ...

    async def last_of(self, subject: str) -> ControlEvent | None: ...

    async def recent_runs(self, since: str) -> Sequence[RecentRun]:
        """Of every trigger, created at `since` or later."""
        ...
