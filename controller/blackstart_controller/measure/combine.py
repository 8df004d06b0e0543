"""Several probes of one observer, and several observers of one service, to one picture.

Down is contagious: the service is down when one of its probes is, and was recovered when it was for every
observer that could see. Of a union the start is the earliest and the end the latest, and so are the edges of
both intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from blackstart_controller.measure.model import Answer, Outage, ProbeSeries
from blackstart_controller.measure.outages import high, low, outages, resolution_ns, usable

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """What counts: from the earliest possible t0 to the end of the watch."""

    from_ns: int
    until_ns: int
    settle_ns: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What one observer saw of one service.

    `blind` says why it saw nothing at all; `gap` where an outage could have hidden from it; `lost_ns` since
    when it said nothing more. `holey`: after the last bad sample all were ok, and for longer than `settle`,
    but with so many holes that no streak of them held. `unseen_ns`: the longest outage that can have hidden
    between its oks.
    """

    observer: str
    outages: tuple[Outage, ...]
    blind: str = ""
    gap: str = ""
    lost_ns: int | None = None
    holey: bool = False
    unseen_ns: int = 0


def sight(observer: str, probes: Sequence[ProbeSeries], window: Window) -> Sight:
    """The union of what all probes of one observer saw."""
    blind = [text for series in probes if (text := _blindness(series, window))]
    if blind:
        return Sight(observer, (), blind=blind[0])
    found = [
        outage
        for series in probes
        for outage in outages(series, settle_ns=window.settle_ns, until_ns=window.until_ns)
    ]
    gaps = [text for series in probes if (text := _gap(series, window))]
    lost = [moment for series in probes if (moment := _lost_ns(series, window)) is not None]
    return Sight(
        observer,
        merge(found, settle_ns=window.settle_ns, observer=observer),
        gap=gaps[0] if gaps else "",
        lost_ns=min(lost) if lost else None,
        holey=any(_is_holey(series, window) for series in probes),
        unseen_ns=max(_unseen_ns(series, window) for series in probes),
    )


def blind_ns(period_ns: int, settle_ns: int) -> int:
    """The longest hole between usable samples at which nobody is called blind."""
    return max(resolution_ns(period_ns), settle_ns // 2)


def merge(found: Iterable[Outage], *, settle_ns: int, observer: str = "") -> tuple[Outage, ...]:
    """The union of outages; two with less than `settle_ns` of up between them are one."""
    merged: list[Outage] = []
    for outage in sorted(found, key=lambda o: o.first_bad_ns):
        if merged and _touches(merged[-1], outage, settle_ns):
            merged[-1] = _union(merged[-1], outage, observer)
        else:
            merged.append(_union(outage, outage, observer))
    return tuple(merged)


def _touches(earlier: Outage, later: Outage, settle_ns: int) -> bool:
    return earlier.first_ok_ns is None or later.first_bad_ns - earlier.first_ok_ns < settle_ns


def _union(a: Outage, b: Outage, observer: str) -> Outage:
    last_ok = None if a.last_ok_ns is None or b.last_ok_ns is None else min(a.last_ok_ns, b.last_ok_ns)
    first_ok = None if a.first_ok_ns is None or b.first_ok_ns is None else max(a.first_ok_ns, b.first_ok_ns)
    return Outage(
        last_ok_ns=last_ok,
        first_bad_ns=min(a.first_bad_ns, b.first_bad_ns),
        last_bad_ns=max(a.last_bad_ns, b.last_bad_ns),
        first_ok_ns=first_ok,
        error_ns=max(a.error_ns, b.error_ns),
        observer=observer,
    )


def _blindness(series: ProbeSeries, window: Window) -> str:
    known = usable(series, window.until_ns)
    if any(sample.start_ns >= window.from_ns for sample in known):
        return ""
    why = Counter(s.detail for s in series.samples if s.answer is Answer.UNKNOWN and s.detail).most_common(1)
    return f"{series.probe_id}: no usable sample" + (f" ({why[0][0]})" if why else "")


def _gap(series: ProbeSeries, window: Window) -> str:
    """The longest hole between two oks in the window, if an outage could have hidden in it."""
    limit_ns = blind_ns(series.period_ns, window.settle_ns)
    known = usable(series, window.until_ns)
    longest_ns = 0
    if known and known[0].start_ns > window.from_ns + limit_ns:
        longest_ns = known[0].start_ns - window.from_ns
    for a, b in pairwise(known):
        if a.answer is Answer.OK and b.answer is Answer.OK and b.start_ns >= window.from_ns:
            longest_ns = max(longest_ns, b.start_ns - a.start_ns)
    return f"{series.probe_id}: blind for {longest_ns / NS_PER_S:.1f} s" if longest_ns > limit_ns else ""


def _unseen_ns(series: ProbeSeries, window: Window) -> int:
    """From one moment that an ok may speak of to the next: an outage in between need not meet a sample.

    Up to the last sample; what was silent for too long after it is `lost_ns`.
    """
    edges = [(low(s), high(s)) for s in usable(series, window.until_ns) if high(s) >= window.from_ns]
    since = [window.from_ns, *(max(start, window.from_ns) for start, _end in edges)]
    return max((end - begin for begin, (_start, end) in zip(since, edges, strict=False)), default=0)


def _is_holey(series: ProbeSeries, window: Window) -> bool:
    """Without its holes, a streak this long would have held."""
    known = usable(series, window.until_ns)
    bad = [sample.start_ns for sample in known if sample.answer is Answer.FAIL]
    patience_ns = window.settle_ns + resolution_ns(series.period_ns) + series.timeout_ns
    return bool(bad) and known[-1].start_ns - bad[-1] > patience_ns


def _lost_ns(series: ProbeSeries, window: Window) -> int | None:
    """When the last usable sample began, if that is too long before the end of the watch."""
    known = usable(series, window.until_ns)
    patience_ns = blind_ns(series.period_ns, window.settle_ns) + series.timeout_ns
    if known and known[-1].start_ns < window.until_ns - patience_ns:
        return known[-1].start_ns
    return None
