"""What game days need of the store and of the lever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from blackstart_controller.gameday.model import Decide, GameDay, Kept, NewEntry


class GameDayStore(Protocol):
    """Implemented in SQL by `store.gamedays`. Every change is durable on return."""

    async def create(self, row: GameDay, entry: NewEntry, at: str) -> GameDay:
        """The day under its id, or, when that is taken, under the id with -2, -3 … behind it."""
        ...

    async def all(self) -> Sequence[GameDay]:
        """By window, the latest first."""
        ...

    async def find(self, gameday_id: str) -> Kept | None: ...

    async def change(self, gameday_id: str, decide: Decide, at: str) -> Kept | None:
        """Ask `decide` about the day as it is at this moment, and write what it says, in one transaction.

        Its errors are raised here, and then nothing is written. None: there is no such day.
        """
        ...


class LeverState(Protocol):
    @property
    def reason(self) -> str: ...


class LeverPort(Protocol):
    def engaged(self) -> LeverState | None: ...
