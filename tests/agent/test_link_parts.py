"""The parts of the link by themselves."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from blackstart_agent.link import guardian_port, keystore, openssl
from blackstart_agent.link.addresses import own_addresses
from blackstart_agent.link.backoff import CAP_S, Backoff
from blackstart_agent.link.clock import clock_reply
from blackstart_agent.link.guardian_port import PacketTooLarge, SocketPort
from blackstart_agent.link.relay import MAX_KEPT, EventRelay
from blackstart_agent.link.renewal import FileRenewal
from blackstart_agent.link.samples import BATCH, WINDOW, SampleOutbox
from blackstart_agent.spool import Spool, SpoolFull
from blackstart_controller.security.authority import Authority
from blackstart_proto.v1 import agent_pb2, guardian_pb2
from hypothesis import given
from hypothesis import strategies as st

# ---- waiting before dialling again ----


def test_waits_are_anywhere_below_a_limit_that_doubles_to_five_seconds() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0.0
            return b

    backoff = Backoff(Highest())
    assert [backoff.next_s() for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, CAP_S, CAP_S]
    backoff.reset()
    assert backoff.next_s() == 0.1


def test_a_fleet_does_not_return_as_one_wave() -> None:
    rng = random.Random(7)
    waits = sorted(Backoff(rng).next_s() for _ in range(1_000))
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert waits[0] < 0.001 and waits[-1] > 0.099 and max(gaps) < 0.003


# ---- events ----


def event(seq: int, spool: str = "s") -> agent_pb2.HostEvent:
    return agent_pb2.HostEvent(spool=spool, seq=seq)


def drained(relay: EventRelay) -> list[int]:
    found = []
    while (next_event := relay.next()) is not None:
        found.append(next_event.seq)
    return found


@given(st.lists(st.integers(1, 12)), st.integers(0, 12))
def test_every_stream_begins_with_the_lowest_unacknowledged_event(seqs: list[int], acked: int) -> None:
    relay = EventRelay()
    for seq in seqs:
        relay.add(event(seq))
    drained(relay)
    relay.acked(agent_pb2.Ack(spool="s", seq=acked))
    relay.restart()
    assert drained(relay) == sorted({seq for seq in seqs if seq > acked})


def test_an_event_on_its_way_is_not_sent_twice_on_one_stream() -> None:
    relay = EventRelay()
    relay.add(event(1))
    assert drained(relay) == [1]
    relay.add(event(1))
    assert drained(relay) == []


def test_a_new_journal_forgets_the_old_one() -> None:
    relay = EventRelay()
    relay.add(event(7, "old"))
    relay.add(event(1, "new"))
    relay.acked(agent_pb2.Ack(spool="old", seq=9))
    assert drained(relay) == [1]


def test_a_relay_is_bounded_and_never_has_a_hole_below() -> None:
    relay = EventRelay()
    for seq in range(1, MAX_KEPT + 10):
        relay.add(event(seq))
    assert drained(relay) == list(range(1, MAX_KEPT + 1))
    relay.acked(agent_pb2.Ack(spool="s", seq=5))
    relay.add(event(MAX_KEPT + 10))  # there is room again, but those before it are missing
    assert drained(relay) == [] and not relay.exhausted
    relay.acked(agent_pb2.Ack(spool="s", seq=MAX_KEPT))
    assert relay.exhausted


# ---- clock and addresses ----


def test_a_clock_reply_has_both_times() -> None:
    reply = clock_reply(agent_pb2.ClockProbe(id=3), 100, now_ns=lambda: 150).clock
    assert (reply.id, reply.received_ns, reply.sent_ns) == (3, 100, 150)


FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.0.0/24 2 0 2
        |-- 10.1.0.0
           /24 link UNICAST
        |-- 10.1.0.5
           /32 host LOCAL
        |-- 10.1.0.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 169.254.3.4
        /32 host LOCAL
Local:
     |-- 10.1.0.5
        /32 host LOCAL
"""
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000000000000000abcd 02 40 20 80     eth0
fd000000000000000000000000000005 02 40 00 80     eth0
"""


def test_own_addresses_are_neither_loopback_nor_link_local(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    assert own_addresses(tmp_path) == ["10.1.0.5"]
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert own_addresses(tmp_path) == ["10.1.0.5", "fd00::5"]
    own_addresses()  # the real one can be read


# ---- the socketpair ----


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, SocketPort]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    port = SocketPort(theirs)
    yield ours, port
    port.close()
    ours.close()


def state(connected: bool) -> guardian_pb2.ToGuardian:
    return guardian_pb2.ToGuardian(stream=guardian_pb2.StreamState(connected=connected))


async def test_packets_keep_their_order_through_a_full_socket(ends: tuple[socket.socket, SocketPort]) -> None:
    ours, port = ends
    messages = [
        guardian_pb2.ToGuardian(ack=agent_pb2.Ack(spool="x" * 1_000, seq=seq)) for seq in range(1, 3_001)
    ]
    for message in messages:
        port.send(message)
    port.send(state(True))
    got: list[guardian_pb2.ToGuardian] = []
    while not (got and got[-1].WhichOneof("body") == "stream"):
        data = await asyncio.get_running_loop().sock_recv(ours, 65_536)
        got.append(guardian_pb2.ToGuardian.FromString(data))
    assert got == [*messages, state(True)]


async def test_a_guardian_that_reads_nothing_is_not_waited_for_without_end(
    ends: tuple[socket.socket, SocketPort], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian_port, "MAX_QUEUED", 10)
    with pytest.raises(ConnectionError, match="the guardian has not read 10 messages"):
        while True:
            ends[1].send(guardian_pb2.ToGuardian(ack=agent_pb2.Ack(spool="x" * 10_000)))


async def test_a_packet_that_the_kernel_does_not_take_is_said_so(
    ends: tuple[socket.socket, SocketPort],
) -> None:
    big = guardian_pb2.ToGuardian(revert=agent_pb2.Revert(order_ids=["x" * 36] * 200_000))
    with pytest.raises(PacketTooLarge, match="bytes are too many for one packet"):
        ends[1].send(big)


async def test_the_guardians_end_is_the_end(ends: tuple[socket.socket, SocketPort]) -> None:
    ours, port = ends
    ours.send(guardian_pb2.FromGuardian(about=guardian_pb2.About(boot_id="b")).SerializeToString())
    received = await port.receive()
    assert received is not None and received.about.boot_id == "b"
    ours.close()
    assert await port.receive() is None
    port.send(state(True))  # nobody is there; `receive` has said so


# ---- samples ----


def samples(count: int) -> list[agent_pb2.Sample]:
    return [agent_pb2.Sample(probe_id="p", k=k) for k in range(count)]


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = Spool(tmp_path / "samples")
    yield opened
    opened.close()


async def test_samples_are_batched_by_run_and_numbered(spool: Spool) -> None:
    outbox = SampleOutbox(spool, "boot")
    outbox.add("run-1", samples(BATCH + 1))
    outbox.add("run-2", samples(1))
    await outbox.flush()
    batches = await outbox.next()
    assert [(batch.run_id, len(batch.samples)) for batch in batches] == [
        ("run-1", BATCH),
        ("run-1", 1),
        ("run-2", 1),
    ]
    assert [(batch.spool, batch.seq, batch.boot_id) for batch in batches] == [
        (spool.id, seq, "boot") for seq in (1, 2, 3)
    ]


async def test_unacknowledged_batches_are_few_and_are_sent_again_on_a_new_stream(spool: Spool) -> None:
    outbox = SampleOutbox(spool, "boot")
    outbox.add("run-1", samples(BATCH * (WINDOW + 5)))
    await outbox.flush()
    assert [batch.seq for batch in await outbox.next()] == list(range(1, WINDOW + 1))
    more = asyncio.create_task(_next(outbox))
    await asyncio.sleep(0)
    assert not more.done()
    outbox.acked(agent_pb2.Ack(spool=spool.id, seq=3))
    assert await more == [WINDOW + 1, WINDOW + 2, WINDOW + 3]
    outbox.restart()
    assert (await _next(outbox))[0] == 4


async def _next(outbox: SampleOutbox) -> list[int]:
    return [batch.seq for batch in await outbox.next()]


async def test_samples_survive_the_links_death(tmp_path: Path) -> None:
    first = Spool(tmp_path / "samples")
    outbox = SampleOutbox(first, "boot")
    outbox.add("run-1", samples(3))
    await outbox.flush()
    first.close()
    again = Spool(tmp_path / "samples")
    outbox = SampleOutbox(again, "boot")
    outbox.restart()
    assert [(batch.spool, len(batch.samples)) for batch in await outbox.next()] == [(first.id, 3)]
    again.close()


async def test_a_full_disk_delays_samples_and_loses_none(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blackstart_agent.link.samples.RETRY_S", 0.001)
    real, refusals = spool.append_many, 3

    class FullForAWhile:
        id, acked, ack, pending = spool.id, spool.acked, spool.ack, spool.pending

        def append_many(self, payloads: list[bytes]) -> range:
            nonlocal refusals
            refusals -= 1
            if refusals >= 0:
                raise SpoolFull("full")
            return real(payloads)

    outbox = SampleOutbox(FullForAWhile(), "boot")  # type: ignore[arg-type]
    outbox.add("run-1", samples(3))
    await outbox.flush()
    assert [len(batch.samples) for batch in await outbox.next()] == [3]


# ---- renewal ----


def enrolled(folder: Path, authority: Authority, age: timedelta) -> keystore.Identity:
    key_pem = openssl.new_key_pem()
    issued = authority.sign_host_csr(
        openssl.request_pem(key_pem, "db-1"), "db-1", now=datetime.now(UTC) - age
    )
    identity = keystore.Identity(key_pem, issued.certificate_pem, issued.authority_pem)
    keystore.store(folder, identity, None)
    return identity


async def test_a_certificate_is_renewed_past_half_of_its_life(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    old = enrolled(tmp_path / "link", authority, timedelta(days=7))
    renewal = FileRenewal(tmp_path / "link", "db-1")
    issued = authority.sign_host_csr(await asyncio.wait_for(renewal.due(), 5), "db-1")
    certificate = agent_pb2.Certificate(
        certificate_pem=issued.certificate_pem, authority_pem=issued.authority_pem
    )
    assert await renewal.accept(certificate)
    new = keystore.load(tmp_path / "link")
    assert new.key_pem == old.key_pem and new.certificate_pem == issued.certificate_pem
    with pytest.raises(TimeoutError):  # the new one is young
        await asyncio.wait_for(renewal.due(), 0.1)


async def test_a_certificate_that_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    mine = enrolled(tmp_path / "link", authority, timedelta(0))
    other = enrolled(tmp_path / "other", authority, timedelta(0))
    renewal = FileRenewal(tmp_path / "link", "db-1")
    wrong = agent_pb2.Certificate(certificate_pem=other.certificate_pem, authority_pem=mine.authority_pem)
    assert not await renewal.accept(wrong)
    assert keystore.load(tmp_path / "link") == mine
