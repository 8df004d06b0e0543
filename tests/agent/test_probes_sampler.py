"""The sampler keeps its schedule whatever a service does, and blames itself when it cannot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from agent.probe_servers import free_port, saying, serving
from blackstart_agent.probes import Sampler
from blackstart_agent.probes.timerfd import Timer
from blackstart_proto.v1 import agent_pb2 as pb

OK, FAIL, UNKNOWN = pb.OUTCOME_OK, pb.OUTCOME_FAIL, pb.OUTCOME_UNKNOWN
MS = 1_000_000


class Log:
    """Collects samples and wakes whoever waits for some of them."""

    def __init__(self) -> None:
        self.samples: list[pb.Sample] = []
        self.batches: list[tuple[float, int]] = []
        self._arrived = asyncio.Event()

    def __call__(self, run_id: str, samples: list[pb.Sample]) -> None:
        self.samples += samples
        self.batches.append((time.monotonic(), len(samples)))
        self._arrived.set()

    async def until(self, enough: Callable[[list[pb.Sample]], bool]) -> list[pb.Sample]:
        async with asyncio.timeout(20):
            while not enough(self.samples):
                self._arrived.clear()
                await self._arrived.wait()
        return sorted(self.samples, key=lambda sample: sample.k)


@contextmanager
def sampling(*probes: pb.Probe, max_in_flight: int | None = None) -> Iterator[tuple[Sampler, Log]]:
    sampler, log = Sampler(max_in_flight=max_in_flight), Log()
    sampler.start("r-1", probes, log)
    try:
        yield sampler, log
    finally:
        sampler.close()


def tcp(port: int, *, every_ms: int = 10, timeout_ms: int = 200) -> pb.Probe:
    address = pb.TcpProbe(address=f"127.0.0.1:{port}")
    return pb.Probe(id="s/0", service="s", every_ms=every_ms, timeout_ms=timeout_ms, tcp=address)


def http(port: int, *, every_ms: int = 10, timeout_ms: int = 5000) -> pb.Probe:
    url = pb.HttpProbe(url=f"http://127.0.0.1:{port}/")
    return pb.Probe(id="s/0", service="s", every_ms=every_ms, timeout_ms=timeout_ms, http=url)


class Hanging:
    """Answers at once, but nothing at all while it hangs; what waited is answered at the end of the hang."""

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self.awake.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await self.awake.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


async def test_a_hang_is_seen_by_every_sample_that_was_due_in_it() -> None:
    service = Hanging()
    async with serving(service.handle) as port:
        with sampling(http(port)) as (_, log):
            await log.until(lambda got: len(got) > 10)
            hang_ns = time.monotonic_ns()
            service.awake.clear()
            asyncio.get_running_loop().call_later(0.5, service.awake.set)
            samples = await log.until(lambda got: any(s.due_ns > hang_ns + 600 * MS for s in got))
    inside = [s for s in samples if hang_ns + 20 * MS < s.due_ns < hang_ns + 480 * MS]
    known = [s for s in inside if s.outcome != UNKNOWN]
    assert len(inside) >= 44  # one every 10 ms, though none of them had an answer yet
    assert len(known) >= 30
    for sample in known:  # and each waited until the hang was over, not only the first
        assert sample.ended_ns >= hang_ns + 480 * MS


async def test_samples_keep_to_the_absolute_schedule() -> None:
    async with serving(saying(b"x")) as port:
        with sampling(tcp(port)) as (_, log):
            samples = await log.until(lambda got: len(got) >= 60)
    first = samples[0]
    assert [s.k for s in samples] == list(range(len(samples)))
    assert all(s.due_ns == first.due_ns + s.k * 10 * MS for s in samples)
    known = [s for s in samples if s.outcome != UNKNOWN]
    assert all(s.due_ns <= s.started_ns <= s.ended_ns for s in known)
    lags = sorted(s.started_ns - s.due_ns for s in known)
    assert lags[len(lags) // 2] < 5 * MS


async def test_a_service_that_goes_away_and_comes_back_is_seen_so() -> None:
    port = free_port()
    with sampling(tcp(port)) as (_, log):
        await log.until(lambda got: sum(s.outcome == FAIL for s in got) > 5)
        server = await asyncio.start_server(saying(b"x"), "127.0.0.1", port)
        samples = await log.until(lambda got: sum(s.outcome == OK for s in got) > 5)
        server.close()
    known = [s.outcome for s in samples if s.outcome != UNKNOWN]
    assert known == sorted(known, reverse=True)  # FAIL is 2, OK is 1: all failures, then all successes
    assert {s.detail for s in samples if s.outcome == FAIL} == {"Connection refused"}


async def test_the_time_out_counts_from_when_the_sample_was_due() -> None:
    service = Hanging()
    service.awake.clear()
    async with serving(service.handle) as port:
        with sampling(http(port, every_ms=50, timeout_ms=100)) as (_, log):
            samples = await log.until(lambda got: sum(s.outcome == FAIL for s in got) >= 3)
        service.awake.set()
    failed = [s for s in samples if s.outcome == FAIL]
    assert all(95 * MS <= s.ended_ns - s.due_ns <= 200 * MS for s in failed)
    assert failed[0].detail == "no answer in 0.1 s"


async def test_a_prober_that_stood_still_voids_its_samples_instead_of_inventing_an_outage() -> None:
    async with serving(saying(b"x")) as port:
        with sampling(tcp(port, timeout_ms=60)) as (_, log):
            await log.until(lambda got: len(got) > 5)
            stood_ns = time.monotonic_ns()
            time.sleep(0.3)  # noqa: ASYNC251  (the event loop must stand still)
            resumed_ns = time.monotonic_ns()
            samples = await log.until(lambda got: any(s.due_ns > resumed_ns + 50 * MS for s in got))
    missed = [s for s in samples if stood_ns < s.due_ns < resumed_ns - 6 * MS]
    assert len(missed) >= 25
    assert {s.outcome for s in missed} == {UNKNOWN}
    assert all("prober" in s.detail for s in missed)
    assert not [s for s in samples if s.outcome == FAIL]


async def test_too_many_samples_in_flight_are_voided() -> None:
    service = Hanging()
    service.awake.clear()
    async with serving(service.handle) as port:
        with sampling(http(port), max_in_flight=8) as (_, log):
            samples = await log.until(lambda got: any("overloaded" in s.detail for s in got))
        service.awake.set()
    assert {s.outcome for s in samples} == {UNKNOWN}
    assert any(s.detail == "prober overloaded: 8 samples in flight" for s in samples)


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (pb.Probe(id="a", every_ms=10, timeout_ms=50), "unknown kind"),
        (tcp(0), "write host:port"),
        (
            pb.Probe(id="b", every_ms=10, timeout_ms=50, tcp=pb.TcpProbe(address="no-such-name.invalid:1")),
            "cannot resolve",
        ),
        (
            pb.Probe(id="c", every_ms=10, timeout_ms=50, command=pb.CommandProbe(name="x")),
            "not in [probes.commands]",
        ),
    ],
)
async def test_a_probe_that_cannot_look_says_why_in_every_sample(probe: pb.Probe, reason: str) -> None:
    with sampling(probe) as (_, log):
        samples = await log.until(lambda got: any(reason in s.detail for s in got))
    assert {s.outcome for s in samples} == {UNKNOWN}


async def test_batches_come_every_fifth_of_a_second_and_the_rest_at_stop() -> None:
    async with serving(saying(b"x")) as port:
        with sampling(tcp(port)) as (sampler, log):
            await log.until(lambda got: len(got) > 40)
            assert all(size >= 10 for _, size in log.batches)
            await log.until(lambda got: len(got) > 50)
            sampler.stop("r-1")
            told = len(log.samples)
            sampler.stop("r-1")
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            await asyncio.gather(*tasks, return_exceptions=True)
            assert len(log.samples) == told


async def test_starting_again_keeps_the_schedule_and_only_changes_who_hears() -> None:
    async with serving(saying(b"x")) as port:
        with sampling(tcp(port)) as (sampler, log):
            before = await log.until(lambda got: len(got) > 10)
            other = Log()
            sampler.start("r-1", [tcp(port)], other)
            after = await other.until(lambda got: len(got) > 10)
            assert after[0].k > before[-1].k
            sampler.start("r-1", [tcp(port, every_ms=20)], other)
            await other.until(lambda got: any(s.k == 0 for s in got))


async def test_the_timer_wakes_close_to_the_instant_and_can_be_moved() -> None:
    woken: list[int] = []
    done = asyncio.Event()

    def wake() -> None:
        woken.append(time.monotonic_ns())
        done.set()

    timer = Timer(wake)
    timer.set(time.monotonic_ns() + 3600 * 1000 * MS)
    due_ns = time.monotonic_ns() + 20 * MS
    timer.set(due_ns)
    await asyncio.wait_for(done.wait(), 5)
    assert woken[0] - due_ns >= 0
    done.clear()
    timer.set(1)  # past: at once
    await asyncio.wait_for(done.wait(), 5)
    timer.close()
    timer.close()
