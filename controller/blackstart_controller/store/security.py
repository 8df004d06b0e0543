"""Tokens and enrolled hosts in SQL: the ports that `security/` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, bindparam, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from blackstart_controller.security.ports import StoredToken
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import CERTIFICATES, HOSTS, TOKENS

# One query, built once: all hosts ask at the same time when a controller comes back.
_REVOKED = select(HOSTS.c.name).where((HOSTS.c.name == bindparam("host")) & (HOSTS.c.revoked == 1)).exists()
_ENROLLED = select(CERTIFICATES.c.host).where(CERTIFICATES.c.host == bindparam("host"))
_KNOWN = _ENROLLED.where(~_REVOKED).limit(1)


class SqlTokens:
    """Implements `security.ports.TokenStore`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def insert_token(self, token: StoredToken) -> None:
        values: dict[str, Any] = {column.name: getattr(token, column.name) for column in TOKENS.columns}
        await _changed(self._store, insert(TOKENS).values(values))

    async def find_token(self, digest: str) -> StoredToken | None:
        found = await self._store.read(select(TOKENS).where(TOKENS.c.digest == digest))
        return StoredToken(**found[0]) if found else None

    async def consume_token(self, digest: str, *, host: str, now_s: int) -> bool:
        token = TOKENS.c
        usable = (token.digest == digest) & (token.kind == "join") & token.used_s.is_(None)
        usable &= (token.expires_s > now_s) & or_(token.host == "", token.host == host)
        return (
            await _changed(self._store, update(TOKENS).where(usable).values(used_s=now_s, used_by=host)) == 1
        )

    async def operator_tokens(self) -> Sequence[StoredToken]:
        query = select(TOKENS).where(TOKENS.c.kind == "operator")
        found = await self._store.read(query.order_by(TOKENS.c.created_s, TOKENS.c.digest))
        return [StoredToken(**row) for row in found]

    async def touch_token(self, digest: str, *, now_s: int) -> None:
        mine = (TOKENS.c.digest == digest) & (TOKENS.c.kind == "operator")
        await _changed(self._store, update(TOKENS).where(mine).values(used_s=now_s))

    async def delete_token(self, digest: str) -> bool:
        return await _changed(self._store, delete(TOKENS).where(TOKENS.c.digest == digest)) == 1


class SqlHosts:
    """Implements `security.ports.HostRegistry`."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def is_known(self, host: str) -> bool:
        return bool(await self._store.read(_KNOWN, {"host": host}))

    async def host_enrolled(self, host: str, serial: str, expires_s: int) -> None:
        row = insert(CERTIFICATES).values(host=host, serial=serial, expires_s=expires_s)
        await _changed(self._store, row.on_conflict_do_nothing())


async def _changed(store: SqliteStore, statement: Executable) -> int:
    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(statement)).rowcount

    return await store.write(work)
