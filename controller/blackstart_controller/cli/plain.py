"""A run as lines of text with time marks: for logs and pipelines, and what scrolls by on a terminal."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Self

from blackstart_controller.cli.output import harmless, progress
from blackstart_controller.cli.story import Event, Story

GATHER_S = 0.4  # hosts that say the same within it share a line
NS_PER_S = 1_000_000_000


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
        sign = "  " if not self._t0_known else "T-" if before else "T+"
        return sign + clock_face(-passed_s if before else int(max(passed_s, 0)))


class PlainView:
    """A line per event, or per group of hosts that say the same at one time."""

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
            progress(harmless(line))

    def _flush(self) -> None:
        with self._lock:
            self._timer = None
            self._write(self._story.flush())


def clock_face(seconds: float) -> str:
    """`00:18`, `2:05:00`; a part of a second counts as a whole one."""
    minutes, left_s = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left_s:02d}" if hours else f"{minutes:02d}:{left_s:02d}"
