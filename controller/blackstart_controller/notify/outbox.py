"""What notifications ask of the store. Implemented over SQLite, and in memory for tests of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from blackstart_controller.notify.model import Change, Delivery, Stamped, Target


class Outbox(Protocol):
    """Every method that changes something returns when that is durable. Raises StoreFailed."""

    async def targets(self) -> Sequence[Target]:
        """By name."""
        ...

    async def add_target(self, target: Target, at_most: int) -> str | None:
        """Why the target was not added: the name is taken, or there are too many; or None."""
        ...

    async def remove_target(self, name: str, at: str) -> bool:
        """False: there was none. What waited for it is given up, and says so."""
        ...

    async def put(self, notices: Sequence[Stamped]) -> frozenset[str]:
        """The targets that have something new to hear. The same notice is stored once for a target."""
        ...

    async def waiting(self, target: str) -> Sequence[Delivery]:
        """Oldest first."""
        ...

    async def change(self, delivery_id: int, change: Change) -> None: ...

    async def merge(
        self,
        target: str,
        choose: Callable[[Sequence[Delivery]], Sequence[Delivery]],
        digest: Callable[[Sequence[Delivery]], Stamped],
    ) -> None:
        """Of all that wait for the target, what was chosen waits as one digest."""
        ...

    async def log(self, limit: int) -> Sequence[Delivery]:
        """Newest first."""
        ...

    async def prune(self, keep: int) -> None:
        """Only the newest `keep` rows, and whatever waits, remain."""
        ...
