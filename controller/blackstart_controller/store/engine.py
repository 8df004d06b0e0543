"""Opens the database: pragmas, file mode, migrations. WAL, synchronous FULL: commits survive power cuts."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, inspect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from blackstart_controller.store.migrations import HEAD

BUSY_TIMEOUT_MS = 10_000
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
)


def make_private(path: Path) -> None:
    """The file exists with mode 0600 before SQLite opens it; its -wal and -shm files inherit the mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def open_engine(path: Path, *, writes: bool, connections: int) -> AsyncEngine:
    """An engine that only reads, or one that writes: in transactions that lock at once, never by an upgrade.

    A reader has one query at a time, which is a transaction by itself: BEGIN would be another way to a thread
    and back.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)), pool_size=connections, max_overflow=0
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions behind our back
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _upgrade(connection: Connection) -> None:
    if _revision(connection) == HEAD:
        return
    from alembic import command  # a seventh of a controller's start, for nothing in almost every one
    from alembic.config import Config

    with as_file(files("blackstart_controller.store") / "migrations") as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


async def migrate(engine: AsyncEngine) -> None:
    """The schema is the newest one. Runs in one transaction: a failed migration changes nothing."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)
