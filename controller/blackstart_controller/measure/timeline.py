"""Host time to the controller's time: the nearest clock reading counts, and its error grows with its age."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from blackstart_controller.measure.model import Answer, Mapping, ProbeSeries, SamplePoint
from blackstart_controller.plan.model import PlannedProbe

DRIFT_PPM = 50  # how far two crystals may part: literature says 20 to 50
NS_PER_MS = 1_000_000


class Reading(Protocol):
    """One measured offset; `runs.ports.ClockEstimate` is one. controller time = host time + offset_ns ±
    error_ns.
    """

    @property
    def boot_id(self) -> str: ...
    @property
    def offset_ns(self) -> int: ...
    @property
    def error_ns(self) -> int: ...
    @property
    def at_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class HostSample:
    """A sample as the host numbered it, in its own CLOCK_MONOTONIC."""

    due_ns: int
    started_ns: int
    ended_ns: int
    answer: Answer
    detail: str = ""


def mapping_at(readings: Iterable[Reading], boot_id: str, host_ns: int) -> Mapping | None:
    """How `host_ns` of the boot `boot_id` becomes controller time; None when that boot's clock was never
    read.
    """
    best: Mapping | None = None
    for reading in readings:
        if reading.boot_id != boot_id:
            continue
        age_ns = abs(host_ns + reading.offset_ns - reading.at_ns)
        error_ns = reading.error_ns + age_ns * DRIFT_PPM // 1_000_000
        if best is None or error_ns < best.error_ns:
            best = Mapping(reading.offset_ns, error_ns)
    return best


def point(sample: HostSample, mapping: Mapping) -> SamplePoint:
    """The sample on the controller's timeline; its error also covers the drift while it was under way."""
    took_ns = sample.ended_ns - sample.started_ns
    return SamplePoint(
        start_ns=sample.started_ns + mapping.offset_ns,
        end_ns=sample.ended_ns + mapping.offset_ns,
        answer=sample.answer,
        error_ns=mapping.error_ns + took_ns * DRIFT_PPM // 1_000_000,
        lag_ns=sample.started_ns - sample.due_ns,
        detail=sample.detail,
    )


def points(
    samples: Iterable[HostSample], readings: Sequence[Reading], boot_id: str
) -> tuple[SamplePoint, ...]:
    """Every sample that can be placed in time. One of a boot whose clock was never read cannot, and is left
    out.
    """
    placed = []
    for sample in samples:
        mapping = mapping_at(readings, boot_id, sample.started_ns)
        if mapping is not None:
            placed.append(point(sample, mapping))
    return tuple(placed)


def probe_series(probe: PlannedProbe, samples: Iterable[SamplePoint]) -> ProbeSeries:
    """The series of one planned probe, by start; a sample later than half its period is void, whatever it
    says.
    """
    period_ns = probe.every_ms * NS_PER_MS
    ordered = sorted((_void_if_late(sample, period_ns) for sample in samples), key=lambda s: s.start_ns)
    return ProbeSeries(
        probe_id=probe.id,
        service=probe.service,
        observer=probe.observer,
        period_ns=period_ns,
        samples=tuple(ordered),
        timeout_ns=probe.timeout_ms * NS_PER_MS,
    )


def _void_if_late(sample: SamplePoint, period_ns: int) -> SamplePoint:
    if sample.answer is Answer.UNKNOWN or sample.lag_ns * 2 <= period_ns:
        return sample
    return replace(sample, answer=Answer.UNKNOWN, detail=f"prober late by {sample.lag_ns / 1e6:.0f} ms")
