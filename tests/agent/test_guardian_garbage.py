"""Whatever comes over the link, the guardian lives, keeps its leases and reverts."""

from __future__ import annotations

import os
import random
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1.guardian_pb2 import ToGuardian
from guardian_process import PACKET, TIMEOUT_S, Bench, bench, state_of, wait_for

MESSAGES = 100_000
LEASE_MS = 3_000
LAST = 1 << 40  # a request that no flood makes
SLACK_S = 2.0
MIB = 1 << 20
MOST_BYTES = 32 * MIB
LARGEST_THAT_A_SOCKET_TAKES = 150_000  # by default, net.core.wmem_default is a little more
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace of its own"),
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def push(host: Bench, packets: Iterable[bytes]) -> int:
    """How many went out; what comes back is read and thrown away. A link that was ended is left."""
    assert host.link is not None
    link, sent = host.link, 0
    link.setblocking(False)
    for packet in packets:
        while True:
            readable, writable, _ = select.select([link], [link], [])
            try:
                if readable and not link.recv(PACKET):
                    return sent
                if writable:
                    link.send(packet)
                    break
            except BlockingIOError:
                continue
            except OSError:
                return sent
        sent += 1
    return sent


def mangled(rng: random.Random) -> bytes:
    """A good message with a few bytes changed, cut off, or nothing but noise."""
    good = bytearray(rng.choice(MESSAGES_OF_ALL_KINDS)(rng).SerializeToString())
    match rng.randrange(3):
        case 0:
            return rng.randbytes(rng.randrange(1, 200))
        case 1:
            return bytes(good[: rng.randrange(1, len(good) + 1)]) or b"\xff"
        case _:
            for _ in range(rng.randrange(1, 4)):
                good[rng.randrange(len(good))] = rng.randrange(256)
            return bytes(good)


def order_ids(rng: random.Random) -> list[str]:
    return [rng.choice(["", "x", "../../etc", str(uuid.UUID(int=rng.getrandbits(128)))])]


SPOOL = ["none"]  # the newest guardian's own, once it has said an event
MESSAGES_OF_ALL_KINDS: list[Callable[[random.Random], ToGuardian]] = [
    lambda rng: ToGuardian(inject=pb.Inject(order_ids=order_ids(rng), at_mono_ns=rng.getrandbits(62))),
    lambda rng: ToGuardian(renew=pb.RenewLease(order_ids=order_ids(rng), lease_ms=rng.getrandbits(31))),
    lambda rng: ToGuardian(revert=pb.Revert(order_ids=order_ids(rng), reason="\x00" * rng.randrange(99))),
    lambda rng: ToGuardian(arm=pb.Arm(request=rng.getrandbits(31))),
    lambda rng: ToGuardian(resolve=pb.Resolve(request=rng.getrandbits(31))),
    lambda rng: ToGuardian(ack=pb.Ack(spool=SPOOL[-1], seq=rng.getrandbits(62))),
    lambda _rng: ToGuardian(report_faults=pb.ReportFaults()),
]


def still_reverts(host: Bench, guardian: int, began_s: float) -> None:
    """The guardian that began is there, and what it paused goes on: by our word, or at the lease."""
    left_s = max(0.0, LEASE_MS / 1000 - (time.monotonic() - began_s))
    wait_for("the process goes on", lambda: not host.paused(), left_s + SLACK_S)
    wait_for("the journal is empty", lambda: not host.records(), SLACK_S)
    assert state_of(guardian) not in ("", "Z")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_flood_of_any_message_moves_no_lease_and_takes_no_memory(host: Bench) -> None:
    guardian = host.start()
    for number, kind in enumerate(MESSAGES_OF_ALL_KINDS):
        grown = flooded(host, guardian, random.Random(number), kind, MESSAGES)
        print(f"{MESSAGES} messages of kind {number}: {grown / MIB:.1f} MiB more")


def test_a_short_flood_of_injects_that_nobody_armed_holds_up_no_record(host: Bench) -> None:
    flooded(host, host.start(), random.Random(1), MESSAGES_OF_ALL_KINDS[0], 30_000)


def flooded(
    host: Bench, guardian: int, rng: random.Random, kind: Callable[[random.Random], ToGuardian], count: int
) -> int:
    """How many bytes the guardian grew by; it has kept its lease meanwhile, and all is clean."""
    host.pause(str(uuid.uuid4()), lease_ms=LEASE_MS)
    SPOOL.append((host.config.events_dir / "id").read_text().strip())
    before, began = rss_bytes(guardian), time.monotonic()
    packets = [kind(rng).SerializeToString() for _ in range(1_000)]
    assert push(host, (packets[n % 1_000] for n in range(count))) == count
    answered(host)
    still_reverts(host, guardian, began)
    grown = rss_bytes(guardian) - before
    assert grown < MOST_BYTES
    return grown


def answered(host: Bench) -> None:
    """Everything that was pushed has been obeyed, and the answers to it are out of the way."""
    assert host.link is not None
    host.link.settimeout(TIMEOUT_S)
    host.send(ToGuardian(resolve=pb.Resolve(request=LAST)))
    while host.receive("answer").answer.request != LAST:
        pass


def test_mangled_messages_are_passed_over(host: Bench) -> None:
    guardian = host.start()
    host.pause(str(uuid.uuid4()), lease_ms=LEASE_MS)
    began, rng = time.monotonic(), random.Random(7)
    assert push(host, (mangled(rng) for _ in range(5_000))) == 5_000
    still_reverts(host, guardian, began)


def test_the_largest_packet_is_read_whole_and_noise_as_large_is_passed_over(host: Bench) -> None:
    guardian = host.start()
    fault = str(uuid.uuid4())
    host.pause(fault)
    huge = ToGuardian(revert=pb.Revert(order_ids=[fault], reason="x" * LARGEST_THAT_A_SOCKET_TAKES))
    assert push(host, [b"\xff" * LARGEST_THAT_A_SOCKET_TAKES, huge.SerializeToString()]) == 2
    still_reverts(host, guardian, time.monotonic())


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_a_link_that_is_half_closed_is_replaced_and_its_faults_end_in_the_grace(
    how: int, host: Bench
) -> None:
    guardian = host.start()
    host.pause(str(uuid.uuid4()), lease_ms=60_000)
    assert host.link is not None
    host.link.shutdown(how)  # the relay ends, and with it the guardian's end of the link
    still_reverts(host, guardian, time.monotonic())
    host.connect()
    host.pause(str(uuid.uuid4()), lease_ms=500)
    still_reverts(host, guardian, time.monotonic())
