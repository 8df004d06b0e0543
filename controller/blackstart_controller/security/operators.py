"""Who holds which operator's token; in memory too: a lost database must not keep anybody from halting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from blackstart_controller.errors import BlackstartError, Unauthorised
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.security.roles import Operator, role_of
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens, digest_of

log = logging.getLogger(__name__)
FRESH_S = 5.0  # a token that is taken out of the database is refused so much later at the latest
READ_S = 1.0  # a database that takes longer to answer cannot be read
USED_EVERY_S = 60  # how exactly "last used" is known
MAX_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class _Known:
    token: StoredToken
    checked_s: float


class Operators:
    """`await load()` at the start: then every token is known, also when the database is gone later."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._now = now
        self._monotonic = monotonic
        self._writing: set[asyncio.Task[None]] = set()
        self._known: dict[str, _Known] = {}  # by digest, the longest unused first

    async def load(self) -> None:
        for token in await self._tokens.operators():
            self._remember(token, checked_s=float("-inf"))

    async def admit(self, secret: Secret) -> Operator:
        """Who this is. Raises Unauthorised; with a database that cannot be read, who may only halt."""
        digest = digest_of(secret.reveal())
        known = self._known.get(digest)
        if known is not None and self._monotonic() - known.checked_s < FRESH_S:
            return self._operator(known.token)
        try:
            async with asyncio.timeout(READ_S):
                token = await self._tokens.check_operator(secret)
        except Unauthorised:
            self._known.pop(digest, None)
            raise
        except (BlackstartError, TimeoutError):
            if known is None:
                raise
            return self._operator(known.token, halt_only=True)
        self._remember(token, checked_s=self._monotonic())
        self._used(token)
        return self._operator(token)

    def learn(self, token: StoredToken) -> None:
        """A token was made and stored: known from now on, also when the database goes before its use."""
        self._remember(token, checked_s=float("-inf"))

    def forget(self, digests: Iterable[str]) -> None:
        """These tokens are revoked: nobody gets in with them, also when the database is gone."""
        for digest in digests:
            self._known.pop(digest, None)

    async def all(self) -> Sequence[StoredToken]:
        """Every token that is not revoked, also expired ones; the newest last."""
        return await self._tokens.operators()

    def _operator(self, token: StoredToken, *, halt_only: bool = False) -> Operator:
        if token.expires_s <= int(self._now()):
            raise Unauthorised(f"token: expired; ask an admin: blackstart operator create {token.name}")
        return Operator(token.name, role_of(token.role), halt_only)

    def _remember(self, token: StoredToken, *, checked_s: float) -> None:
        self._known.pop(token.digest, None)
        self._known[token.digest] = _Known(token, checked_s)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _used(self, token: StoredToken) -> None:
        """Known to a minute, and only if the database takes it: nobody waits for that."""
        now_s = int(self._now())
        if token.used_s is None or now_s - token.used_s >= USED_EVERY_S:
            task = asyncio.create_task(self._write_used(token, now_s))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write_used(self, token: StoredToken, now_s: int) -> None:
        try:
            await self._tokens.used(token.digest, now_s)
        except BlackstartError as error:
            log.warning("operator %s: last use not recorded: %s", token.name, error)
