"""The alarms, by APScheduler: one job a schedule, in memory, for its next due time.

Its own cron trigger and stores are not used: the one counts days from Monday as 0 and fires twice on autumn
nights, the others unpickle what is in the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

logging.getLogger("apscheduler").setLevel(logging.WARNING)  # each alarm would be two lines
# All that can go wrong with a job that only rings is that it is cancelled when the controller stops.
logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)


class ApschedulerAlarms:
    """Implements `schedule.ports.Alarms`."""

    def __init__(self) -> None:
        self._scheduler: Any = AsyncIOScheduler(timezone=UTC, jobstores={"default": MemoryJobStore()})
        self._ring: Callable[[], None] | None = None
        self._set: dict[str, datetime] = {}

    def start(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._scheduler.start()

    def set(self, key: str, at: datetime) -> None:
        if self._set.get(key) != at:
            self._set[key] = at
            self._scheduler.add_job(
                self._rung,
                DateTrigger(at),
                args=[key],
                id=key,
                replace_existing=True,
                misfire_grace_time=None,  # by default a second late is too late, and says so only in a log
                coalesce=True,
            )

    def drop(self, key: str) -> None:
        if self._set.pop(key, None) is not None:
            self._scheduler.remove_job(key)

    def close(self) -> None:
        self._scheduler.shutdown(wait=False)

    async def _rung(self, key: str) -> None:
        """A coroutine, or APScheduler would take a thread. APScheduler has removed the job by now."""
        self._set.pop(key, None)
        if self._ring is not None:
            self._ring()
