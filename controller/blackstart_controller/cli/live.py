"""The view on a terminal: the log scrolls by, and below it stands what the run is doing now."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from blackstart_controller.cli.board import picture
from blackstart_controller.cli.known import Known, Poll
from blackstart_controller.cli.output import harmless
from blackstart_controller.cli.plain import PlainView
from blackstart_controller.cli.story import Event
from blackstart_controller.errors import BlackstartError

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
POLL_S = 0.5
FRAMES_PER_S = 4
LEAST_LINES = 5  # even where half of the terminal is less


class LiveView(PlainView):
    """While entered it draws, and asks the controller twice a second."""

    def __init__(self, interrupt: str, poll: Poll) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._interrupt = interrupt
        self._poll = poll
        self._known = Known()
        self._known_lock = threading.Lock()  # the innermost: nothing is written while it is held
        self._left = threading.Event()
        self._live = self._new_live()

    def __enter__(self) -> Self:
        self._left = threading.Event()
        self._live = self._new_live()
        self._live.start()
        threading.Thread(target=self._keep_asking, args=(self._left,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        super().__exit__(*error)
        self._live.stop()

    def show(self, event: Event) -> None:
        super().show(event)
        with self._known_lock:
            self._known.heard(event, time.monotonic())

    def _keep_asking(self, left: threading.Event) -> None:
        """Until `left` is set. No answer is no news here: the log's own connection tells it."""
        while not left.wait(POLL_S):
            try:
                answer = self._poll()
            except BlackstartError:
                continue
            except RuntimeError:  # the client was closed meanwhile: everything is over
                return
            with self._known_lock:
                self._known.polled(answer, time.monotonic())

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(Text(harmless(line), overflow="fold"))

    def _new_live(self) -> Live:
        return Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=FRAMES_PER_S,
            transient=True,
        )

    def _picture(self) -> Group:
        now_s = time.monotonic()
        spinner = SPINNER[int(now_s * FRAMES_PER_S) % len(SPINNER)]
        width, height = self._console.size
        with self._known_lock:
            mark = f"{spinner} {self._clock.text(self._known.now_ns(now_s)).strip()}"
            lines = picture(self._known, now_s, mark, width, max(LEAST_LINES, height // 2) - 1)
        return Group(*lines, Text(self._interrupt, "dim", overflow="ellipsis", no_wrap=True))
