"""What the observers see of each service at this moment, as far as it is certain. Pure.

Times are nanoseconds of the controller's CLOCK_MONOTONIC. A sample proves something of some moment between
its start and its end, so a streak reaches from the end of its first sample to the start of its newest, both
narrowed by the clock's error: what is said here is never longer than the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blackstart_controller.plan.model import PlannedProbe

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe: since when it has been ok, or failing; `known_ns`: the start of its newest usable sample."""

    probe: PlannedProbe
    ok_ns: int | None
    failing_ns: int | None
    known_ns: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Sight:
    """One observer's view of one service. `known_ns`: what is newer than that is not known of every probe.

    `failing_ns` and `failing_until_ns` are set while some probe fails; `ok_ns` while none does.
    `answer_ns`: the longest that a sample may be under way, two periods added.
    """

    service: str
    observer: str
    answer_ns: int
    ok_ns: int | None
    failing_ns: int | None
    failing_until_ns: int | None
    known_ns: int | None
    detail: str = ""


def sights_of(
    views: Mapping[tuple[str, str], Sequence[Seen]], failing_ns: Mapping[tuple[str, str], int]
) -> tuple[Sight, ...]:
    """`failing_ns`: since when some probe of a view has been failing, whichever it was."""
    return tuple(_sight(view, seen, failing_ns.get(view)) for view, seen in views.items())


def _sight(view: tuple[str, str], seen: Sequence[Seen], failing_ns: int | None) -> Sight:
    known = [one.known_ns for one in seen if one.known_ns is not None]
    ok = [one.ok_ns for one in seen if one.ok_ns is not None]
    bad = [one for one in seen if one.failing_ns is not None]
    return Sight(
        service=view[0],
        observer=view[1],
        answer_ns=max(one.probe.timeout_ms + 2 * one.probe.every_ms for one in seen) * NS_PER_MS,
        ok_ns=max(ok) if len(ok) == len(seen) else None,
        failing_ns=failing_ns,
        failing_until_ns=max((one.known_ns for one in bad if one.known_ns is not None), default=None),
        known_ns=min(known) if len(known) == len(seen) else None,
        detail=bad[-1].detail if bad else "",
    )
