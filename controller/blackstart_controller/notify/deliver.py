"""Deliveries: one task for each target, so that a slow one never delays another."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from blackstart_controller.notify.channel import Channel
from blackstart_controller.notify.decide import Bucket, after, digest, to_merge, wait_s
from blackstart_controller.notify.model import Delivery, Outcome, State, Target
from blackstart_controller.notify.outbox import Outbox
from blackstart_controller.runs.clock import Clock
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
Result = TypeVar("Result")
STORE_RETRY_S = 5.0


@dataclass(slots=True)
class _Line:
    task: asyncio.Task[None]
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Deliveries:
    """What waits in the outbox is delivered: in order for each target, at least once."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._clock = clock
        self._chance = chance
        self._lines: dict[str, _Line] = {}

    def open(self, target: Target) -> None:
        """What waits for the target is being delivered."""
        news = asyncio.Event()
        news.set()
        task = asyncio.create_task(self._serve(target, news), name=f"notify-{target.name}")
        self._lines[target.name] = _Line(task, news)

    def tell(self, names: Iterable[str]) -> None:
        """These targets have something new."""
        for name in names:
            if name in self._lines:
                self._lines[name].news.set()

    async def shut(self, *names: str) -> None:
        """Nothing more is sent to these targets, or to any. An attempt under way may have arrived."""
        chosen = [self._lines.pop(name) for name in (names or tuple(self._lines)) if name in self._lines]
        for line in chosen:
            line.task.cancel()
        await asyncio.gather(*(line.task for line in chosen), return_exceptions=True)

    async def _serve(self, target: Target, news: asyncio.Event) -> None:
        bucket = Bucket()
        while True:
            await news.wait()
            news.clear()
            while (delivery := await self._next(target)) is not None:
                pause_s = max(
                    wait_s(delivery, self._now_ms()), bucket.wait_s(asyncio.get_running_loop().time())
                )
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
                    continue  # others came meanwhile, and may be too many
                bucket.take()
                await self._attempt(target, delivery)

    async def _next(self, target: Target) -> Delivery | None:
        waiting = await _stored(lambda: self._outbox.waiting(target.name))
        if to_merge(waiting):
            await _stored(
                lambda: self._outbox.merge(target.name, to_merge, lambda all_: digest(all_, self._now_ms()))
            )
            waiting = await _stored(lambda: self._outbox.waiting(target.name))
        return waiting[0] if waiting else None

    async def _attempt(self, target: Target, delivery: Delivery) -> None:
        outcome = await self._outcome(target, delivery)
        change = after(delivery, outcome, self._now_ms(), self._chance())
        if change.state == State.GIVEN_UP:
            log.error("notify %s: %s is given up: %s", target.name, delivery.type, outcome.error)
        elif outcome.error and delivery.attempts == 0:
            log.warning("notify %s: %s is tried again: %s", target.name, delivery.type, outcome.error)
        # Stored before anything more is sent: else this would be sent again and again without a database.
        await _stored(lambda: self._outbox.change(delivery.id, change))

    async def _outcome(self, target: Target, delivery: Delivery) -> Outcome:
        try:
            return await self._channels[target.kind].send(target, delivery)
        except Exception as error:  # noqa: BLE001  a library's defect must not end a target's deliveries
            return Outcome(f"sending failed: {type(error).__name__}")

    def _now_ms(self) -> int:
        return int(self._clock.wall().timestamp() * 1000)


async def _stored(work: Callable[[], Awaitable[Result]]) -> Result:
    """What `work` returned, once the database takes it."""
    while True:
        try:
            return await work()
        except StoreFailed as error:
            log.error("notify: the outbox is tried again: %s", error)
            await asyncio.sleep(STORE_RETRY_S)
