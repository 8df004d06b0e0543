"""One probe's samples to outages whose edges are intervals that contain the truth.

What a sample proves: an ok, that the service was up at *some* moment between its start and its end; a bad
one, that it was down at some moment between them. Samples overlap: one that waits for its time-out is still
under way while later ones are answered. Hence the four edges:

- *down from*: after the start of the last ok that had ended before any bad one began, and before the earliest
  end of a bad one.
- *up again*: after the start of the last bad one. Before the end of an ok that began when every bad one was
  over; and if from there back to an earlier ok no gap is left in which an outage of `resolution_ns` fits,
  before the end of that one. Without this step a time-out of 1 s would make every recovery uncertain by 1 s.

So the edges are right for every outage that is at least `resolution_ns` and one answer long; shorter ones may
be missed. A hole without usable samples breaks a streak of oks: the streak must hold for `settle_ns` anew
behind it, and the edges span the hole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from blackstart_controller.measure.model import Answer, Outage, ProbeSeries, SamplePoint


def low(sample: SamplePoint) -> int:
    """The earliest moment that the sample can speak of."""
    return sample.start_ns - sample.error_ns


def high(sample: SamplePoint) -> int:
    """The latest moment that the sample can speak of."""
    return sample.end_ns + sample.error_ns


def usable(series: ProbeSeries, until_ns: int) -> list[SamplePoint]:
    """The samples that say something, begun up to `until_ns`, by start."""
    known = (s for s in series.samples if s.answer is not Answer.UNKNOWN and s.start_ns <= until_ns)
    return sorted(known, key=lambda s: s.start_ns)


def resolution_ns(period_ns: int) -> int:
    """The shortest outage that cannot be missed, and the longest hole that does not break a streak."""
    return 3 * period_ns


@dataclass(frozen=True, slots=True)
class Episode:
    """Bad samples with no ok streak between them that held; the streaks that held before and after."""

    before: tuple[SamplePoint, ...]
    bad: tuple[SamplePoint, ...]
    after: tuple[SamplePoint, ...]


def outages(series: ProbeSeries, *, settle_ns: int, until_ns: int) -> tuple[Outage, ...]:
    """Every outage that this probe saw among the samples begun up to `until_ns`, in order."""
    known = usable(series, until_ns)
    found = episodes(known, settle_ns=settle_ns, limit_ns=resolution_ns(series.period_ns))
    return tuple(_outage(episode, series, settle_ns) for episode in found)


def episodes(known: Iterable[SamplePoint], *, settle_ns: int, limit_ns: int) -> list[Episode]:
    """Cut the samples, by start, at every ok streak that held for `settle_ns` without a hole above
    `limit_ns`.
    """
    found: list[Episode] = []
    before: tuple[SamplePoint, ...] = ()
    bad: list[SamplePoint] = []
    for streak in _streaks(_placed(sorted(known, key=lambda s: s.start_ns), limit_ns), limit_ns):
        if streak[0].answer is Answer.FAIL:
            bad += streak
        elif not bad and not before:  # nothing is known of the time before it: take it as up
            before = streak
        elif low(streak[-1]) - min(map(high, streak)) >= settle_ns:
            if bad:
                found.append(Episode(before, tuple(bad), streak))
            before, bad = streak, []
    if bad:
        found.append(Episode(before, tuple(bad), ()))
    return found


def _placed(known: Sequence[SamplePoint], limit_ns: int) -> list[SamplePoint]:
    """The samples by start; but a bad one that waited long stands behind the oks that it outlasted.

    While it waited, those answered with no gap between them in which an outage of `limit_ns` fits: what it
    has seen came after them, and must not break their streak.
    """
    oks = [sample for sample in known if sample.answer is Answer.OK]
    starts = [sample.start_ns for sample in oks]
    placed = []
    for sample in known:
        at_ns = sample.start_ns
        if sample.answer is Answer.FAIL:
            at = bisect_left(starts, at_ns)
            last_ns = starts[at - 1] if at else at_ns - limit_ns
            for ok in oks[at:]:
                if ok.end_ns > sample.end_ns or ok.end_ns - last_ns >= limit_ns:
                    break
                at_ns = last_ns = ok.start_ns
        placed.append((at_ns, sample.answer is Answer.FAIL, sample.start_ns, sample))
    return [sample for *_key, sample in sorted(placed, key=lambda one: one[:3])]


def _streaks(known: Iterable[SamplePoint], limit_ns: int) -> Iterable[tuple[SamplePoint, ...]]:
    """Runs of equal answers, cut at holes."""
    streak: list[SamplePoint] = []
    for sample in known:
        same = streak and sample.answer is streak[-1].answer
        if streak and not (same and sample.start_ns - streak[-1].start_ns <= limit_ns):
            yield tuple(streak)
            streak = []
        streak.append(sample)
    if streak:
        yield tuple(streak)


def _outage(episode: Episode, series: ProbeSeries, settle_ns: int) -> Outage:
    first_bad_ns, last_bad_ns = min(map(high, episode.bad)), _last_bad(episode.bad, settle_ns)
    last_ok_ns = _last_ok(episode.before, min(map(low, episode.bad)))
    first_ok_ns = _first_ok(episode.after, max(map(high, episode.bad)), resolution_ns(series.period_ns))
    if first_ok_ns is not None:  # it went down before it came back
        first_bad_ns = min(first_bad_ns, first_ok_ns)
    if last_ok_ns is not None:
        last_bad_ns = max(last_bad_ns, last_ok_ns)
    error_ns = max(s.error_ns for s in (*episode.before[-1:], *episode.bad, *episode.after[:1]))
    return Outage(last_ok_ns, first_bad_ns, last_bad_ns, first_ok_ns, error_ns, series.observer)


def _last_ok(before: Sequence[SamplePoint], first_bad_start_ns: int) -> int | None:
    if not before:
        return None
    surely = [low(s) for s in before if high(s) <= first_bad_start_ns]
    return max(surely) if surely else low(before[0])


def _last_bad(bad: Sequence[SamplePoint], settle_ns: int) -> int:
    """The earliest moment after which the service can have been back for `settle_ns`.

    Between two bad samples so far apart it may have been, though it is not proved (a hole, or just too few
    oks).
    """
    latest_ns = low(bad[0])
    for earlier, later in pairwise(bad):
        if later.start_ns - earlier.start_ns >= settle_ns:
            break
        latest_ns = max(latest_ns, low(later))
    return latest_ns


def _first_ok(after: Sequence[SamplePoint], last_bad_end_ns: int, resolution: int) -> int | None:
    """The latest moment at which the service can have come back; None when it is not back."""
    if not after:
        return None
    tight = _without_containing(after)
    surely = next((i for i, s in enumerate(tight) if low(s) >= last_bad_end_ns), len(tight) - 1)
    while surely > 0 and tight[surely].end_ns - tight[surely - 1].start_ns < resolution:
        surely -= 1
    return high(tight[surely])


def _without_containing(streak: Sequence[SamplePoint]) -> list[SamplePoint]:
    """The samples that contain no later one: those that contain one prove less than it does."""
    kept: list[SamplePoint] = []
    for sample in reversed(streak):
        if not kept or high(sample) < high(kept[-1]):
            kept.append(sample)
    return kept[::-1]
