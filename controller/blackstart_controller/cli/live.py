"""The view on a terminal: the log scrolls by, and one line at the bottom says what the run is doing now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from blackstart_controller.cli.story import Event
from blackstart_controller.cli.view import NS_PER_S, PlainView

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
OVER = frozenset({"reverted", "disarmed", "inject_failed", "refused"})


class LiveView(PlainView):
    def __init__(self, interrupt: str) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._interrupt = interrupt
        self._phase = "starting"
        self._newest_ns, self._heard_s = 0, time.monotonic()
        self._hosts: dict[str, str] = {}  # of each order that was armed
        self._active: set[str] = set()
        self._down: set[str] = set()
        self._live = self._new_live()

    def __enter__(self) -> Self:
        self._live = self._new_live()
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._live.stop()

    def show(self, event: Event) -> None:
        super().show(event)
        self._newest_ns = max(self._newest_ns, int(event.get("at_ns", 0)))
        self._heard_s = time.monotonic()
        data, kind, order = event.get("data") or {}, event.get("type"), str(event.get("order_id", ""))
        if kind == "state":
            self._phase = str(data.get("state"))
        elif kind in ("armed", "injected"):
            self._hosts[order] = str(event.get("host"))
            self._active |= {order} if kind == "injected" else set()
        elif kind in OVER:
            self._active.discard(order)
        elif kind == "service_down":
            self._down.add(str(data.get("service")))
        elif kind == "service_up":
            self._down.discard(str(data.get("service")))

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(Text(line, overflow="fold"))

    def _new_live(self) -> Live:
        return Live(get_renderable=self._status, console=self._console, refresh_per_second=4, transient=True)

    def _status(self) -> Text:
        now_s = time.monotonic()
        at_ns = self._newest_ns + int((now_s - self._heard_s) * NS_PER_S)
        parts = [f"{SPINNER[int(now_s * 4) % len(SPINNER)]} {self._clock.text(at_ns).strip()} {self._phase}"]
        if self._hosts:
            active = len({self._hosts[order] for order in self._active})
            parts.append(f"faults active on {active} of {len(set(self._hosts.values()))} hosts")
        if self._down:
            parts.append(f"down: {', '.join(sorted(self._down))}")
        return Text(" · ".join([*parts, self._interrupt]), overflow="ellipsis", no_wrap=True)
