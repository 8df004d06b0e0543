"""Schedules in memory, for virtual time: it outlives the controller that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from blackstart_controller.schedule.model import Calendar, DueRow, DueState, Schedule


class MemorySchedules:
    """Implements `schedule.ports.ScheduleStore`."""

    def __init__(self) -> None:
        self.kept: dict[str, Schedule] = {}
        self.removed: set[str] = set()
        self.rows: dict[tuple[str, datetime], DueRow] = {}
        self.blackouts: dict[str, Calendar] = {}
        self._claimed: dict[tuple[str, datetime], DueRow] = {}
        self._last_run: dict[str, str | None] = {}

    async def add(self, schedule: Schedule) -> bool:
        if any(one.name == schedule.name for one in await self.schedules()):
            return False
        self.kept[schedule.id] = schedule
        return True

    async def schedules(self) -> Sequence[Schedule]:
        return sorted(
            (one for one in self.kept.values() if one.id not in self.removed), key=lambda one: one.name
        )

    async def change(self, schedule: Schedule) -> bool:
        kept = self.kept[schedule.id]
        if kept.revision != schedule.revision or schedule.id in self.removed:
            return False
        self.kept[schedule.id] = replace(schedule, revision=kept.revision + 1, dealt_until=kept.dealt_until)
        return True

    async def remove(self, schedule: Schedule) -> None:
        self.removed.add(schedule.id)

    async def deal(self, schedule: Schedule, rows: Sequence[DueRow], dealt_until: datetime) -> bool:
        kept = self.kept[schedule.id]
        if kept.revision != schedule.revision or schedule.id in self.removed:
            return False
        self.kept[schedule.id] = replace(kept, revision=kept.revision + 1, dealt_until=dealt_until)
        for row in rows:
            self._keep(row)
        return True

    def _keep(self, row: DueRow) -> None:
        key = (row.schedule_id, row.due)
        if key not in self.rows:
            self.rows[key] = row
            if row.state == DueState.CLAIMED:
                self._claimed[key] = row

    async def settle(self, row: DueRow) -> None:
        if self._claimed.pop((row.schedule_id, row.due), None) is not None:
            self.rows[row.schedule_id, row.due] = row
            self._last_run[row.schedule_id] = row.run_id or self._last_run.get(row.schedule_id)

    async def claims(self) -> Sequence[DueRow]:
        return sorted(self._claimed.values(), key=lambda row: row.due)

    async def outcomes(self, schedule_id: str, limit: int = 10) -> Sequence[DueRow]:
        mine = (row for row in self.rows.values() if row.schedule_id == schedule_id)
        return sorted(mine, key=lambda row: row.due, reverse=True)[:limit]

    async def last_run(self, schedule_id: str) -> str | None:
        return self._last_run.get(schedule_id)

    async def save_calendar(self, calendar: Calendar) -> None:
        self.blackouts[calendar.name] = calendar

    async def calendars(self) -> Sequence[Calendar]:
        return list(self.blackouts.values())

    async def remove_calendar(self, name: str) -> None:
        del self.blackouts[name]
