"""A game day as it is kept: one row, and a timeline that only grows. Moments are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from blackstart_controller.gameday.states import GameDayState

ITSELF = "blackstart"  # the author of what nobody did


class EntryKind(StrEnum):
    PLANNED = "planned"
    TICKED = "ticked"  # a line of the checklist, by a person
    CHECKED = "checked"  # what the lines that check themselves said
    REMINDED = "reminded"
    STARTED = "started"
    GO = "go"  # somebody passed the hold point before an experiment
    RUN_STARTED = "run.started"
    RUN_REFUSED = "run.refused"
    RUN_ENDED = "run.ended"
    HELD = "held"  # what would have begun by itself waits for a person
    NOTE = "note"
    HYPOTHESIS = "hypothesis"
    FINDING = "finding"
    RETEST = "retest"
    ABORTED = "aborted"
    FINISHED = "finished"
    MISSED = "missed"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class ExperimentText:
    """One experiment as it was handed in: the day is held with this text, whatever the file says by then."""

    name: str
    file: str
    document: str
    values: Mapping[str, str]
    hold: bool


@dataclass(frozen=True, slots=True)
class GameDay:
    """`starts_at` is the window's start, or of a zero-notice day the secret moment that `seed` chose."""

    id: str
    name: str
    title: str
    document: str
    file: str
    experiments: tuple[ExperimentText, ...]
    state: GameDayState
    revision: int  # counts from 0; every change that a calendar shows adds 1
    zero_notice: bool
    seed: int
    window_start: str
    window_end: str
    starts_at: str
    planned_by: str
    created: str
    changed: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    kind: EntryKind
    author: str
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline. `seq` counts from 1 without a gap within the day."""

    seq: int
    at: str
    kind: EntryKind
    author: str
    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision adds to a day, all of it or nothing."""

    entries: tuple[NewEntry, ...]
    state: GameDayState | None = None
    row: GameDay | None = None  # a new version of what was planned


@dataclass(frozen=True, slots=True)
class Kept:
    """A day with its whole timeline."""

    row: GameDay
    entries: tuple[Entry, ...]


Decide: TypeAlias = Callable[[Kept], Change | None]  # pure; None: nothing to change
Rows: TypeAlias = Sequence[GameDay]
