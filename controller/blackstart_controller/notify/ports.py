"""What the rest of the controller asks of notifications: say it once, durably."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that somebody outside may want to know.

    `type` in words with dots: `run.started`, `run.ended`, `run.awaiting_approval`, `run.unreverted`,
    `schedule.skipped`, `lever.engaged`, `lever.released`, `gameday.reminder`, `gameday.report`.
    `subject` is what it is about (`run/ID`).
    `text` is for people, without secrets; `data` is plain JSON, for programs.
    `id`: what has the same id is delivered once, however often it is published; empty: it is new.
    `at`: ISO 8601, when it happened; empty: now. A target that was added later does not hear of it.
    """

    type: str
    subject: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    at: str = ""


class Notifier(Protocol):
    async def publish(self, notice: Notice) -> None:
        """The notice will be delivered to every target that wants it, also after a restart. Never raises."""
        ...


class Nobody:
    """Nobody wants to know."""

    async def publish(self, notice: Notice) -> None:
        return None
