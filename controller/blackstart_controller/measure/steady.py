"""Whether the steady state held: every observer has seen every service up, without a hole, for long
enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from blackstart_controller.measure.combine import NS_PER_S, blind_ns
from blackstart_controller.measure.model import Answer, ProbeSeries, SamplePoint
from blackstart_controller.measure.outages import usable
from blackstart_controller.plan.model import PlannedProbe

DELIVERY_NS = 1_000_000_000  # samples arrive in batches: so much of the end may not have arrived yet


def unsteady(
    probes: Sequence[PlannedProbe], series: Sequence[ProbeSeries], *, from_ns: int, until_ns: int
) -> tuple[str, ...]:
    """Every reason why the state between the two moments was not steady, one per probe; empty when it was.

    The last second, in which samples may still be on their way, need not be covered; a bad sample in it
    counts.
    """
    by_id = {one.probe_id: one for one in series}
    reasons = (_reason(probe, by_id.get(probe.id), from_ns, until_ns) for probe in probes)
    return tuple(reason for reason in reasons if reason)


def _reason(probe: PlannedProbe, series: ProbeSeries | None, from_ns: int, until_ns: int) -> str:
    who = f"{probe.service} seen from {probe.observer} ({probe.id})"
    if series is None:
        return f"{who}: no sample arrived"
    inside = [s for s in series.samples if from_ns <= s.start_ns <= until_ns]
    bad = [s for s in inside if s.answer is Answer.FAIL]
    if bad:
        return (
            f"{who}: {len(bad)} of {len(inside)} samples failed, last: {bad[-1].detail or 'no reason given'}"
        )
    return _uncovered(who, series, inside, from_ns, until_ns)


def _uncovered(
    who: str, series: ProbeSeries, inside: Sequence[SamplePoint], from_ns: int, until_ns: int
) -> str:
    limit_ns = blind_ns(series.period_ns, NS_PER_S)
    starts = [s.start_ns for s in usable(series, until_ns) if s.start_ns >= from_ns]
    if not starts:
        unknown = [s.detail for s in inside if s.answer is Answer.UNKNOWN and s.detail]
        return f"{who}: no usable sample" + (f", last: {unknown[-1]}" if unknown else "")
    edges = [from_ns, *starts, max(starts[-1], until_ns - DELIVERY_NS)]
    longest_ns = max(b - a for a, b in pairwise(edges))
    if longest_ns > limit_ns:
        allowed = f"at most {limit_ns / NS_PER_S:.1f} s may be missed"
        return f"{who}: not watched for {longest_ns / NS_PER_S:.1f} s; {allowed}"
    return ""
