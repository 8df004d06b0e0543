"""What a person sees of a run while it goes: plain lines with time marks, or a live line on a terminal."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from typing import Protocol, Self

from blackstart_controller.cli.output import progress
from blackstart_controller.cli.story import Event, Story

GATHER_S = 0.4  # hosts that say the same within it share a line
NS_PER_S = 1_000_000_000


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def show(self, event: Event) -> None: ...

    def tell(self, text: str) -> None: ...


class Clock:
    """The run's own time: counted from T0 once an event has named it, from the first event before that."""

    def __init__(self) -> None:
        self._zero_ns: int | None = None
        self._t0_known = False

    def mark(self, event: Event) -> str:
        """`T-00:03` before T0, `T+00:12` after; `  00:01` since the start while T0 is not yet set."""
        at_ns = int(event.get("at_ns", 0))
        t0_ns = (event.get("data") or {}).get("t0_ns")
        if t0_ns is not None and not self._t0_known:
            self._zero_ns, self._t0_known = int(t0_ns), True
        if self._zero_ns is None:
            self._zero_ns = at_ns
        return self.text(at_ns)

    def text(self, at_ns: int) -> str:
        passed_s = (at_ns - (at_ns if self._zero_ns is None else self._zero_ns)) / NS_PER_S
        before = passed_s < 0 and self._t0_known
        minutes, seconds = divmod(math.ceil(-passed_s) if before else int(max(passed_s, 0)), 60)
        sign = "  " if not self._t0_known else "T-" if before else "T+"
        return f"{sign}{minutes:02d}:{seconds:02d}"


class PlainView:
    """A line per event, or per group of hosts that say the same at one time; for logs and pipelines."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._story = Story()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()

    def show(self, event: Event) -> None:
        with self._lock:
            self._write(self._story.lines(self._clock.mark(event), event))
            waiting, running = self._story.waiting, self._timer is not None
        if waiting and not running:
            self._timer = threading.Timer(GATHER_S, self._flush)
            self._timer.daemon = True
            self._timer.start()

    def tell(self, text: str) -> None:
        self._write([f"        {text}"])

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            progress(line)

    def _flush(self) -> None:
        with self._lock:
            self._timer = None
            self._write(self._story.flush())


def chosen_view(interrupt: str) -> View:
    """A live view where the cursor can be moved, else plain lines. `interrupt` says what Ctrl-C does."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from blackstart_controller.cli.live import LiveView

        return LiveView(interrupt)
    return PlainView()
