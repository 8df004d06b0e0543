"""What schedules need of the rest of the controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.planning import PlanAnswer
from blackstart_controller.schedule.model import Calendar, DueRow, Schedule
from blackstart_controller.spec.document import Document
from blackstart_controller.store.model import RunRow


class Starter(Protocol):
    """What it needs of the runs."""

    async def plan(self, document: Document) -> PlanAnswer: ...

    async def start(self, launch: Launch) -> str: ...

    async def wait(self, run_id: str) -> None: ...


class RunStore(Protocol):
    """What it needs of the store of runs."""

    async def run(self, run_id: str) -> RunRow | None: ...

    async def run_by_key(self, idempotency_key: str) -> RunRow | None: ...


class ScheduleStore(Protocol):
    """Every method that changes something returns when the change is durable."""

    async def add(self, schedule: Schedule) -> bool:
        """False: there is one of this name."""
        ...

    async def schedules(self) -> Sequence[Schedule]:
        """All but the removed ones, by name."""
        ...

    async def change(self, schedule: Schedule) -> bool:
        """Store who armed it, and how, and who paused it; False when it is not at this revision any more."""
        ...

    async def remove(self, schedule: Schedule) -> None:
        """It is not listed any more and its name is free; the outcomes stay. Its claims stay claims."""
        ...

    async def deal(self, schedule: Schedule, rows: Sequence[DueRow], dealt_until: datetime) -> bool:
        """Store the outcomes and claims, all or none; False when it is not at this revision any more."""
        ...

    async def settle(self, row: DueRow) -> None:
        """The claim has become a run, or was skipped."""
        ...

    async def claims(self) -> Sequence[DueRow]:
        """Due times that are claimed, of all schedules, oldest first; also of removed ones."""
        ...

    async def outcomes(self, schedule_id: str, limit: int = 10) -> Sequence[DueRow]:
        """Newest first."""
        ...

    async def last_run(self, schedule_id: str) -> str | None:
        """The run of the newest due time that was run."""
        ...

    async def save_calendar(self, calendar: Calendar) -> None: ...

    async def calendars(self) -> Sequence[Calendar]: ...

    async def remove_calendar(self, name: str) -> None: ...


class Alarms(Protocol):
    """Wakes somebody at a moment. Nothing is kept: they are set anew from the table after each start."""

    def start(self, ring: Callable[[], None]) -> None: ...

    def set(self, key: str, at: datetime) -> None:
        """Ring at `at`, and not at another moment that was set for `key` before."""
        ...

    def drop(self, key: str) -> None: ...

    def close(self) -> None: ...
