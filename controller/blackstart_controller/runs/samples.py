"""Samples on the controller's timeline: a window of the newest for deciding, all of them for measuring."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.measure.combine import NS_PER_S, blind_ns
from blackstart_controller.measure.model import Answer, ProbeSeries, SamplePoint
from blackstart_controller.measure.timeline import HostSample, point, probe_series
from blackstart_controller.plan.model import STOP_SERVICE, PlannedProbe
from blackstart_controller.runs.clocks import Timelines
from blackstart_controller.runs.sights import Seen, Sight, sights_of

MARGIN_PERIODS = 3
MARGIN_NS = 50_000_000
NS_PER_MS = 1_000_000
_ANSWERS = {
    agent_pb2.OUTCOME_OK: Answer.OK,
    agent_pb2.OUTCOME_FAIL: Answer.FAIL,
    agent_pb2.OUTCOME_UNKNOWN: Answer.UNKNOWN,
}


def sample_points(
    host: str, batch: agent_pb2.SampleBatch, clocks: Timelines
) -> Iterable[tuple[str, SamplePoint]]:
    """(probe id, sample) for each sample of a batch that can be placed in time."""
    mapping = None
    for sample in batch.samples:
        mapping = mapping or clocks.mapping(host, batch.boot_id, sample.started_ns)
        if mapping is None:
            return
        answer = _ANSWERS.get(sample.outcome, Answer.UNKNOWN)
        told = HostSample(sample.due_ns, sample.started_ns, sample.ended_ns, answer, sample.detail)
        yield sample.probe_id, point(told, mapping)


def all_series(
    probes: Sequence[PlannedProbe], batches: Iterable[tuple[str, agent_pb2.SampleBatch]], clocks: Timelines
) -> tuple[ProbeSeries, ...]:
    """Every sample of every probe. A host can only speak for the probes that it was given."""
    found: dict[str, list[SamplePoint]] = {probe.id: [] for probe in probes}
    observers = {probe.id: probe.observer for probe in probes}
    for host, batch in batches:
        for probe_id, sample in sample_points(host, batch, clocks):
            if observers.get(probe_id) == host:
                found[probe_id].append(sample)
    return tuple(probe_series(probe, found[probe.id]) for probe in probes)


@dataclass(slots=True)
class _Watched:
    probe: PlannedProbe
    recent: deque[SamplePoint]
    streak_ns: int | None = None  # start of the present streak of ok
    failing_ns: int | None = None  # start of the present streak of failures
    last_ns: int | None = None  # start of the newest known sample
    newest_ns: int | None = None  # start of the newest sample, whatever it says
    detail: str = ""  # what the newest failure said

    @property
    def view(self) -> tuple[str, str]:
        return self.probe.service, self.probe.observer


class LiveSamples:
    """The newest samples of each probe of a run, while it runs."""

    def __init__(self, probes: Sequence[PlannedProbe], window_s: float) -> None:
        self._watched = {
            probe.id: _Watched(probe, deque(maxlen=2 + int(window_s * 1000 / probe.every_ms)))
            for probe in probes
        }
        self._views: dict[tuple[str, str], list[_Watched]] = {}
        for one in self._watched.values():
            self._views.setdefault(one.view, []).append(one)
        self._failing_ns: dict[tuple[str, str], int] = {}  # since when some probe of a view fails

    def add(self, host: str, batch: agent_pb2.SampleBatch, clocks: Timelines) -> None:
        for probe_id, sample in sample_points(host, batch, clocks):
            watched = self._watched.get(probe_id)
            if watched is not None and watched.probe.observer == host:
                _add(watched, sample)
                self._note(watched.view)

    def sights(self) -> tuple[Sight, ...]:
        """What each observer sees of each service, and of each stop condition's own probe."""
        views = {view: [_seen(one) for one in watched] for view, watched in self._views.items()}
        return sights_of(views, self._failing_ns)

    def series(self) -> tuple[ProbeSeries, ...]:
        return tuple(probe_series(one.probe, one.recent) for one in self._watched.values())

    def silent(self) -> tuple[str, ...]:
        """Probes of which nothing has come yet."""
        return tuple(probe_id for probe_id, one in self._watched.items() if one.newest_ns is None)

    def behind(self, moment_ns: int) -> tuple[PlannedProbe, ...]:
        """Probes whose newest sample began before the moment."""
        return tuple(one.probe for one in self._watched.values() if (one.newest_ns or 0) < moment_ns)

    def up(self) -> dict[str, bool]:
        """Each service that somebody has seen, and whether the newest known answer of every probe is ok."""
        states: dict[str, bool] = {}
        for one in self._watched.values():
            if one.last_ns is not None and not one.probe.service.startswith(STOP_SERVICE):
                service = one.probe.service
                states[service] = states.get(service, True) and one.streak_ns is not None
        return states

    def not_back(self, *, since_ns: int, settle_ns: int) -> frozenset[str]:
        """Services of which a probe was not ok for `settle_ns` without a break after `since_ns`.

        A little longer than that: the measuring counts with error bars, and must see the whole streak too.
        """
        return frozenset(
            one.probe.service
            for one in self._watched.values()
            if not one.probe.service.startswith(STOP_SERVICE) and not _back(one, since_ns, settle_ns)
        )

    def _note(self, view: tuple[str, str]) -> None:
        """One probe of a service may begin to fail before another is ok again: that is no break."""
        since = [one.failing_ns for one in self._views[view] if one.failing_ns is not None]
        if since:
            self._failing_ns.setdefault(view, min(since))
        else:
            self._failing_ns.pop(view, None)


def _seen(one: _Watched) -> Seen:
    return Seen(one.probe, one.streak_ns, one.failing_ns, one.last_ns, one.detail)


def _back(one: _Watched, since_ns: int, settle_ns: int) -> bool:
    if one.streak_ns is None or one.last_ns is None:
        return False
    margin_ns = MARGIN_PERIODS * one.probe.every_ms * NS_PER_MS + MARGIN_NS
    return one.last_ns - max(one.streak_ns, since_ns) >= settle_ns + margin_ns


def _add(watched: _Watched, sample: SamplePoint) -> None:
    if watched.newest_ns is None or sample.start_ns > watched.newest_ns:
        watched.newest_ns = sample.start_ns
    watched.recent.append(sample)
    if sample.answer is Answer.UNKNOWN or (
        watched.last_ns is not None and sample.start_ns < watched.last_ns - sample.error_ns
    ):
        return
    hole = watched.last_ns is not None and sample.start_ns - watched.last_ns > _hole_ns(watched.probe)
    watched.last_ns = sample.start_ns - sample.error_ns
    end_ns = sample.end_ns + sample.error_ns
    if sample.answer is Answer.FAIL:
        watched.streak_ns, watched.detail = None, sample.detail
        watched.failing_ns = end_ns if watched.failing_ns is None else min(watched.failing_ns, end_ns)
    else:
        watched.failing_ns = None
        if watched.streak_ns is None or hole:  # nobody knows what was in the hole
            watched.streak_ns = end_ns


def _hole_ns(probe: PlannedProbe) -> int:
    """Longer without a usable sample, and a streak of ok is broken; as in the baseline."""
    return blind_ns(probe.every_ms * NS_PER_MS, NS_PER_S)
