"""What a person sees of a run while it goes: plain lines with time marks, or a live line on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol, Self

from blackstart_controller.cli.output import progress

Event = Mapping[str, Any]
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
        passed_s = (at_ns - self._zero_ns) / NS_PER_S
        minutes, seconds = divmod(int(abs(passed_s)), 60)
        sign = "  " if not self._t0_known else "T-" if passed_s < 0 else "T+"
        return f"{sign}{minutes:02d}:{seconds:02d}"


PHASES = {
    "planned": "planned",
    "arming": "arming: every target checks its policy and prepares",
    "baseline": "baseline: everything must be steady before anything is broken",
    "injecting": "injecting",
    "holding": "holding: every fault is in effect",
    "reverting": "reverting",
    "settling": "settling: waiting for the services",
    "halting": "halting: everything is reverted",
    "ended": "ended",
}


# In the log and in the report, but no news to somebody who watches: what follows from them is shown.
QUIET = frozenset({"resolved", "arming", "armed", "armed_all", "injecting", "proved"})


def sentence(event: Event) -> str:
    """One line for a person: what happened, on which host, with what detail."""
    data = event.get("data") or {}
    kind = str(event.get("type", "event"))
    match kind:
        case "state":
            text = PHASES.get(str(data.get("state")), str(data.get("state")))
        case "t0":
            text = f"T0 is at {data.get('at', '')}"
        case "refused":
            text = f"refuses: {'; '.join(data.get('reasons', ()))}"
        case "service_up" | "service_down":
            return f"service {data.get('service')} is {kind.removeprefix('service_')}"
        case "verdict":
            text = f"verdict: {data.get('verdict')}; {data.get('sentence')}"
        case "halt":
            text = f"halted by {data.get('by')}"
        case _:
            text = kind.replace("_", " ")
    reason = data.get("reason") or data.get("detail") or data.get("text") or ""
    where = f"{event['host']} " if event.get("host") else ""
    return f"{where}{text}{f': {reason}' if reason else ''}"


class PlainView:
    """A line per event; for logs and pipelines."""

    def __init__(self) -> None:
        self._clock = Clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def show(self, event: Event) -> None:
        mark = self._clock.mark(event)
        if event.get("type") not in QUIET:
            progress(f"{mark} {sentence(event)}")

    def tell(self, text: str) -> None:
        progress(f"        {text}")


def chosen_view() -> View:
    """The live view on a terminal that can move its cursor, else plain lines."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from blackstart_controller.cli.live import LiveView

        return LiveView()
    return PlainView()
