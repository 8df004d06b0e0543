"""Calendar tokens (`bsc_SECRET`): they open one URL for reading, and nothing else anywhere.

A calendar program cannot send headers, so that this token is in a URL, and URLs end up in logs: it is of a
kind of its own, and no operator's token is ever taken from a URL.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from blackstart_controller.errors import Forbidden, NotFound, Unauthorised, UsageError
from blackstart_controller.security.roles import Operator, Permission, least_role, role_of
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens, digest_of

FEED_TTL_S = 366 * 24 * 3600
MAX_FEED_TTL_S = 3 * 366 * 24 * 3600
SHOWN_DIGITS = 12  # of the digest: enough to name one when revoking
_FEED = re.compile(r"bsc_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Feed:
    """What is kept of a calendar token. `times`: it may show zero-notice moments. Times are Unix seconds."""

    digest: str
    name: str  # the operator who made it
    times: bool
    created_s: int
    expires_s: int

    @property
    def id(self) -> str:
        return self.digest[:SHOWN_DIGITS]


class FeedStore(Protocol):
    async def insert_feed(self, feed: Feed) -> None: ...

    async def feeds(self) -> Sequence[Feed]: ...

    async def find_feed(self, digest: str) -> Feed | None: ...

    async def delete_feed(self, digest: str) -> bool: ...


class Feeds:
    """A feed lives as long as whoever made it has an operator's token; no longer than it was made for."""

    def __init__(self, store: FeedStore, tokens: Tokens, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._tokens = tokens
        self._now = now

    async def create(self, by: Operator, *, times: bool, ttl_s: int = FEED_TTL_S) -> tuple[Secret, Feed]:
        """The secret is shown once. `times` needs the permission to approve."""
        if not 1 <= ttl_s <= MAX_FEED_TTL_S:
            raise UsageError(f"calendar token: ttl_s must be 1 to {MAX_FEED_TTL_S}, got {ttl_s}")
        secret = Secret("bsc_" + secrets.token_urlsafe(32))
        if times and not by.may(Permission.APPROVE):
            raise Forbidden(
                f"calendar: zero-notice times need the role {least_role(Permission.APPROVE)}, "
                f"and {by.name} is {by.role}; leave --with-times out"
            )
        now_s = int(self._now())
        feed = Feed(digest_of(secret.reveal()), by.name, times, now_s, now_s + ttl_s)
        await self._store.insert_feed(feed)
        return secret, feed

    async def check(self, secret: Secret) -> Feed:
        """What this token may show at this moment. Raises Unauthorised."""
        found = _FEED.fullmatch(secret.reveal())
        feed = await self._store.find_feed(digest_of(found.group())) if found else None
        now_s = int(self._now())
        if feed is None:
            raise Unauthorised("calendar: unknown token; make one: blackstart gameday calendar-url")
        roles = [
            role_of(one.role)
            for one in await self._tokens.operators()
            if one.name == feed.name and one.expires_s > now_s
        ]
        if feed.expires_s <= now_s or not roles:
            raise Unauthorised("calendar: this token has expired; make one: blackstart gameday calendar-url")
        approves = any(Operator(feed.name, role).may(Permission.APPROVE) for role in roles)
        return Feed(feed.digest, feed.name, feed.times and approves, feed.created_s, feed.expires_s)

    async def all(self, by: Operator) -> Sequence[Feed]:
        """Those of `by`; an admin sees everybody's."""
        everybody = by.may(Permission.ADMIN)
        return [feed for feed in await self._store.feeds() if everybody or feed.name == by.name]

    async def revoke(self, by: Operator, feed_id: str) -> None:
        found = next((feed for feed in await self.all(by) if feed.id == feed_id), None)
        if found is None or not await self._store.delete_feed(found.digest):
            raise NotFound(f"calendar token {feed_id}: none of yours; `blackstart gameday calendars` lists")
