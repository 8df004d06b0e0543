"""What a host told us, dealt with in order, and to the end even when its stream breaks meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
Job = Callable[[], Awaitable[None]]
LIMIT = 256


class Inbox:
    """One host's jobs, one at a time. Its task exists only while there is work, and belongs to no RPC."""

    __slots__ = ("_jobs", "_room", "_task")

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._room: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    async def put(self, job: Job) -> None:
        """Queue `job`; wait while LIMIT are queued, so that the stream's own flow control slows the agent."""
        while len(self._jobs) >= LIMIT:
            self._room = self._room or asyncio.Event()
            await self._room.wait()
        self.put_now(job)

    def put_now(self, job: Job) -> None:
        self._jobs.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def idle(self) -> None:
        """Nothing is queued or running any more."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _work(self) -> None:
        try:
            while self._jobs:
                job = self._jobs.popleft()
                try:
                    await job()
                except Exception:  # whatever a listener raises: the jobs behind it are not its own
                    log.exception("something that a host told could not be dealt with")
                if self._room is not None and len(self._jobs) < LIMIT:
                    self._room.set()
                    self._room = None
        finally:
            self._task = None
