"""Threads that do what may take long, so that the guardian's main loop never waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

Job = Callable[[], None]


class Worker(Protocol):
    def submit(self, job: Job) -> None:
        """The job runs after those before it. It must not raise."""
        ...

    def close(self) -> None:
        """Ends after the jobs submitted so far."""
        ...


class ThreadWorker:
    """One thread, started at birth: whoever has one needs no new thread when it matters."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
