"""The parts of the fleet by themselves: clock arithmetic, writers, inboxes, pace."""

from __future__ import annotations

import asyncio

import pytest
from blackstart_controller.errors import BlackstartError, Unreachable
from blackstart_controller.fleet import clock, session
from blackstart_controller.fleet.dispatch import Dispatcher, for_each
from blackstart_controller.fleet.inbox import LIMIT, Inbox
from blackstart_controller.fleet.limits import Pace
from blackstart_controller.fleet.session import MAX_QUEUED, HostSession
from blackstart_proto.v1 import agent_pb2
from hypothesis import given
from hypothesis import strategies as st
from support.control_plane import until

DELAYS = st.integers(0, 10**9)


@given(
    shift=st.integers(-(10**15), 10**15),
    burst=st.lists(st.tuples(DELAYS, DELAYS, DELAYS), min_size=1, max_size=8),
)
def test_an_offset_is_right_within_its_error_however_unequal_the_ways(
    shift: int, burst: list[tuple[int, int, int]]
) -> None:
    """The host's clock is `shift` behind; each exchange takes (there, thinking, back)."""
    exchanges, now = [], 10**12
    for there, thinking, back in burst:
        t1 = now + there - shift
        t3 = now + there + thinking + back
        exchanges.append(clock.Exchange(now, t1, t1 + thinking, t3))
        now = t3
    measured = clock.estimate("db-1", "boot", exchanges)
    assert measured is not None
    assert abs(measured.offset_ns - shift) <= measured.error_ns
    assert measured.error_ns <= min(there + back for there, _, back in burst) // 2 + 1
    assert clock.to_controller_ns(measured, clock.to_host_ns(measured, 123)) == 123


def test_impossible_exchanges_are_left_out() -> None:
    impossible = clock.Exchange(t0=100, t1=0, t2=500, t3=200)
    possible = clock.Exchange(t0=100, t1=0, t2=10, t3=200)
    assert clock.estimate("db-1", "boot", [impossible]) is None
    assert clock.estimate("db-1", "boot", [impossible, possible]) == clock.estimate(
        "db-1", "boot", [possible]
    )


def test_an_error_grows_with_its_age_both_ways() -> None:
    measured = clock.estimate("db-1", "boot", [clock.Exchange(0, 0, 0, 1_000)])
    assert measured is not None
    assert clock.error_ns_at(measured, measured.at_ns) == 501
    assert clock.error_ns_at(measured, measured.at_ns + 60 * 10**9) == 501 + 3_000_000
    assert clock.error_ns_at(measured, measured.at_ns - 60 * 10**9) == 501 + 3_000_000


class SlowStream:
    """Writes when it is let."""

    def __init__(self) -> None:
        self.written: list[agent_pb2.ToAgent] = []
        self.open = asyncio.Event()
        self.broken = False

    async def read(self) -> agent_pb2.FromAgent | None:
        return None

    async def write(self, message: agent_pb2.ToAgent) -> None:
        await self.open.wait()
        if self.broken:
            raise Unreachable("the stream has ended")
        self.written.append(message)


def beat(number: int) -> agent_pb2.ToAgent:
    return agent_pb2.ToAgent(clock=agent_pb2.ClockProbe(id=number))


def session_over(stream: SlowStream, dispatcher: Dispatcher) -> tuple[HostSession, list[BlackstartError]]:
    ends: list[BlackstartError] = []
    made = HostSession(agent_pb2.Hello(host="db-1"), stream, dispatcher, ends.append)
    made.release()
    return made, ends


async def test_messages_are_written_in_order_and_built_when_written() -> None:
    stream, dispatcher = SlowStream(), Dispatcher()
    one, _ = session_over(stream, dispatcher)
    built: list[int] = []
    one.post(beat(1))
    one.post(lambda: built.append(2) or beat(2))  # type: ignore[func-returns-value]
    one.post(beat(3))
    assert built == []
    stream.open.set()
    await until(lambda: len(stream.written) == 3)
    assert [message.clock.id for message in stream.written] == [1, 2, 3]
    one.post(beat(4))
    await until(lambda: len(stream.written) == 4)
    await dispatcher.close()


