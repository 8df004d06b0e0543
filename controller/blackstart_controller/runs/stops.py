"""Whether a stop condition has tripped: facts in, what to say out. Pure.

Times are nanoseconds of the controller's CLOCK_MONOTONIC. Only what is certain trips a condition on a service
or a probe; what cannot be read trips every condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from blackstart_controller.plan.model import (
    STOP_SERVICE,
    MetricStop,
    ProbeStop,
    ServiceStop,
    StopCondition,
    WebhookStop,
)
from blackstart_controller.runs.sights import Sight

NS = 1_000_000_000
DELIVERY_NS = NS  # samples come in batches: so long even a short condition waits for one


class Said(StrEnum):
    """What one answer of a source means for the run."""

    GO_ON = "go on"
    AGAINST = "against"
    NOTHING = "nothing"  # no answer, or none that can be read


@dataclass(frozen=True, slots=True)
class Answer:
    """`at_ns`: the moment that it speaks of. `words`: what it said, or why it cannot be read."""

    at_ns: int
    said: Said
    words: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a metric's or a webhook's source has said so far."""

    last: Answer | None = None
    misses: int = 0  # answers in a row that could not be read
    against_ns: int | None = None  # since when every answer that could be read was against going on
    against_until_ns: int | None = None

    def heard(self, answer: Answer) -> Source:
        match answer.said:
            case Said.NOTHING:
                return replace(self, last=answer, misses=self.misses + 1)
            case Said.AGAINST:
                since_ns = answer.at_ns if self.against_ns is None else self.against_ns
                return Source(answer, 0, since_ns, answer.at_ns)
            case Said.GO_ON:
                return Source(answer)


@dataclass(frozen=True, slots=True)
class Facts:
    """`t0_ns`: for the words only; None before T0 is known. `misses`: so many in a row are too many."""

    sights: Sequence[Sight]
    sources: Mapping[StopCondition, Source]
    now_ns: int
    misses: int
    t0_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one condition stands. `quiet`: it was read, and nothing in it is against beginning."""

    stop: StopCondition
    reading: str
    quiet: bool
    tripped: str = ""  # the reason, in words
    since_ns: int | None = None


def standings(stops: Sequence[StopCondition], facts: Facts) -> tuple[Standing, ...]:
    """Every condition, in the plan's order."""
    return tuple(_standing(stop, facts) for stop in stops)


def label(stop: StopCondition) -> str:
    return f"stop condition {stop.name}"


def _standing(stop: StopCondition, facts: Facts) -> Standing:
    match stop:
        case ServiceStop():
            return _watched(stop, stop.service, stop.service, facts)
        case ProbeStop():
            return _watched(stop, f"{STOP_SERVICE}{stop.name}", f"probe {stop.name}", facts)
        case MetricStop():
            return _asked(stop, stop.for_s, facts)
        case WebhookStop():
            return _asked(stop, 0.0, facts)


# ---- services and probes: every observer is a source of its own ----


def _watched(stop: ServiceStop | ProbeStop, service: str, what: str, facts: Facts) -> Standing:
    """One observer that cannot be heard is enough: its users may be those who suffer."""
    views = [sight for sight in facts.sights if sight.service == service]
    if not views:
        return Standing(stop, "nobody watches it", quiet=False, tripped=f"nobody watches {what}")
    found = [_viewed(stop, sight, what, facts) for sight in views]
    return max(found, key=lambda one: (bool(one.tripped), not one.quiet))


def _viewed(stop: ServiceStop | ProbeStop, sight: Sight, what: str, facts: Facts) -> Standing:
    limit_ns = int(stop.failing_s * NS)
    seen_by = f"seen from {sight.observer}"
    if sight.known_ns is None:
        return Standing(stop, f"no usable sample from {sight.observer} yet", quiet=False)
    silent_ns = facts.now_ns - sight.known_ns
    if silent_ns > max(limit_ns, DELIVERY_NS) + sight.answer_ns:
        why = f"no usable sample from {sight.observer} for {silent_ns / NS:.1f} s"
        return Standing(stop, why, quiet=False, tripped=unreadable(why), since_ns=sight.known_ns)
    if sight.failing_ns is None or sight.failing_until_ns is None:
        return Standing(stop, f"ok, {seen_by}", quiet=True)
    failing_ns = max(0, sight.failing_until_ns - sight.failing_ns)
    why = f": {sight.detail}" if sight.detail else ""
    reading = f"failing for {failing_ns / NS:.1f} s, {seen_by}{why}"
    if failing_ns < limit_ns:
        return Standing(stop, reading, quiet=False, since_ns=sight.failing_ns)
    since = _since(sight.failing_ns, facts.t0_ns)
    tripped = f"{what} has been failing{since} ({failing_ns / NS:.1f} s), {seen_by}"
    limit = f"{stop.failing_s:g} s are the limit{why}"
    return Standing(stop, reading, quiet=False, tripped=f"{tripped}; {limit}", since_ns=sight.failing_ns)


# ---- metrics and webhooks ----


def _asked(stop: MetricStop | WebhookStop, for_s: float, facts: Facts) -> Standing:
    source = facts.sources.get(stop, Source())
    if source.last is None:
        return Standing(stop, "it has not answered yet", quiet=False)
    words = source.last.words
    if source.misses >= facts.misses:
        tripped = unreadable(f"{source.misses} times in a row: {words}")
        return Standing(stop, words, quiet=False, tripped=tripped, since_ns=source.against_ns)
    if source.against_ns is None or source.against_until_ns is None:
        return Standing(stop, words, quiet=source.misses == 0)
    if source.against_until_ns - source.against_ns < int(for_s * NS):
        return Standing(stop, words, quiet=False, since_ns=source.against_ns)
    held = f"; {for_s:g} s are the limit" if for_s else ""
    tripped = f"{words}{_since(source.against_ns, facts.t0_ns)}{held}"
    return Standing(stop, words, quiet=False, tripped=tripped, since_ns=source.against_ns)


def unreadable(why: str) -> str:
    return f"it cannot be read, which counts as tripped: {why}"


def _since(moment_ns: int, t0_ns: int | None) -> str:
    return "" if t0_ns is None else f" since {at_t0(moment_ns, t0_ns)}"


def at_t0(moment_ns: int, t0_ns: int) -> str:
    """A moment as people read it: `T+31.2 s`."""
    return f"T{(moment_ns - t0_ns) / NS:+.1f} s"
