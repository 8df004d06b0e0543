"""Schedules, what became of each due time, and calendars, in SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from blackstart_controller.runs.clock import iso
from blackstart_controller.schedule.model import Calendar, DueRow, DueState, Schedule, Spec
from blackstart_controller.schedule.words import spec_of
from blackstart_controller.spec.document import Document
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import METADATA

SCHEDULES = Table(
    "schedules",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("dealt_until", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("armed_by", Text),
    Column("approved_by", Text),
    Column("plan_hash", Text),
    Column("paused_by", Text),
    Column("pause_reason", Text, nullable=False),
    Column("removed", Integer, nullable=False),
    Index("schedules_name", "name", unique=True, sqlite_where=sql("removed = 0")),
    sqlite_strict=True,
)

DUES = Table(
    "schedule_dues",
    METADATA,
    Column("schedule_id", Text, ForeignKey("schedules.id"), primary_key=True),
    Column("due", Text, primary_key=True),
    Column("starts", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("run_id", Text),
    Column("decided", Text, nullable=False),
    Index("schedule_dues_state", "state"),
    sqlite_strict=True,
)

CALENDARS = Table(
    "calendars",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("imported_by", Text, nullable=False),
    Column("imported", Text, nullable=False),
    sqlite_strict=True,
)


class SqlSchedules:
    """Implements `schedule.ports.ScheduleStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def add(self, schedule: Schedule) -> bool:
        row = insert(SCHEDULES).values(_schedule_values(schedule)).on_conflict_do_nothing()
        return await self._changed(row) == 1

    async def schedules(self) -> Sequence[Schedule]:
        query = select(SCHEDULES).where(SCHEDULES.c.removed == 0).order_by(SCHEDULES.c.name)
        return [_schedule_of(row) for row in await self._store.read(query)]

    async def change(self, schedule: Schedule) -> bool:
        names = ("armed_by", "approved_by", "plan_hash", "paused_by", "pause_reason")
        values = {name: getattr(schedule, name) for name in names}
        return await self._changed(_next_revision(schedule, values)) == 1

    async def remove(self, schedule: Schedule) -> None:
        await self._changed(update(SCHEDULES).where(SCHEDULES.c.id == schedule.id).values(removed=1))

    async def deal(self, schedule: Schedule, rows: Sequence[DueRow], dealt_until: datetime) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            mine = _next_revision(schedule, {"dealt_until": iso(dealt_until)})
            if (await connection.execute(mine)).rowcount == 0:
                return False
            await connection.execute(
                insert(DUES).on_conflict_do_nothing(), [_due_values(row) for row in rows]
            )
            return True

        return await self._store.write(work)

    async def settle(self, row: DueRow) -> None:
        mine = (DUES.c.schedule_id == row.schedule_id) & (DUES.c.due == iso(row.due))
        values = {name: _due_values(row)[name] for name in ("state", "reason", "run_id", "decided")}
        await self._changed(update(DUES).where(mine & (DUES.c.state == DueState.CLAIMED)).values(values))

    async def claims(self) -> Sequence[DueRow]:
        query = select(DUES).where(DUES.c.state == DueState.CLAIMED).order_by(DUES.c.due)
        return [_due_of(row) for row in await self._store.read(query)]

    async def outcomes(self, schedule_id: str, limit: int = 10) -> Sequence[DueRow]:
        query = select(DUES).where(DUES.c.schedule_id == schedule_id).order_by(DUES.c.due.desc())
        return [_due_of(row) for row in await self._store.read(query.limit(limit))]

    async def last_run(self, schedule_id: str) -> str | None:
        mine = (DUES.c.schedule_id == schedule_id) & DUES.c.run_id.is_not(None)
        found = await self._store.read(select(DUES.c.run_id).where(mine).order_by(DUES.c.due.desc()).limit(1))
        return str(found[0]["run_id"]) if found else None

    async def save_calendar(self, calendar: Calendar) -> None:
        row = insert(CALENDARS).values(asdict(calendar) | {"imported": iso(calendar.imported)})
        fresh = {name: row.excluded[name] for name in ("text", "imported_by", "imported")}
        await self._changed(row.on_conflict_do_update(index_elements=["name"], set_=fresh))

    async def calendars(self) -> Sequence[Calendar]:
        found = await self._store.read(select(CALENDARS).order_by(CALENDARS.c.name))
        return [Calendar(**{**row, "imported": datetime.fromisoformat(row["imported"])}) for row in found]

    async def remove_calendar(self, name: str) -> None:
        await self._changed(delete(CALENDARS).where(CALENDARS.c.name == name))

    async def _changed(self, statement: Executable) -> int:
        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._store.write(work)


def _next_revision(schedule: Schedule, values: dict[str, Any]) -> Executable:
    """Only when nobody has changed it since: who decided on an older one decides again."""
    columns = SCHEDULES.c
    mine = (columns.id == schedule.id) & (columns.revision == schedule.revision) & (columns.removed == 0)
    return update(SCHEDULES).where(mine).values(values | {"revision": schedule.revision + 1})


def _schedule_values(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "name": schedule.name,
        "document": schedule.document.text,
        "file": schedule.document.file,
        "parameters": json.dumps(dict(schedule.document.parameters)),
        "words": json.dumps(dict(schedule.words)),
        "seed": schedule.spec.seed,
        "created_by": schedule.created_by,
        "created": iso(schedule.created),
        "dealt_until": iso(schedule.dealt_until),
        "revision": schedule.revision,
        "armed_by": schedule.armed_by,
        "approved_by": schedule.approved_by,
        "plan_hash": schedule.plan_hash,
        "paused_by": schedule.paused_by,
        "pause_reason": schedule.pause_reason,
        "removed": 0,
    }


@lru_cache(maxsize=4096)  # each look reads them all
def _spec(words: str, seed: int) -> Spec:
    return spec_of(json.loads(words), seed)


def _schedule_of(row: RowMapping) -> Schedule:
    words = json.loads(row["words"])
    return Schedule(
        id=row["id"],
        name=row["name"],
        document=Document(row["document"], row["file"], json.loads(row["parameters"])),
        words=words,
        spec=_spec(row["words"], row["seed"]),
        created_by=row["created_by"],
        created=datetime.fromisoformat(row["created"]),
        dealt_until=datetime.fromisoformat(row["dealt_until"]),
        revision=row["revision"],
        armed_by=row["armed_by"],
        approved_by=row["approved_by"],
        plan_hash=row["plan_hash"],
        paused_by=row["paused_by"],
        pause_reason=row["pause_reason"],
    )


TIMES = ("due", "starts", "until", "decided")


def _due_values(row: DueRow) -> dict[str, Any]:
    return asdict(row) | {name: iso(getattr(row, name)) for name in TIMES}


def _due_of(row: RowMapping) -> DueRow:
    times = {name: datetime.fromisoformat(row[name]) for name in TIMES}
    return DueRow(**{**row, **times, "state": DueState(row["state"])})