async def test_a_stalled_host_holds_up_no_other_and_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "STALL_S", 0.05)
    dispatcher = Dispatcher(writers=2)
    stalled, ends = session_over(SlowStream(), dispatcher)
    stream = SlowStream()
    stream.open.set()
    other, _ = session_over(stream, dispatcher)
    stalled.post(beat(1))
    other.post(beat(1))
    await until(lambda: len(stream.written) == 1)
    await until(lambda: stalled.ended)
    assert str(ends[0]) == "agent db-1: took no message for 0.05 s; stream closed"
    with pytest.raises(Unreachable, match="its stream was lost"):
        stalled.post(beat(2))
    await dispatcher.close()


async def test_the_queue_to_a_host_is_bounded() -> None:
    dispatcher = Dispatcher()
    one, ends = session_over(SlowStream(), dispatcher)
    for number in range(MAX_QUEUED):
        one.post(beat(number))
    with pytest.raises(Unreachable, match="agent db-1: 1024 messages wait for it"):
        one.post(beat(0))
    assert one.ended and len(ends) == 1
    await dispatcher.close()


async def test_an_exchange_with_a_lost_host_ends_at_once() -> None:
    stream, dispatcher = SlowStream(), Dispatcher()
    one, _ = session_over(stream, dispatcher)
    exchange = asyncio.create_task(one.exchange(timeout_s=60))
    stream.broken = True
    stream.open.set()
    with pytest.raises(Unreachable, match="its stream was lost"):
        await asyncio.wait_for(exchange, 5)
    await dispatcher.close()


async def test_a_dispatcher_starts_no_more_writers_than_needed() -> None:
    dispatcher = Dispatcher(writers=200)
    streams = [SlowStream() for _ in range(5)]
    for stream in streams:
        stream.open.set()
        session_over(stream, dispatcher)[0].post(beat(1))
    await until(lambda: all(stream.written for stream in streams))
    assert len(dispatcher._writers) <= 5
    await dispatcher.close()


async def test_for_each_keeps_its_bound_and_reaches_all() -> None:
    running = most = 0
    seen: list[int] = []

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        seen.append(item)

    await for_each(range(50), work, workers=7)
    assert (sorted(seen), most) == (list(range(50)), 7)


async def test_an_inbox_works_in_order_and_outlives_who_filled_it() -> None:
    inbox, done = Inbox(), [0]
    gate = asyncio.Event()

    async def job(number: int) -> None:
        await gate.wait()
        done.append(number)

    async def fill() -> None:
        for number in range(1, LIMIT + 10):
            await inbox.put(lambda number=number: job(number))  # type: ignore[misc]

    filling = asyncio.create_task(fill())
    await until(lambda: len(inbox._jobs) == LIMIT - 1)
    assert not filling.done()  # it waits: that is the agent's flow control
    filling.cancel()
    gate.set()
    await inbox.idle()
    assert done == list(range(len(done))) and len(done) > LIMIT


def test_a_pace_lets_bursts_through_and_slows_a_flood() -> None:
    pace = Pace(per_s=100, burst=10)
    now_ns = 10**12
    waits = [pace.wait_s(now_ns) for _ in range(20)]
    assert waits[:10] == [0.0] * 10
    assert waits[-1] == pytest.approx(0.1)
    assert pace.wait_s(now_ns + 10**9) == 0.0


async def test_a_job_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    inbox, done = Inbox(), list[int]()

    async def fail() -> None:
        raise OSError("disk full")

    async def work() -> None:
        done.append(1)

    inbox.put_now(fail)
    inbox.put_now(work)
    await inbox.idle()
    assert done == [1] and "disk full" in caplog.text
