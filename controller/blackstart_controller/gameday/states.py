"""A game day's life. Whoever writes a state asks this table first."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from blackstart_controller.errors import Refused


class GameDayState(StrEnum):
    PLANNED = "planned"
    RUNNING = "running"
    FINISHED = "finished"
    ABORTED = "aborted"
    MISSED = "missed"


TRANSITIONS: Mapping[GameDayState, frozenset[GameDayState]] = MappingProxyType(
    {
        GameDayState.PLANNED: frozenset({GameDayState.RUNNING, GameDayState.ABORTED, GameDayState.MISSED}),
        GameDayState.RUNNING: frozenset({GameDayState.FINISHED, GameDayState.ABORTED}),
        GameDayState.FINISHED: frozenset(),
        GameDayState.ABORTED: frozenset(),
        GameDayState.MISSED: frozenset(),
    }
)
_NEXT = {
    GameDayState.PLANNED: "`blackstart gameday start` starts it",
    GameDayState.RUNNING: "`blackstart gameday finish` ends it",
    GameDayState.FINISHED: "plan another: blackstart gameday plan FILE",
    GameDayState.ABORTED: "plan another: blackstart gameday plan FILE",
    GameDayState.MISSED: "plan another: blackstart gameday plan FILE",
}


def check_transition(gameday_id: str, state: GameDayState, target: GameDayState) -> None:
    """Raises Refused when a game day in `state` cannot become `target`."""
    if target not in TRANSITIONS[state]:
        raise Refused(f"game day {gameday_id}: is {state} and cannot become {target}; {_NEXT[state]}")


def check_state(gameday_id: str, state: GameDayState, *allowed: GameDayState) -> None:
    """Raises Refused when `state` is not one of `allowed`."""
    if state not in allowed:
        wanted = " or ".join(allowed)
        raise Refused(f"game day {gameday_id}: is {state}; this needs it to be {wanted}; {_NEXT[state]}")
