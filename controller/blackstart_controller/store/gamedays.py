"""Game days in SQL: `gameday.ports.GameDayStore`. The timeline is append-only, as triggers see to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from blackstart_controller.errors import BlackstartError
from blackstart_controller.gameday.model import (
    Change,
    Decide,
    Entry,
    EntryKind,
    ExperimentText,
    GameDay,
    Kept,
    NewEntry,
)
from blackstart_controller.gameday.states import GameDayState
from blackstart_controller.security.feeds import Feed
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import METADATA

GAMEDAYS = Table(
    "gamedays",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("experiments", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("zero_notice", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("window_start", Text, nullable=False),
    Column("window_end", Text, nullable=False),
    Column("starts_at", Text, nullable=False),
    Column("planned_by", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("changed", Text, nullable=False),
    sqlite_strict=True,
)

GAMEDAY_ENTRIES = Table(
    "gameday_entries",
    METADATA,
    Column("gameday_id", Text, ForeignKey("gamedays.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_strict=True,
)

FEEDS = Table(
    "calendar_feeds",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("times", Integer, nullable=False),
    Column("created_s", Integer, nullable=False),
    Column("expires_s", Integer, nullable=False),
    sqlite_strict=True,
)


class SqlGameDays:
    """Implements `gameday.ports.GameDayStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def create(self, row: GameDay, entry: NewEntry, at: str) -> GameDay:
        async def work(connection: AsyncConnection) -> GameDay:
            made = replace(row, id=await _free_id(connection, row.id))
            await connection.execute(insert(GAMEDAYS).values(_values(made)))
            await _append(connection, made.id, 0, (entry,), at)
            return made

        return await self._store.write(work)

    async def all(self) -> Sequence[GameDay]:
        order = (GAMEDAYS.c.window_start.desc(), GAMEDAYS.c.id)
        return [_row(found) for found in await self._store.read(select(GAMEDAYS).order_by(*order))]

    async def find(self, gameday_id: str) -> Kept | None:
        rows = await self._store.read(_row_query(gameday_id))
        if not rows:
            return None
        entries = await self._store.read(_entries_query(gameday_id))
        return Kept(_row(rows[0]), tuple(_entry(found) for found in entries))

    async def change(self, gameday_id: str, decide: Decide, at: str) -> Kept | None:
        async def work(connection: AsyncConnection) -> Kept | BlackstartError | None:
            kept = await _kept(connection, gameday_id)
            if kept is None:
                return None
            try:
                change = decide(kept)
            except BlackstartError as error:  # told by value: others are written in the same transaction
                return error
            return kept if change is None else await _write(connection, kept, change, at)

        result = await self._store.write(work)
        if isinstance(result, BlackstartError):
            raise result
        return result


async def _write(connection: AsyncConnection, kept: Kept, change: Change, at: str) -> Kept:
    row = replace(change.row or kept.row, id=kept.row.id)
    if change.state is not None or change.row is not None:
        row = replace(row, state=change.state or kept.row.state, revision=kept.row.revision + 1, changed=at)
        await connection.execute(update(GAMEDAYS).where(GAMEDAYS.c.id == row.id).values(_values(row)))
    added = await _append(connection, row.id, len(kept.entries), change.entries, at)
    return Kept(row, (*kept.entries, *added))


async def _kept(connection: AsyncConnection, gameday_id: str) -> Kept | None:
    row = (await connection.execute(_row_query(gameday_id))).mappings().first()
    if row is None:
        return None
    entries = (await connection.execute(_entries_query(gameday_id))).mappings().all()
    return Kept(_row(row), tuple(_entry(found) for found in entries))


async def _append(
    connection: AsyncConnection, gameday_id: str, last: int, entries: Sequence[NewEntry], at: str
) -> list[Entry]:
    numbered = enumerate(entries, last + 1)
    added = [Entry(seq, at, one.kind, one.author, one.text, one.data) for seq, one in numbered]
    if added:
        values = [{**asdict(one), "gameday_id": gameday_id, "data": _json(one.data)} for one in added]
        await connection.execute(insert(GAMEDAY_ENTRIES), values)
    return added


async def _free_id(connection: AsyncConnection, wanted: str) -> str:
    query = select(GAMEDAYS.c.id).where(GAMEDAYS.c.id.startswith(wanted, autoescape=True))
    taken = set((await connection.execute(query)).scalars())
    number, found = 1, wanted
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    return found


def _row_query(gameday_id: str) -> Select[Any]:
    return select(GAMEDAYS).where(GAMEDAYS.c.id == gameday_id)


def _entries_query(gameday_id: str) -> Select[Any]:
    mine = GAMEDAY_ENTRIES.c.gameday_id == gameday_id
    return select(GAMEDAY_ENTRIES).where(mine).order_by(GAMEDAY_ENTRIES.c.seq)


def _values(row: GameDay) -> dict[str, Any]:
    plain = {one.name: getattr(row, one.name) for one in fields(row)}
    experiments = _json([asdict(one) for one in row.experiments])
    return {**plain, "experiments": experiments, "zero_notice": int(row.zero_notice)}


def _row(found: RowMapping) -> GameDay:
    experiments = tuple(ExperimentText(**one) for one in json.loads(found["experiments"]))
    values = {**found, "experiments": experiments, "zero_notice": bool(found["zero_notice"])}
    return GameDay(**{**values, "state": GameDayState(found["state"])})


def _entry(found: RowMapping) -> Entry:
    values = {one.name: found[one.name] for one in fields(Entry)}
    return Entry(**{**values, "kind": EntryKind(found["kind"]), "data": json.loads(found["data"])})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class SqlFeeds:
    """Implements `security.feeds.FeedStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def insert_feed(self, feed: Feed) -> None:
        values = asdict(feed) | {"times": int(feed.times)}

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(insert(FEEDS).values(values))

        await self._store.write(work)

    async def feeds(self) -> Sequence[Feed]:
        query = select(FEEDS).order_by(FEEDS.c.created_s, FEEDS.c.digest)
        return [_feed(found) for found in await self._store.read(query)]

    async def find_feed(self, digest: str) -> Feed | None:
        found = await self._store.read(select(FEEDS).where(FEEDS.c.digest == digest))
        return _feed(found[0]) if found else None

    async def delete_feed(self, digest: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            done = await connection.execute(delete(FEEDS).where(FEEDS.c.digest == digest))
            return done.rowcount == 1

        return await self._store.write(work)


def _feed(found: RowMapping) -> Feed:
    return Feed(**{**found, "times": bool(found["times"])})
