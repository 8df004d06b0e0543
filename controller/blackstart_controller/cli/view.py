"""What a person sees of a run while it goes: plain lines with time marks, or a live view on a terminal."""

from __future__ import annotations

import os
import sys
from typing import Protocol, Self

from blackstart_controller.cli.known import Poll
from blackstart_controller.cli.plain import PlainView
from blackstart_controller.cli.story import Event


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def show(self, event: Event) -> None: ...

    def tell(self, text: str) -> None: ...


def chosen_view(interrupt: str, poll: Poll) -> View:
    """A live view where the cursor can be moved, else plain lines. `interrupt` says what Ctrl-C does."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from blackstart_controller.cli.live import LiveView

        return LiveView(interrupt, poll)
    return PlainView()
