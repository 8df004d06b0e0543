"""Where notices go, and those on their way, in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from blackstart_controller.notify.model import Change, Delivery, Stamped, State, Target
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import METADATA

NOTIFY_TARGETS = Table(
    "notify_targets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    sqlite_strict=True,
)

# `target` is no foreign key: the log outlives its targets.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("notice_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("due_ms", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("merged_into", Text, nullable=False),
    Column("ended", Text, nullable=False),
    UniqueConstraint("target", "notice_id"),
    Index("deliveries_waiting", "target", "state", "id"),
    sqlite_strict=True,
    sqlite_autoincrement=True,  # an id is never used again: it is the order
)
_FRESH = {"state": State.WAITING, "attempts": 0, "error": "", "merged_into": "", "ended": ""}


class SqlOutbox:
    """Implements `notify.outbox.Outbox`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def targets(self) -> Sequence[Target]:
        return [_target(row) for row in await self._store.read(_TARGETS)]

    async def add_target(self, target: Target, at_most: int) -> str | None:
        async def work(connection: AsyncConnection) -> str | None:
            known = (await connection.execute(select(NOTIFY_TARGETS.c.name))).scalars().all()
            if target.name in known:
                return f"notify target {target.name}: there is one already; remove it first"
            if len(known) >= at_most:
                return f"there are {at_most} notify targets already; remove one first"
            values = asdict(target) | {"types": json.dumps(target.types)}
            await connection.execute(insert(NOTIFY_TARGETS).values(values))
            return None

        return await self._store.write(work)

    async def remove_target(self, name: str, at: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            gone = await connection.execute(delete(NOTIFY_TARGETS).where(NOTIFY_TARGETS.c.name == name))
            waiting = (DELIVERIES.c.target == name) & (DELIVERIES.c.state == State.WAITING)
            given_up = {"state": State.GIVEN_UP, "error": "the target was removed", "ended": at}
            await connection.execute(update(DELIVERIES).where(waiting).values(given_up))
            return gone.rowcount == 1

        return await self._store.write(work)

    async def put(self, notices: Sequence[Stamped]) -> frozenset[str]:
        async def work(connection: AsyncConnection) -> frozenset[str]:
            targets = [_target(row) for row in (await connection.execute(_TARGETS)).mappings()]
            told = set()
            for notice in notices:
                for target in targets:
                    if target.wants(notice.type, notice.at) and await _insert(
                        connection, target.name, notice
                    ):
                        told.add(target.name)
            return frozenset(told)

        return await self._store.write(work)

    async def waiting(self, target: str) -> Sequence[Delivery]:
        return [_delivery(row) for row in await self._store.read(_waiting(target))]

    async def change(self, delivery_id: int, change: Change) -> None:
        row = (DELIVERIES.c.id == delivery_id) & (DELIVERIES.c.state == State.WAITING)
        statement = update(DELIVERIES).where(row).values(asdict(change))
        await self._store.write(lambda connection: connection.execute(statement))

    async def merge(
        self,
        target: str,
        choose: Callable[[Sequence[Delivery]], Sequence[Delivery]],
        digest: Callable[[Sequence[Delivery]], Stamped],
    ) -> None:
        async def work(connection: AsyncConnection) -> None:
            rows = (await connection.execute(_waiting(target))).mappings()
            if not (chosen := choose([_delivery(row) for row in rows])):
                return
            notice = digest(chosen)
            ids = [one.id for one in chosen]
            merged = {"state": State.MERGED, "merged_into": notice.notice_id, "ended": notice.at}
            await connection.execute(update(DELIVERIES).where(DELIVERIES.c.id.in_(ids)).values(merged))
            await _insert(connection, target, notice)

        await self._store.write(work)

    async def log(self, limit: int) -> Sequence[Delivery]:
        query = select(DELIVERIES).order_by(DELIVERIES.c.id.desc()).limit(limit)
        return [_delivery(row) for row in await self._store.read(query)]

    async def prune(self, keep: int) -> None:
        newest = select(func.max(DELIVERIES.c.id)).scalar_subquery()
        old = (DELIVERIES.c.id <= newest - keep) & (DELIVERIES.c.state != State.WAITING)
        await self._store.write(lambda connection: connection.execute(delete(DELIVERIES).where(old)))


_TARGETS = select(NOTIFY_TARGETS).order_by(NOTIFY_TARGETS.c.name)


def _waiting(target: str) -> Select[Any]:
    row = (DELIVERIES.c.target == target) & (DELIVERIES.c.state == State.WAITING)
    return select(DELIVERIES).where(row).order_by(DELIVERIES.c.id)


async def _insert(connection: AsyncConnection, target: str, notice: Stamped) -> bool:
    """Whether it is new."""
    data = json.dumps(dict(notice.data), separators=(",", ":"))
    values = asdict(notice) | _FRESH | {"target": target, "data": data}
    row = insert(DELIVERIES).values(values).on_conflict_do_nothing()
    return (await connection.execute(row)).rowcount == 1


def _target(row: RowMapping) -> Target:
    return Target(**{**row, "types": tuple(json.loads(row["types"]))})


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{**row, "data": json.loads(row["data"])})
