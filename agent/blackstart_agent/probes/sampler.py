"""Open loop: sample k is due at start + k × period, whatever sample k − 1 does.

A prober that waits for the last answer before it asks again does not see a hang (coordinated omission); one
that is itself late invents outages. So each sample is its own task with a time-out counted from when it was
due, and a sample that this process could not take in time says UNKNOWN, never FAIL.
"""

from __future__ import annotations

import asyncio
import heapq
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import CannotLook, Look, Surroundings, build
from blackstart_agent.probes.sample import answer_of, void
from blackstart_agent.probes.timerfd import Timer

Deliver: TypeAlias = Callable[[str, list[agent_pb2.Sample]], None]

BATCH_S = 0.2
PREPARE_S = 5.0
NS_PER_MS = 1_000_000
MAX_BEHIND = 100  # periods; after a longer stop the missed samples are skipped, not made up for
MIN_EVERY_MS, MIN_TIMEOUT_MS = 1, 1


@dataclass(slots=True)
class Track:
    """One probe on its schedule."""

    run: Run
    probe: agent_pb2.Probe
    look: Look | None  # None: it cannot be taken, for `trouble`
    trouble: str
    period_ns: int
    timeout_ns: int
    start_ns: int = 0
    k: int = 0

    @property
    def due_ns(self) -> int:
        return self.start_ns + self.k * self.period_ns


@dataclass(slots=True)
class Run:
    id: str
    probes: tuple[bytes, ...]
    deliver: Deliver
    batch: list[agent_pb2.Sample] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    flush: asyncio.TimerHandle | None = None
    live: bool = True


