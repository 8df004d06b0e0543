"""What becomes of questions for names and their answers, packet by packet; anything else passes as it is."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from blackstart_agent.worker.dns import Lies, answer, checksum, question, read, rewritten
from blackstart_agent.worker.nfqueue import Packet
from hypothesis import given
from hypothesis import strategies as st

A, AAAA, TXT = 1, 28, 16
NAME = "www.Example.com"


def query(name: str = NAME, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def datagram(payload: bytes, source: int, target: int, *, six: bool = False) -> bytes:
    udp = struct.pack(">HHHH", source, target, 8 + len(payload), 0) + payload
    if six:
        ends = ipaddress.ip_address("fd00::1").packed + ipaddress.ip_address("fd00::2").packed
        head = struct.pack(">IHBB", 6 << 28, len(udp), 17, 64) + ends
    else:
        ends = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2")
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends
    return head + udp


def judged(lies: Lies, payload: bytes) -> tuple[float | None, bytes]:
    judgement = lies.judge(Packet(1, 1, len(payload), payload), 100.0)
    return judgement.due, judgement.payload


def replied(lies: Lies, message: bytes, *, six: bool = False) -> bytes:
    """The DNS message that the asker gets; checksums and lengths are looked at."""
    due, packet = judged(lies, datagram(message, 53, 4000, six=six))
    assert due == 100.0
    start = 48 if six else 28
    length = struct.unpack_from(">H", packet, start - 4)[0]
    assert length == len(packet) - start + 8
    if not six:
        assert struct.unpack_from(">H", packet, 2)[0] == len(packet) and checksum(packet[:20]) == 0
    ends = packet[8:40] if six else packet[12:20]
    assert checksum(ends + struct.pack(">BBH", 0, 17, length) + packet[start - 8 :]) == 0
    return packet[start:]


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize(("failure", "code"), [("nxdomain", 3), ("servfail", 2)])
def test_an_answer_becomes_a_failure(failure: str, code: int, six: bool) -> None:
    told = replied(Lies([], failure, 0, []), answer(query(), 0, [b"x" * 16]), six=six)
    number, flags, asked, answers, servers, more = struct.unpack_from(">HHHHHH", told)
    assert (number, flags & 15, asked, answers, servers, more) == (77, code, 1, 0, 0, 0)
    assert flags & 0x8000 and question(told) == question(query())


@pytest.mark.parametrize(("kind", "wanted"), [(A, ["192.0.2.1", "192.0.2.2"]), (AAAA, ["2001:db8::1"])])
def test_an_answer_becomes_wrong(kind: int, wanted: list[str]) -> None:
    lies = Lies(["*.example.com"], "wrong", 0, ["192.0.2.1", "2001:db8::1", "192.0.2.2"])
    told = replied(lies, answer(query(kind=kind), 0, []))
    assert struct.unpack_from(">H", told, 6)[0] == len(wanted)
    packed = [ipaddress.ip_address(address).packed for address in wanted]
    assert all(told.count(one) == 1 for one in packed)


def test_a_question_is_thrown_away_or_waits() -> None:
    asked = datagram(query(), 4000, 53)
    assert judged(Lies([], "silent", 0, []), asked) == (None, b"")
    assert judged(Lies([], "slow", 250_000, []), asked) == (100.25, b"")


@pytest.mark.parametrize("failure", ["silent", "slow", "nxdomain", "servfail", "wrong"])
def test_what_is_not_meant_passes(failure: str) -> None:
    lies = Lies(["*.example.com", "host.invalid."], failure, 1000, ["192.0.2.1"])
    passes = (100.0, b"")
    assert judged(lies, datagram(query("www.example.org"), 4000, 53)) == passes
    assert judged(lies, datagram(answer(query("www.example.org"), 0, []), 53, 4000)) == passes
    assert judged(lies, datagram(query(), 4000, 54)) == passes
    asked, told = query("HOST.INVALID"), answer(query("HOST.INVALID"), 0, [])
    both = (judged(lies, datagram(asked, 4000, 53)), judged(lies, datagram(told, 53, 4000)))
    assert [one == passes for one in both] == [
        failure not in ("silent", "slow"),
        failure in ("silent", "slow"),
    ]


def test_another_type_than_an_address_is_not_lied_about() -> None:
    message = answer(query(kind=TXT), 0, [b"y" * 20])
    assert replied(Lies([], "wrong", 0, ["192.0.2.1"]), message) == message


@given(st.binary(max_size=120), st.sampled_from(["silent", "slow", "nxdomain", "servfail", "wrong"]))
def test_anything_can_be_given(data: bytes, failure: str) -> None:
    lies = Lies([], failure, 1000, ["192.0.2.1"])
    for packet in (data, datagram(data, 53, 53), datagram(data, 53, 53, six=True), query() + data):
        judged(lies, packet)


@given(st.binary(max_size=60), st.integers(0, 90))
def test_a_cut_off_message_is_never_read_beyond_its_end(data: bytes, length: int) -> None:
    cut = (query() + data)[:length]
    asked = question(cut)
    assert asked is None or asked[2] <= len(cut)
    whole = datagram(query() + data, 53, 99)
    assert read(whole[: len(whole) - 1]) is None or not data
    assert rewritten(whole, 28, query())[28:] == query()
