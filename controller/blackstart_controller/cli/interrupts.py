"""Ctrl-C, SIGTERM and a closed terminal, turned into one exception that is raised only where it may be."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def allowed(self) -> Iterator[None]:
        try:
            self._allowed = True
            self._raise_pending()
            yield
        finally:
            self._allowed = False

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self._pending = signal.Signals(number).name
        if self._allowed:
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending:
            name, self._pending = self._pending, ""
            self._allowed = False
            raise Interrupted(name)
