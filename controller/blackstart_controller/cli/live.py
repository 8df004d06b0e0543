"""The view on a terminal: the log scrolls by, and one line at the bottom says what the run is doing now."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from blackstart_controller.cli.view import QUIET, Clock, Event, sentence

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class LiveView:
    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._clock = Clock()
        self._last = "starting"
        self._since_s = time.monotonic()
        self._hosts: dict[str, str] = {}
        self._live = self._new_live()

    def __enter__(self) -> Self:
        self._live = self._new_live()
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        mark, text = self._clock.mark(event), sentence(event)
        if event.get("type") not in QUIET:
            self._console.print(Text(f"{mark} {text}", overflow="fold"))
        self._last, self._since_s = text, time.monotonic()
        if event.get("host"):
            self._hosts[str(event["host"])] = str(event.get("type", ""))

    def tell(self, text: str) -> None:
        self._console.print(Text(f"        {text}", overflow="fold"))

    def _new_live(self) -> Live:
        return Live(get_renderable=self._status, console=self._console, refresh_per_second=4, transient=True)

    def _status(self) -> Text:
        now_s = time.monotonic()
        waited_s = int(now_s - self._since_s)
        injected = sum(kind.endswith("injected") for kind in self._hosts.values())
        counts = f" · faults active on {injected} of {len(self._hosts)} hosts" if self._hosts else ""
        frame = SPINNER[int(now_s * 4) % len(SPINNER)]
        return Text(
            f"{frame} {self._last} ({waited_s} s ago){counts} · Ctrl-C halts",
            overflow="ellipsis",
            no_wrap=True,
        )
