"""Join tokens (`bsj_SECRET.PIN`, one use, for a new host) and operator tokens (`bsk_SECRET`).

A store holds only the SHA-256 of `bsj_SECRET` or `bsk_SECRET`: 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from blackstart_controller.errors import Unauthorised, UsageError
from blackstart_controller.security.identity import check_host_name
from blackstart_controller.security.ports import StoredToken, TokenKind, TokenStore
from blackstart_controller.security.roles import Role
from blackstart_controller.security.secret import Secret

JOIN_TTL_S = 15 * 60
MAX_JOIN_TTL_S = 24 * 3600
OPERATOR_TTL_S = 90 * 24 * 3600
MAX_OPERATOR_TTL_S = 366 * 24 * 3600
_JOIN = re.compile(r"(bsj_[A-Za-z0-9_-]{43})\.([0-9a-f]{64})")
_OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_OPERATOR = re.compile(r"bsk_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """Shown once. `expires_s` is a Unix time."""

    token: Secret
    expires_s: int


class Tokens:
    """Makes and checks tokens of the controller whose authority has `pin`."""

    def __init__(self, store: TokenStore, pin: str, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._pin = pin
        self._now = now

    async def create_join(self, *, host: str = "", ttl_s: int = JOIN_TTL_S) -> NewToken:
        """A token for one host that is new: for `host` only, or, when that is "", under any free name."""
        if host:
            check_host_name(host)
        if not 1 <= ttl_s <= MAX_JOIN_TTL_S:
            raise UsageError(f"join token: ttl_s must be 1 to {MAX_JOIN_TTL_S} (24 h), got {ttl_s}")
        secret = "bsj_" + secrets.token_urlsafe(32)
        stored = self._stored(secret, "join", ttl_s, host=host)
        await self._store.insert_token(stored)
        return NewToken(Secret(f"{secret}.{self._pin}"), stored.expires_s)

    async def check_join(self, token: Secret, host: str) -> StoredToken:
        """Return what is kept of a join token that `host` can use now; else Unauthorised says why."""
        secret = self._secret_of_join(token)
        stored = await self._store.find_token(digest_of(secret))
        now_s = int(self._now())
        if stored is None or stored.kind != "join":
            raise Unauthorised("join token: unknown here; make one: blackstart token create")
        if stored.used_s is not None:
            raise Unauthorised(f"join token: used already, by host {stored.used_by}; make one for each host")
        if stored.expires_s <= now_s:
            late_s = now_s - stored.expires_s
            raise Unauthorised(f"join token: expired {late_s} s ago; make another: blackstart token create")
        if stored.host not in ("", host):
            raise Unauthorised(f"join token: it is for another host than {host}; make one for this host")
        return stored

    async def consume_join(self, token: Secret, host: str) -> None:
        """Use a join token up for `host`. Of two calls at once exactly one succeeds."""
        stored = await self.check_join(token, host)
        if not await self._store.consume_token(stored.digest, host=host, now_s=int(self._now())):
            raise Unauthorised("join token: used or expired in this moment; make one for each host")

    async def create_operator(self, name: str, role: Role, *, ttl_s: int = OPERATOR_TTL_S) -> NewToken:
        secret, stored = self.new_operator(name, role, ttl_s=ttl_s)
        await self._store.insert_token(stored)
        return NewToken(secret, stored.expires_s)

    def new_operator(
        self, name: str, role: Role, *, ttl_s: int = OPERATOR_TTL_S
    ) -> tuple[Secret, StoredToken]:
        """A token, and what is to be kept of it; it is good for nothing before that is stored."""
        check_operator_name(name)
        if not 1 <= ttl_s <= MAX_OPERATOR_TTL_S:
            raise UsageError(
                f"operator token: ttl_s must be 1 to {MAX_OPERATOR_TTL_S} (366 days), got {ttl_s}"
            )
        secret = "bsk_" + secrets.token_urlsafe(32)
        return Secret(secret), self._stored(secret, "operator", ttl_s, name=name, role=role)

    async def operators(self) -> Sequence[StoredToken]:
        return await self._store.operator_tokens()

    async def used(self, digest: str, now_s: int) -> None:
        await self._store.touch_token(digest, now_s=now_s)

    async def check_operator(self, token: Secret) -> StoredToken:
        """Return what is kept of an operator's token; one that is unknown or expired raises Unauthorised."""
        found = _OPERATOR.fullmatch(token.reveal())
        stored = await self._store.find_token(digest_of(found.group())) if found else None
        if stored is None or stored.kind != "operator":
            raise Unauthorised("token: unknown here; use the token of this controller's admin.json")
        if stored.expires_s <= int(self._now()):
            raise Unauthorised("token: expired; take a new one from this controller's admin.json")
        return stored

    def _secret_of_join(self, token: Secret) -> str:
        found = _JOIN.fullmatch(token.reveal())
        if not found:
            raise Unauthorised("join token: malformed; it must be bsj_SECRET.PIN, copied whole")
        if found.group(2) != self._pin:
            raise Unauthorised(
                "join token: made by another controller; make one here: blackstart token create"
            )
        return found.group(1)

    def _stored(
        self, secret: str, kind: TokenKind, ttl_s: int, *, host: str = "", name: str = "", role: str = ""
    ) -> StoredToken:
        now_s = int(self._now())
        return StoredToken(
            digest=digest_of(secret),
            kind=kind,
            created_s=now_s,
            expires_s=now_s + ttl_s,
            host=host,
            name=name,
            role=role,
        )


def check_operator_name(name: str) -> str:
    """Return `name` when it can be an operator's: 1 to 63 characters that stand well in a log."""
    if not _OPERATOR_NAME.fullmatch(name):
        raise UsageError(
            f"operator {name[:80]!r}: must be 1 to 63 letters, digits, '.', '-', '_' or '@', "
            "beginning with a letter or digit"
        )
    return name


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
