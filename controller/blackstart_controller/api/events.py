"""A run's log as server-sent events: what is there, then live, then `event: end`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from blackstart_controller.api.answers import event_answer
from blackstart_controller.errors import Unauthorised
from blackstart_controller.store.model import RunEvent

HEARTBEAT_S = 3.0  # less than a client's patience: a quiet run is not a dead controller


async def server_sent(
    events: AsyncIterator[RunEvent],
    *,
    heartbeat_s: float = HEARTBEAT_S,
    check: Callable[[], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """Frames of text/event-stream. A comment goes out whenever nothing happened for `heartbeat_s`.

    `check` raises Unauthorised when the reader may read no longer: then the stream breaks off.
    """
    pending: asyncio.Future[RunEvent] | None = None
    yield b": open\n\n"
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({pending}, timeout=heartbeat_s)
            try:
                await check()
            except Unauthorised:
                return
            if not done:
                yield b": still here\n\n"
                continue
            finished, pending = pending, None
            try:
                yield frame(finished.result())
            except StopAsyncIteration:
                yield b"event: end\ndata: {}\n\n"
                return
    finally:
        if pending is not None:
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending


def frame(event: RunEvent) -> bytes:
    text = json.dumps(event_answer(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\ndata: {text}\n\n".encode()
