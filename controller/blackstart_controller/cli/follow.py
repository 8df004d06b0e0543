"""Follow a run's log to its end, through lost connections and restarts of the controller."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from blackstart_controller.cli.client import END, OPENED, Client, Silent
from blackstart_controller.errors import Unreachable

PATIENCE_S = 90.0  # a controller that restarts is back long before
PAUSE_S = 0.5


@dataclass(slots=True)
class Follower:
    """Where we are in a run's log. `to_end` may be left and called again; no event comes twice."""

    client: Client
    run_id: str
    tell: Callable[[str], None]
    after: str = ""
    ended: bool = False

    def to_end(self) -> Iterator[Any]:
        """Every further event. Unreachable: no connection for 90 s."""
        lost_s: float | None = None
        while not self.ended:
            try:
                for event in self.client.events(self.run_id, after=self.after):
                    lost_s = None
                    yield from self._taken(event.name, event.id, event.data)
            except Silent:
                continue
            except Unreachable as error:
                lost_s = self._lost(lost_s, error)
            if not self.ended:
                time.sleep(PAUSE_S)

    def _taken(self, name: str, seq: str, data: Any) -> Iterator[Any]:
        self.after = seq or self.after
        if name == END:
            self.ended = True
        elif name != OPENED:
            yield data

    def _lost(self, since_s: float | None, error: Unreachable) -> float:
        if since_s is None:
            self.tell(f"connection lost, trying again for {PATIENCE_S:g} s: {error}")
            return time.monotonic()
        if time.monotonic() - since_s > PATIENCE_S:
            raise error
        return since_s
