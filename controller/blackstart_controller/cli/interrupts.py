"""Ctrl-C, SIGTERM and a closed terminal, turned into one exception that is raised only where it may be."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIME_UP = "SIGALRM"  # the name of an Interrupted that nobody sent: the time that was given is over


class Interrupted(Exception):
    """Somebody wants this command to end. `name` is the signal's."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class Interrupts:
    """While entered, a signal is remembered; inside `allowed` it is raised, at once or at the door.

    So a request that must not be cut in two (starting a run, halting it) never is, and no signal is lost.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._allowed = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        for number in (*SIGNALS, signal.SIGALRM):
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def allowed(self, within_s: float | None = None) -> Iterator[None]:
        """Signals are raised in the block, and TIME_UP when it lasts longer than `within_s`."""
        try:
            self._allowed = True
            self._raise_pending()
            signal.setitimer(signal.ITIMER_REAL, within_s or 0)
            yield
        finally:
            self._allowed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self._pending == TIME_UP:
                self._pending = ""

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self._pending = self._pending or signal.Signals(number).name
        if self._allowed:
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending:
            name, self._pending = self._pending, ""
            self._allowed = False
            raise Interrupted(name)
