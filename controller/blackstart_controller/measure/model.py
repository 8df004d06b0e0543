"""What measuring takes in and gives out. Times are nanoseconds on the controller's monotonic timeline.

A host's time becomes the controller's by an offset with an error bound; both edges of every interval carry
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"  # the prober was late or broken: says nothing of the service


class Outcome(StrEnum):
    UNAFFECTED = "unaffected"
    FAILED_OVER = "failed over"  # back while the fault still held
    CAME_BACK = "came back"  # only after revert
    NOT_BACK = "not back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mapping:
    """controller time = host time + offset_ns, give or take error_ns."""

    offset_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class SamplePoint:
    """One answer on the controller's timeline. An ok says the service was up at some moment between start and
    end.
    """

    start_ns: int
    end_ns: int
    answer: Answer
    error_ns: int = 0
    lag_ns: int = 0  # how late the prober itself was
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeSeries:
    """Every sample of one probe from one observer, by start."""

    probe_id: str
    service: str
    observer: str
    period_ns: int
    samples: tuple[SamplePoint, ...]
    timeout_ns: int = 1_000_000_000  # how long a sample may be under way: none of the last so long is missed


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """One order's fault on one host. `end_ns` is None while it is not known to have ended.

    It was in effect until `ending_ns` (None: `end_ns`) for certain, and was seen to be gone at `end_ns`.
    """

    order_id: str
    host: str
    kind: str
    first_ns: int  # first action confirmed
    last_ns: int  # last action confirmed
    end_ns: int | None
    error_ns: int
    ending_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A duration in seconds that lies between `low` and `high`. Censored: longer than `low`, nobody knows how
    much.
    """

    seconds: float
    low: float
    high: float
    censored: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """The service went down within [last_ok_ns, first_bad_ns] and came back within [last_bad_ns,
    first_ok_ns].

    The edges already contain the clock error; `error_ns` says how much of it. `last_ok_ns` is None when
    nobody saw it up before, `first_ok_ns` is None while it is not back.
    """

    last_ok_ns: int | None  # the start of the last ok sample before
    first_bad_ns: int  # the earliest end of a bad sample
    last_bad_ns: int  # the start of the last bad sample
    first_ok_ns: int | None  # the earliest end of an ok sample of the streak that held
    error_ns: int
    observer: str = ""


@dataclass(frozen=True, slots=True)
class Objective:
    rto_s: float | None = None
    rpo_s: float | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """The measured result for one service in one run."""

    service: str
    outcome: Outcome
    recovery: Interval | None  # from t0 of the fault
    after_revert: Interval | None  # the same moment counted from the end of the fault; only `came back`
    availability: float | None  # share of known samples that were ok between t0 and the end of the watch
    relapses: int
    waited_for: str | None  # the dependency that was last back before this service
    met: bool | None  # objective
    lost_writes: int | None
    outages: tuple[Outage, ...]
    objective: Objective = Objective()
    unseen_s: float | None = None  # only `unaffected`: an outage shorter than this may have been missed
    reason: str = ""  # why unknown; or what else a reader must know: observers that were blind or disagree