class Sampler:
    """Takes the samples of any number of runs. Every method is called in the event loop that made it."""

    def __init__(self, around: Surroundings | None = None, *, max_in_flight: int | None = None) -> None:
        self._around = around or Surroundings()
        self._max_in_flight = max_in_flight or _affordable()
        self._in_flight = 0
        self._stalled_ns = 0  # the sum of all wake-up delays: how long this loop did not run
        self._runs: dict[str, Run] = {}
        self._heap: list[tuple[int, int, Track]] = []
        self._order = count()
        self._timer: Timer | None = None

    def start(self, run_id: str, probes: Sequence[agent_pb2.Probe], deliver: Deliver) -> None:
        """Sample `probes` until `stop`. Batches come every 0.2 s while there are any.

        Starting a run again with the same probes only changes who gets the batches; with others, it replaces
        them.
        """
        wanted = tuple(probe.SerializeToString(deterministic=True) for probe in probes)
        running = self._runs.get(run_id)
        if running is not None and running.probes == wanted:
            running.deliver = deliver
            return
        self.stop(run_id)
        run = self._runs[run_id] = Run(run_id, wanted, deliver)
        for number, probe in enumerate(probes):
            self._spawn(run, self._begin(run, probe, number / len(probes)))

    def stop(self, run_id: str) -> None:
        """No more samples of this run are begun; those under way are given up; the finished ones are
        delivered.
        """
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        run.live = False
        for task in run.tasks:
            task.cancel()
        self._flush(run)

    def close(self) -> None:
        """Stop every run and let go of the timer."""
        for run_id in list(self._runs):
            self.stop(run_id)
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    # ---- the schedule ----

    async def _begin(self, run: Run, probe: agent_pb2.Probe, phase: float) -> None:
        look, trouble = await self._prepared(probe)
        period_ns = max(MIN_EVERY_MS, probe.every_ms) * NS_PER_MS
        timeout_ns = max(MIN_TIMEOUT_MS, probe.timeout_ms) * NS_PER_MS
        start_ns = time.monotonic_ns() + int(phase * period_ns)
        self._schedule(Track(run, probe, look, trouble, period_ns, timeout_ns, start_ns))

    async def _prepared(self, probe: agent_pb2.Probe) -> tuple[Look | None, str]:
        try:
            look = build(probe, self._around)
            async with asyncio.timeout(PREPARE_S):
                await look.prepare()
        except TimeoutError:
            return None, f"names were not resolved within {PREPARE_S:.0f} s"
        except CannotLook as error:
            return None, str(error)
        except (OSError, ValueError) as error:  # no such name; a name that cannot be one
            return None, f"cannot resolve: {error}"
        return look, ""

    def _schedule(self, track: Track) -> None:
        heapq.heappush(self._heap, (track.due_ns, next(self._order), track))
        if self._timer is None:
            self._timer = Timer(self._wake)
        if self._heap[0][2] is track:
            self._timer.set(track.due_ns)

    def _wake(self) -> None:
        now_ns = time.monotonic_ns()
        if self._heap and self._heap[0][0] <= now_ns:
            self._stalled_ns += now_ns - self._heap[0][0]
        while self._heap and self._heap[0][0] <= now_ns:
            _, _, track = heapq.heappop(self._heap)
            if track.run.live:
                self._take(track, now_ns)
                heapq.heappush(self._heap, (track.due_ns, next(self._order), track))
        if self._timer is not None:
            self._timer.set(self._heap[0][0] if self._heap else None)

    def _take(self, track: Track, now_ns: int) -> None:
        """Begin the sample that is due, or say at once why it cannot be taken; move on to the next."""
        k, due_ns = track.k, track.due_ns
        behind = (now_ns - due_ns) // track.period_ns
        track.k += behind if behind > MAX_BEHIND else 1
        if (now_ns - due_ns) * 2 > track.period_ns:
            self._done(
                track.run, void(track.probe.id, k, due_ns, f"prober late by {(now_ns - due_ns) / 1e6:.0f} ms")
            )
        elif track.look is None:
            self._done(track.run, void(track.probe.id, k, due_ns, track.trouble))
        elif self._in_flight >= self._max_in_flight:
            reason = f"prober overloaded: {self._in_flight} samples in flight"
            self._done(track.run, void(track.probe.id, k, due_ns, reason))
        else:
            self._in_flight += 1
            self._spawn(track.run, self._sample(track, track.look, k, due_ns), self._landed)

    async def _sample(self, track: Track, look: Look, k: int, due_ns: int) -> None:
        stalled_ns = self._stalled_ns
        sample = agent_pb2.Sample(probe_id=track.probe.id, k=k, due_ns=due_ns, started_ns=time.monotonic_ns())
        sample.outcome, sample.detail = await answer_of(look, due_ns, track.timeout_ns)
        sample.ended_ns = time.monotonic_ns()
        self._judge(track, sample, self._stalled_ns - stalled_ns)
        self._done(track.run, sample)

    def _judge(self, track: Track, sample: agent_pb2.Sample, stalled_ns: int) -> None:
        """Void what this process's own slowness may have made: a late start, or a time-out that it slept
        through.
        """
        lag_ns = sample.started_ns - sample.due_ns
        overslept_ns = sample.ended_ns - sample.due_ns - track.timeout_ns
        if lag_ns * 2 > track.period_ns:
            sample.outcome, sample.detail = agent_pb2.OUTCOME_UNKNOWN, f"prober late by {lag_ns / 1e6:.0f} ms"
            return
        asleep_ns = max(stalled_ns, overslept_ns)
        timed_out = overslept_ns >= 0 and sample.outcome == agent_pb2.OUTCOME_FAIL
        if timed_out and asleep_ns * 4 > track.timeout_ns:
            sample.outcome = agent_pb2.OUTCOME_UNKNOWN
            sample.detail = f"prober stood still for {asleep_ns / 1e6:.0f} ms meanwhile"

    # ---- tasks and batches ----

    def _spawn(
        self, run: Run, work: Coroutine[None, None, None], landed: Callable[[], None] | None = None
    ) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        run.tasks.add(task)

        def forget(done: asyncio.Task[None]) -> None:
            run.tasks.discard(done)
            if landed is not None:
                landed()

        task.add_done_callback(forget)

    def _landed(self) -> None:
        self._in_flight -= 1

    def _done(self, run: Run, sample: agent_pb2.Sample) -> None:
        if not run.live:
            return
        run.batch.append(sample)
        if run.flush is None:
            run.flush = asyncio.get_running_loop().call_later(BATCH_S, self._flush, run)

    def _flush(self, run: Run) -> None:
        if run.flush is not None:
            run.flush.cancel()
            run.flush = None
        if run.batch:
            batch, run.batch = run.batch, []
            run.deliver(run.id, batch)


def _affordable() -> int:
    """Half of the descriptors this process may open, 64 to 4096."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, min(4096, soft // 2 if soft > 0 else 4096))
