"""Notifications as the rest of the controller sees them: publish, and the targets' administration."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blackstart_controller.errors import NotFound, Refused, UsageError
from blackstart_controller.notify.channel import Channel
from blackstart_controller.notify.deliver import STORE_RETRY_S, Deliveries
from blackstart_controller.notify.model import Delivery, Kind, Outcome, Stamped, Target
from blackstart_controller.notify.outbox import Outbox
from blackstart_controller.notify.ports import Notice
from blackstart_controller.notify.webhook import key_of, new_secret
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z")
PATTERN = re.compile(r"[a-z_*?][a-z0-9_.*?]{0,63}\Z")
MAX_TARGETS = 50
MAX_IN_MEMORY = 1000
STORE_WAIT_S = 2.0
KEPT = 10_000
MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target as somebody asks for it. No secret: a webhook gets a new one."""

    name: str
    kind: Kind
    url: str = field(repr=False)
    types: tuple[str, ...] = ("*",)
    secret: str = field(default="", repr=False)


class Notify:
    """Implements `notify.ports.Notifier`. Deliveries go on from `start()` to `close()`."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._clock = clock
        self._deliveries = Deliveries(outbox, channels, clock)
        self._pending: deque[tuple[Stamped, asyncio.Event]] = deque()
        self._news = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """What an earlier life of this controller has left is being delivered. Raises StoreFailed."""
        await self._outbox.prune(KEPT)
        for target in await self._outbox.targets():
            self._deliveries.open(target)
        self._keeper = asyncio.create_task(self._keep(), name="notify-outbox")

    async def close(self) -> None:
        """Nothing more is sent. What waits is in the outbox, unless the database refused it to the end."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._deliveries.shut()
        with contextlib.suppress(StoreFailed):
            await self._keep_all()
        if self._pending:
            log.error("notify: %d notices are lost: the database did not take them", len(self._pending))

    async def publish(self, notice: Notice) -> None:
        """Stored, or, when the database takes longer than STORE_WAIT_S, kept in memory until it does."""
        if len(self._pending) >= MAX_IN_MEMORY:
            log.error("notify: %s of %s is lost: the database is away", notice.type, notice.subject)
            return
        now = self._clock.wall()
        stamped = Stamped(
            notice_id=notice.id or str(uuid.uuid4()),
            type=notice.type,
            subject=_clean(notice.subject),
            text=_clean(notice.text),
            data=_plain(notice),
            at=notice.at or iso(now),
            due_ms=int(now.timestamp() * 1000),
        )
        kept = asyncio.Event()
        self._pending.append((stamped, kept))
        self._news.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_WAIT_S):
                await kept.wait()

    # ---- targets ----

    async def add(self, new: NewTarget, by: str) -> Target:
        """The target is told of everything from now on. Raises UsageError, Refused."""
        if not NAME.match(new.name):
            raise UsageError(
                f"notify target {new.name[:80]!r}: a name is a to z, 0 to 9, . _ and -, up to 63"
            )
        for pattern in new.types:
            if not PATTERN.match(pattern):
                raise UsageError(f"notify types {pattern[:80]!r}: must be like run.ended, run.* or *")
        if (why := self._channels[new.kind].refusal(new.url)) is not None:
            raise Refused(f"notify target {new.name}: {why}")
        secret = (new.secret or new_secret()) if new.kind == Kind.WEBHOOK else ""
        if secret:
            key_of(secret)
        target = Target(new.name, new.kind, new.url, secret, new.types, iso(self._clock.wall()), by)
        if (why := await self._outbox.add_target(target, MAX_TARGETS)) is not None:
            raise Refused(why)
        self._deliveries.open(target)
        return target

    async def remove(self, name: str) -> None:
        """Nothing more is sent to it; what waited is given up, and the log says so. Raises NotFound."""
        await self.target(name)
        await self._deliveries.shut(name)
        await self._outbox.remove_target(name, iso(self._clock.wall()))

    async def targets(self) -> Sequence[Target]:
        return await self._outbox.targets()

    async def target(self, name: str) -> Target:
        for target in await self._outbox.targets():
            if target.name == name:
                return target
        raise NotFound(f"notify target {name}: there is none; `blackstart notify list` shows all")

    def shown(self, target: Target) -> str:
        """Its URL without what is secret in it."""
        return self._channels[target.kind].shown(target.url)

    async def test(self, name: str, by: str) -> Outcome:
        """One attempt, at once, past the outbox."""
        target, now = await self.target(name), self._clock.wall()
        delivery = Delivery(
            id=0,
            target=name,
            notice_id=str(uuid.uuid4()),
            type="notify.test",
            subject=f"notify/{name}",
            text=f"This is a test of the target {name}, asked for by {by}.",
            data={},
            at=iso(now),
            due_ms=int(now.timestamp() * 1000),
        )
        return await self._channels[target.kind].send(target, delivery)

    async def log(self, limit: int) -> Sequence[Delivery]:
        return await self._outbox.log(limit)

    # ---- from memory into the outbox ----

    async def _keep(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._keep_all()
            except StoreFailed as error:
                log.error("notify: %d notices wait in memory: %s", len(self._pending), error)
                await asyncio.sleep(STORE_RETRY_S)
                self._news.set()

    async def _keep_all(self) -> None:
        """In one write; in the order in which they were published."""
        while group := list(self._pending):
            told = await self._outbox.put([stamped for stamped, _kept in group])
            for _ in group:
                self._pending.popleft()[1].set()
            self._deliveries.tell(told)


def _clean(text: str) -> str:
    """Text that can be stored and sent: what is no character (a file name may hold it) becomes a mark."""
    return text[:MAX_TEXT].encode(errors="replace").decode()


def _plain(notice: Notice) -> dict[str, Any]:
    """The data as JSON will give it back; a caller's mistake costs the data, and never the notice."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(notice.data), allow_nan=False))
    except (TypeError, ValueError) as error:
        log.error("notify: the data of %s of %s is no JSON: %s", notice.type, notice.subject, error)
        return {}
    return found
