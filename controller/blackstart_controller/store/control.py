"""Control in SQL: environments, and the append-only log of what people decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Integer, RowMapping, Table, Text, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from blackstart_controller.control.model import ControlEvent, Environment
from blackstart_controller.control.ports import RecentRun
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.store.rows import environments_of
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import METADATA, RUNS, TOKENS

ENVIRONMENTS = Table(
    "environments",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("hosts", Text, nullable=False),
    Column("second_person", Integer, nullable=False),
    Column("protected", Integer, nullable=False),
    Column("max_hosts", Integer),
    Column("max_runs_per_day", Integer),
    sqlite_strict=True,
)

CONTROL_EVENTS = Table(
    "control_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("data", Text, nullable=False),
    sqlite_strict=True,
)


class SqlControl:
    """Implements `control.ports.ControlStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def environments(self) -> Sequence[Environment]:
        found = await self._store.read(select(ENVIRONMENTS).order_by(ENVIRONMENTS.c.name))
        return [_environment(row) for row in found]

    async def set_environment(self, environment: Environment, event: ControlEvent) -> None:
        values: dict[str, Any] = {one.name: getattr(environment, one.name) for one in ENVIRONMENTS.columns}
        row = insert(ENVIRONMENTS).values(values)
        row = row.on_conflict_do_update(index_elements=["name"], set_=values)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(row)
            await _record(connection, event)

        await self._store.write(work)

    async def remove_environment(self, name: str, event: ControlEvent) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            gone = await connection.execute(delete(ENVIRONMENTS).where(ENVIRONMENTS.c.name == name))
            if gone.rowcount:
                await _record(connection, event)
            return gone.rowcount == 1

        return await self._store.write(work)

    async def add_operator(self, token: StoredToken, event: ControlEvent) -> bool:
        values: dict[str, Any] = {column.name: getattr(token, column.name) for column in TOKENS.columns}
        mine = (TOKENS.c.kind == "operator") & (TOKENS.c.name == token.name)
        good = select(TOKENS.c.digest).where(mine & (TOKENS.c.expires_s > token.created_s))

        async def work(connection: AsyncConnection) -> bool:
            if (await connection.execute(good)).first() is not None:
                return False
            await connection.execute(insert(TOKENS).values(values))
            await _record(connection, event)
            return True

        return await self._store.write(work)

    async def remove_operator(self, name: str, event: ControlEvent) -> Sequence[str]:
        mine = (TOKENS.c.kind == "operator") & (TOKENS.c.name == name)

        async def work(connection: AsyncConnection) -> list[str]:
            gone = await connection.execute(delete(TOKENS).where(mine).returning(TOKENS.c.digest))
            digests = [str(digest) for digest in gone.scalars()]
            if digests:
                await _record(connection, event)
            return digests

        return await self._store.write(work)

    async def record(self, event: ControlEvent) -> None:
        async def work(connection: AsyncConnection) -> None:
            await _record(connection, event)

        await self._store.write(work)

    async def events(self, limit: int = 200) -> Sequence[ControlEvent]:
        newest = select(CONTROL_EVENTS).order_by(CONTROL_EVENTS.c.id.desc()).limit(limit)
        return [_event(row) for row in reversed(await self._store.read(newest))]

    async def last_of(self, subject: str) -> ControlEvent | None:
        mine = select(CONTROL_EVENTS).where(CONTROL_EVENTS.c.subject == subject)
        found = await self._store.read(mine.order_by(CONTROL_EVENTS.c.id.desc()).limit(1))
        return _event(found[0]) if found else None

    async def recent_runs(self, since: str) -> Sequence[RecentRun]:
        runs = RUNS.c
        query = select(runs.environments, runs.state, runs.exit_code).where(runs.created >= since)
        return [
            RecentRun(environments_of(row["environments"]), row["state"], row["exit_code"])
            for row in await self._store.read(query)
        ]


async def _record(connection: AsyncConnection, event: ControlEvent) -> None:
    values = {
        "at": event.at,
        "by": event.by,
        "type": event.type,
        "subject": event.subject,
        "data": json.dumps(event.data, ensure_ascii=False, separators=(",", ":")),
    }
    await connection.execute(insert(CONTROL_EVENTS).values(values))


def _event(row: RowMapping) -> ControlEvent:
    return ControlEvent(row["at"], row["by"], row["type"], row["subject"], json.loads(row["data"]))


def _environment(row: RowMapping) -> Environment:
    flags = {"second_person": bool(row["second_person"]), "protected": bool(row["protected"])}
    return Environment(**{**row, **flags})
