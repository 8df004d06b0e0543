"""What delivers a notice to one kind of target."""

from __future__ import annotations

from typing import Protocol

from blackstart_controller.notify.model import Delivery, Outcome, Target


class Channel(Protocol):
    def refusal(self, url: str) -> str | None:
        """Why this URL cannot be a target, without repeating it; or None. Asks nobody."""
        ...

    def shown(self, url: str) -> str:
        """The URL without what is secret in it."""
        ...

    async def send(self, target: Target, delivery: Delivery) -> Outcome:
        """One attempt. The error in the outcome says why, without secrets."""
        ...
