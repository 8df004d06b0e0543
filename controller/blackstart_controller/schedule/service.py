"""Schedules and calendars as the API asks for them."""

from __future__ import annotations

import asyncio
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from blackstart_controller.errors import NoTargets, NotFound, Refused, UsageError
from blackstart_controller.runs.clock import Clock
from blackstart_controller.schedule.blackout import check_calendar
from blackstart_controller.schedule.due import HORIZON, dues, next_due
from blackstart_controller.schedule.judge import forbidden
from blackstart_controller.schedule.model import Calendar, Due, DueRow, Schedule
from blackstart_controller.schedule.ports import ScheduleStore, Starter
from blackstart_controller.schedule.waker import Waker
from blackstart_controller.schedule.words import check_name, spec_of
from blackstart_controller.spec.document import Document

MAX_NEXT = 100
HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Coming:
    """A due time that lies ahead, and why it would be skipped as things are now."""

    due: Due
    skip: str | None


class Schedules:
    """Every change is durable on return, and the waker has looked at it."""

    def __init__(self, store: ScheduleStore, runs: Starter, clock: Clock, waker: Waker) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock
        self._waker = waker

    async def add(
        self, name: str, words: Mapping[str, Any], document: Document, by: str
    ) -> tuple[Schedule, list[str]]:
        """A disarmed schedule, and warnings of what would be refused if it were run now."""
        check_name("schedule", name)
        spec = await asyncio.to_thread(spec_of, words, secrets.randbits(63))
        known = {calendar.name for calendar in await self._store.calendars()}
        if unknown := sorted(set(spec.calendars) - known):
            raise UsageError(
                f"schedule {name}: there is no calendar {', '.join(unknown)}; "
                "import it: blackstart calendar import NAME FILE.ics"
            )
        now = self._clock.wall()
        made = Schedule(str(uuid.uuid4()), name, document, words, spec, by, now, now)
        if await asyncio.to_thread(next_due, spec, now) is None:
            raise UsageError(f"schedule {name}: it would never run: nothing is due within eight years")
        warnings = await self._warnings(document)
        if not await self._store.add(made):
            raise Refused(
                f"schedule {name}: there is one of this name; remove it first, or take another name"
            )
        await self._waker.look()
        return made, warnings

    async def all(self) -> Sequence[Schedule]:
        return await self._store.schedules()

    async def get(self, name: str) -> Schedule:
        for schedule in await self._store.schedules():
            if schedule.name == name:
                return schedule
        raise NotFound(f"schedule {name}: there is none; `blackstart schedule list` shows all")

    async def outcomes(self, schedule: Schedule, limit: int) -> Sequence[DueRow]:
        return await self._store.outcomes(schedule.id, limit)

    async def next(self, schedule: Schedule, count: int) -> list[Coming]:
        calendars = {calendar.name: calendar for calendar in await self._store.calendars()}
        return await asyncio.to_thread(_coming, schedule, calendars, count)

    async def arm(
        self, name: str, by: str, *, approver: bool = False, plan_hash: str | None = None
    ) -> Schedule:
        """Due times start runs. An `approver` who is not its maker is the second person that a run may need.

        With `plan_hash` only that plan is run: what a protected environment asks for.
        """
        if plan_hash is not None and HASH.fullmatch(plan_hash) is None:
            raise UsageError(
                f"plan hash {plan_hash[:80]!r}: 8 to 64 hexadecimal digits, as `blackstart plan` says"
            )
        schedule = await self.get(name)
        approved_by = by if approver and by != schedule.created_by else None
        return await self._change(name, armed_by=by, approved_by=approved_by, plan_hash=plan_hash)

    async def disarm(self, name: str) -> Schedule:
        return await self._change(name, armed_by=None, approved_by=None, plan_hash=None)

    async def pause(self, name: str, by: str, reason: str) -> Schedule:
        return await self._change(name, paused_by=by, pause_reason=reason)

    async def resume(self, name: str) -> Schedule:
        return await self._change(name, paused_by=None, pause_reason="")

    async def remove(self, name: str) -> None:
        await self._store.remove(await self.get(name))
        await self._waker.look()

    async def _change(self, name: str, **changes: str | None) -> Schedule:
        """What came before the change is dealt with as it was before."""
        while True:
            await self._waker.look()
            schedule = await self.get(name)
            if await self._store.change(replace(schedule, **changes)):  # type: ignore[arg-type]
                await self._waker.look()
                return await self.get(name)

    async def _warnings(self, document: Document) -> list[str]:
        """Planned once: InvalidDocument comes now, and not in the night."""
        try:
            answer = await self._runs.plan(document)
        except NoTargets as error:
            return [str(error)]
        refusals = [f"{one['host']}: {text}" for one in answer.answers for text in one.get("refusals", ())]
        nothing = [] if answer.plan.orders else ["no target matches now"]
        return [*nothing, *answer.plan.errors, *refusals]

    # ---- calendars ----

    async def import_calendar(self, name: str, text: str, by: str) -> int:
        """The number of its events. An older calendar of this name is replaced."""
        check_name("calendar", name)
        now = self._clock.wall()
        events = await asyncio.to_thread(check_calendar, name, text, now)
        await self._store.save_calendar(Calendar(name, text, by, now))
        return events

    async def calendars(self) -> Sequence[Calendar]:
        return await self._store.calendars()

    async def calendar(self, name: str) -> Calendar:
        for calendar in await self._store.calendars():
            if calendar.name == name:
                return calendar
        raise NotFound(f"calendar {name}: there is none; `blackstart calendar list` shows all")

    async def remove_calendar(self, name: str) -> None:
        await self.calendar(name)
        users = [one.name for one in await self._store.schedules() if name in one.spec.calendars]
        if users:
            raise Refused(
                f"calendar {name}: {', '.join(users)} must not run in it; remove the schedules first"
            )
        await self._store.remove_calendar(name)


def _coming(schedule: Schedule, calendars: Mapping[str, Calendar], count: int) -> list[Coming]:
    found = islice(dues(schedule.spec, schedule.dealt_until, schedule.dealt_until + HORIZON), count)
    return [
        Coming(due, due.note if due.lost else forbidden(schedule.spec, calendars, due.starts))
        for due in found
    ]
