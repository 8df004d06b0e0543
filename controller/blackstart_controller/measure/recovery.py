"""What one service's outages say: which of the five outcomes, how long it took, and what could not be
seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from blackstart_controller.measure.combine import NS_PER_S, Sight, Window, merge, sight
from blackstart_controller.measure.faults import Moment, Wave, cause, ends, held_until_ns
from blackstart_controller.measure.model import (
    Answer,
    Interval,
    Objective,
    Outage,
    Outcome,
    ProbeSeries,
    Recovery,
)
from blackstart_controller.plan.model import Plan, Service


@dataclass(frozen=True, slots=True)
class Scene:
    """What all services of a run share."""

    plan: Plan
    waves: tuple[Wave, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Judged:
    outcome: Outcome
    recovery: Interval | None = None
    after_revert: Interval | None = None
    unseen_s: float | None = None
    reason: str = ""


def measure_service(scene: Scene, service: Service, series: Sequence[ProbeSeries]) -> Recovery:
    """The measured result of one service. `waited_for` is still None: it needs the results of the others.

    A relapse counts against the objective too: the service must be back in time every time. What is not
    proved to be met is missed.
    """
    sights = sights_of(service, series, scene)
    found = combined(sights, scene.window)
    judged = judge(scene, service, sights, found)
    return Recovery(
        service=service.name,
        outcome=judged.outcome,
        recovery=judged.recovery,
        after_revert=judged.after_revert,
        unseen_s=judged.unseen_s,
        availability=availability(series, scene.window),
        relapses=max(0, len(found) - 1),
        waited_for=None,
        met=met(service.rto_s, judged, found),
        lost_writes=None,
        outages=tuple(outage for s in sights for outage in s.outages),
        objective=Objective(service.rto_s, service.rpo_s),
        reason="; ".join(filter(None, (judged.reason, too_coarse(service, judged), *remarks(sights, found)))),
    )


def sights_of(service: Service, series: Sequence[ProbeSeries], scene: Scene) -> tuple[Sight, ...]:
    """One sight per observer that was planned; one without any series is blind."""
    planned = [probe for probe in scene.plan.probes if probe.service == service.name]
    seen = {one.probe_id: one for one in series}
    found = []
    for observer in dict.fromkeys(probe.observer for probe in planned):
        ids = [probe.id for probe in planned if probe.observer == observer]
        missing = [name for name in ids if name not in seen]
        if missing:
            found.append(Sight(observer, (), blind=f"{missing[0]}: no sample arrived"))
        else:
            found.append(sight(observer, [seen[name] for name in ids], scene.window))
    return tuple(found)


def combined(sights: Sequence[Sight], window: Window) -> tuple[Outage, ...]:
    """The outages of the service as its unluckiest user met them, those left out that were over before the
    fault.
    """
    every = merge((outage for s in sights for outage in s.outages), settle_ns=window.settle_ns)
    return tuple(o for o in every if o.first_ok_ns is None or o.first_ok_ns > window.from_ns)


def judge(scene: Scene, service: Service, sights: Sequence[Sight], found: Sequence[Outage]) -> Judged:
    seeing = [s for s in sights if not s.blind]
    if not seeing:
        return Judged(Outcome.UNKNOWN, reason="; ".join(s.blind for s in sights) or "nobody watched it")
    if not found:
        return _unaffected(seeing, scene.window)
    first = found[0]
    if first.first_bad_ns < scene.window.from_ns:
        return Judged(Outcome.UNKNOWN, reason="it was already down before the fault")
    wave = cause(scene.waves, first)
    if found[-1].first_ok_ns is None:
        judged = _not_back(seeing, found[-1], wave)
        cut_short = _cut_short(scene, wave, ends(scene.plan, wave, service))
        return replace(judged, outcome=Outcome.UNKNOWN, reason=cut_short) if cut_short else judged
    return _back(scene, service, wave, first)


def _unaffected(seeing: Sequence[Sight], window: Window) -> Judged:
    whole = [s for s in seeing if not s.gap and s.lost_ns is None]
    if whole:
        return Judged(Outcome.UNAFFECTED, unseen_s=max(s.unseen_ns for s in whole) / NS_PER_S)
    reasons = [s.gap or f"{s.observer} said nothing after {_since(s.lost_ns, window)}" for s in seeing]
    return Judged(Outcome.UNKNOWN, reason="; ".join(reasons))


def _not_back(seeing: Sequence[Sight], last: Outage, wave: Wave) -> Judged:
    witnesses = [s for s in seeing if s.outages and s.outages[-1].first_ok_ns is None]
    at_least = max(0.0, (last.last_bad_ns - wave.t0.high_ns) / NS_PER_S)
    censored = Interval(seconds=at_least, low=at_least, high=at_least, censored=True)
    if all(s.lost_ns is not None for s in witnesses):
        names = ", ".join(s.observer for s in witnesses)
        return Judged(
            Outcome.UNKNOWN,
            recovery=censored,
            reason=f"it was down when {names} stopped answering; later unknown",
        )
    if all(s.lost_ns is not None or s.holey for s in witnesses):
        names = ", ".join(s.observer for s in witnesses)
        return Judged(
            Outcome.UNKNOWN,
            recovery=censored,
            reason=f"it answered again, but {names} was blind too often to see whether it stayed",
        )
    return Judged(Outcome.NOT_BACK, recovery=censored)


def _cut_short(scene: Scene, wave: Wave, fault_ends: Iterable[Moment | None]) -> str:
    """Why "not back" would say too much: the run ended before it had watched as long as planned."""
    held_ns = held_until_ns(scene.plan, wave)
    last_ns = max(held_ns if moment is None else moment.high_ns for moment in fault_ends)
    watch_ns = int(scene.plan.watch_s * NS_PER_S) - scene.window.settle_ns
    if scene.window.until_ns >= last_ns + max(watch_ns, scene.window.settle_ns):
        return ""
    return "it was down when the run ended, too soon after the fault to tell"


def _back(scene: Scene, service: Service, wave: Wave, outage: Outage) -> Judged:
    recovery = since(wave.t0, outage)
    fault_ends = ends(scene.plan, wave, service)
    known = [moment for moment in fault_ends if moment is not None]
    back_ns = _middle(outage)
    if len(known) < len(fault_ends):
        if outage.first_ok_ns is not None and outage.first_ok_ns <= held_until_ns(scene.plan, wave):
            return Judged(Outcome.FAILED_OVER, recovery)
        return Judged(Outcome.UNKNOWN, recovery, reason="it came back, but when the fault ended is not known")
    first_end = min(known, key=lambda moment: moment.low_ns)
    unclear = outage.last_bad_ns < first_end.high_ns and (outage.first_ok_ns or 0) > first_end.low_ns
    note = "it came back within error bars of the fault's end" if unclear else ""
    if outage.first_ok_ns is not None and outage.first_ok_ns <= first_end.low_ns:
        return Judged(Outcome.FAILED_OVER, recovery)  # only what certainly was back while the fault held
    reference = max((m for m in known if m.low_ns <= back_ns), key=lambda m: m.low_ns, default=first_end)
    return Judged(Outcome.CAME_BACK, recovery, since(reference, outage), reason=note)


def since(start: Moment, outage: Outage) -> Interval | None:
    """How long after `start` the service was back. None while it is not."""
    if outage.first_ok_ns is None:
        return None
    low = max(0, outage.last_bad_ns - start.high_ns) / NS_PER_S
    high = max(0, outage.first_ok_ns - start.low_ns) / NS_PER_S
    return Interval(seconds=(low + high) / 2, low=low, high=high)


def met(rto_s: float | None, judged: Judged, found: Iterable[Outage]) -> bool | None:
    """Whether the objective is proved to be met; None without one, or when too little is known."""
    if rto_s is None or judged.outcome is Outcome.UNKNOWN or (judged.unseen_s or 0.0) > rto_s:
        return None
    if judged.outcome is Outcome.NOT_BACK:
        return False
    if judged.recovery is not None and judged.recovery.high > rto_s:
        return False
    return all(_longest_s(outage) <= rto_s for outage in list(found)[1:])


def availability(series: Iterable[ProbeSeries], window: Window) -> float | None:
    """The share of usable samples between the fault and the end of the watch that were ok."""
    answers = [
        sample.answer
        for one in series
        for sample in one.samples
        if window.from_ns <= sample.start_ns <= window.until_ns and sample.answer is not Answer.UNKNOWN
    ]
    return answers.count(Answer.OK) / len(answers) if answers else None


def too_coarse(service: Service, judged: Judged) -> str:
    """Why the objective of a service without an outage is not judged, and what helps; "" when it is."""
    if service.rto_s is None or judged.unseen_s is None or judged.unseen_s <= service.rto_s:
        return ""
    return (
        f"an outage of up to {judged.unseen_s:.3f} s could not have been seen, and its objective is "
        f"{service.rto_s:g} s: ask more often (every)"
    )


def remarks(sights: Sequence[Sight], found: Sequence[Outage]) -> list[str]:
    """What a reader must know about the observers: who was blind, and who saw no outage where others did."""
    seeing = [s for s in sights if not s.blind]
    blind = [f"{s.observer} was blind ({s.blind})" for s in sights if s.blind and seeing]
    if not found:
        return blind
    untouched = [s.observer for s in seeing if not s.outages and not s.gap and s.lost_ns is None]
    return blind + ([f"no outage seen by {', '.join(untouched)}"] if untouched else [])


def _middle(outage: Outage) -> int:
    return (outage.last_bad_ns + (outage.first_ok_ns or outage.last_bad_ns)) // 2


def _longest_s(outage: Outage) -> float:
    start_ns = outage.first_bad_ns if outage.last_ok_ns is None else outage.last_ok_ns
    return ((outage.first_ok_ns or outage.last_bad_ns) - start_ns) / NS_PER_S


def _since(moment_ns: int | None, window: Window) -> str:
    return f"T0 + {((moment_ns or window.from_ns) - window.from_ns) / NS_PER_S:.1f} s"
