"""Everything that a report shows, as frozen data: the formats only write it down.

Times are seconds relative to T0 (`_s`), the planned instant of the first injection.
"""

from __future__ import annotations

from dataclasses import dataclass

from blackstart_controller.measure.model import Recovery
from blackstart_controller.measure.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Band:
    """One outage: it began between the two starts and ended between the two ends; None: not back, or
    unseen.
    """

    start_low_s: float | None
    start_high_s: float
    end_low_s: float
    end_high_s: float | None


@dataclass(frozen=True, slots=True)
class ObserverView:
    """What one observer saw of one service. `unusable` samples are those that the prober itself spoilt."""

    observer: str
    site: str
    bands: tuple[Band, ...]
    samples: int
    unusable: int
    worst_lag_ms: float


@dataclass(frozen=True, slots=True)
class ServiceView:
    recovery: Recovery
    members: tuple[str, ...]
    depends_on: tuple[str, ...]
    observers: tuple[ObserverView, ...]


@dataclass(frozen=True, slots=True)
class HostSpan:
    """One fault on one host. `first_s` and `last_s`: its first and last action confirmed; None: not
    injected.
    """

    host: str
    site: str
    order_id: str
    kind: str
    first_s: float | None
    last_s: float | None
    end_s: float | None
    error_ms: float
    manual: tuple[str, ...] = ()  # the commands that undo it by hand
    path: str = ""  # where in the document its step stands: `steps[0].sequence[1]`


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of the run's log. `at` is wall time, ISO 8601, for people only."""

    at: str
    s: float | None
    host: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tripped:
    """A stop condition ended the run. `s` is None when there was no T0 yet."""

    s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class StopView:
    name: str
    kind: str
    condition: str  # when it trips, in words
    tripped: Tripped | None = None


@dataclass(frozen=True, slots=True)
class ReportView:
    run_id: str
    experiment: str
    description: str
    hypothesis: str
    owner: str
    tags: tuple[str, ...]
    mode: str
    seed: int
    verdict: Verdict
    reverted: bool
    t0_iso: str | None  # None: nothing was injected
    skew_ms: float | None  # between the first and the last host's first action in the first wave
    skew_error_ms: float | None
    completed_ms: float | None  # from the first action to the last one that was confirmed
    from_s: float  # the timeline's left end: where the baseline begins
    until_s: float  # its right end: the end of the watch
    hosts: tuple[HostSpan, ...]
    services: tuple[ServiceView, ...]
    events: tuple[EventView, ...]
    limits: tuple[str, ...]  # what was not tested, and how finely it was measured
    halted_by: str = ""  # a person's name, `stop condition NAME`, or `blackstart`
    stops: tuple[StopView, ...] = ()

    @property
    def unreverted(self) -> tuple[HostSpan, ...]:
        """The faults that are not confirmed to have ended."""
        return () if self.reverted else tuple(span for span in self.hosts if span.end_s is None)
