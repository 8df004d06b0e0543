"""What a schedule is, as frozen data. Moments are aware and in UTC unless a name says `local`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from blackstart_controller.runs.clock import iso
from blackstart_controller.spec.document import Document

ON_TIME_S = 60.0  # a due time is on time so long; later it is missed, unless the schedule runs missed ones


@dataclass(frozen=True, slots=True)
class Cron:
    expression: str  # five fields, checked by `cron.checked`


@dataclass(frozen=True, slots=True)
class Once:
    local: datetime  # without a zone: the schedule's


@dataclass(frozen=True, slots=True)
class Random:
    """At moments nobody can foretell: `min_gap_s` apart or more, `mean_s` on average."""

    mean_s: float
    min_gap_s: float


Timing: TypeAlias = Cron | Once | Random


@dataclass(frozen=True, slots=True)
class Window:
    """Open on `days` (0 = Monday) from `start_min` to before `end_min`, minutes of the local day.

    `end_min` over 1440 is on the next day; the day counts on which the window opens.
    """

    text: str
    days: frozenset[int]
    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Spec:
    """When to run, and when not to. Seconds; None: the policy `skip`."""

    timing: Timing
    zone: str
    windows: tuple[Window, ...] = ()
    calendars: tuple[str, ...] = ()
    holidays: tuple[str, ...] = ()
    jitter_s: float = 0.0
    within_s: float | None = None  # a missed due time is run when it is at most so late
    wait_s: float | None = None  # for the schedule's earlier run to end
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A due time. It is known by `at`; it begins at `starts`, which is later only by the jitter.

    `note` says what a clock change did to it. `lost`: the local times it stands for do not exist, and nothing
    is run for them; it only exists to be told.
    """

    at: datetime
    starts: datetime
    note: str = ""
    lost: bool = False


class DueState(StrEnum):
    CLAIMED = "claimed"  # ours to start; after a crash the run's idempotency key says whether it was
    RUN = "run"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class DueRow:
    """What became of a due time; or of `count` from `due` to `until`, when a long outage missed very many."""

    schedule_id: str
    due: datetime
    starts: datetime
    until: datetime
    count: int
    state: DueState
    reason: str
    note: str
    run_id: str | None
    decided: datetime

    @property
    def key(self) -> str:
        """The idempotency key of its run."""
        return f"schedule:{self.schedule_id}:{iso(self.due)}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it is stored. `dealt_until`: every due time up to it has an outcome, or a claim.

    `revision` grows with every change: who decided on an older one decides again.
    """

    id: str
    name: str
    document: Document
    words: Mapping[str, Any]  # as they were asked for; `spec` is read from them
    spec: Spec
    created_by: str
    created: datetime
    dealt_until: datetime
    revision: int = 0
    armed_by: str | None = None
    approved_by: str | None = None  # the second person: who armed it, if not its maker and allowed to approve
    plan_hash: str | None = None  # who armed it has looked at this plan; another one is refused
    paused_by: str | None = None
    pause_reason: str = ""

    @property
    def state(self) -> str:
        return "disarmed" if self.armed_by is None else "paused" if self.paused_by is not None else "armed"

    def stands_still(self) -> str | None:
        """Why it runs nothing at all now."""
        if self.armed_by is None:
            return f"disarmed: `blackstart schedule arm {self.name}` arms it"
        if self.paused_by is not None:
            return f"paused: by {self.paused_by}" + (f", {self.pause_reason}" if self.pause_reason else "")
        return None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A blackout calendar as it was imported."""

    name: str
    text: str
    imported_by: str
    imported: datetime
