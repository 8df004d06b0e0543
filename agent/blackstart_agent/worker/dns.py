"""Queries for names and their answers (RFC 1035, over UDP) are held back, thrown away or changed.

What cannot be read for certain passes as it is: packets come from anywhere.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from blackstart_agent.worker.nfqueue import Packet
from blackstart_agent.worker.shape import Judgement

PORT: Final = 53
UDP: Final = 17
IP4_HEADER, IP6_HEADER, UDP_HEADER, DNS_HEADER = 20, 40, 8, 12
MAX_LABELS: Final = 128
RESPONSE, KEPT_FLAGS = 0x8000, 0xFDF0  # of a header's flags: all but truncated and the code of the answer
NXDOMAIN, SERVFAIL = 3, 2
TYPES: Final = {1: 4, 28: 6}  # A and AAAA, and the version of the addresses that they mean
TTL_S: Final = 1
POINTER_TO_NAME: Final = 0xC000 | DNS_HEADER


class Lies:
    """`failure` is silent, nxdomain, servfail, slow or wrong; of `names`; of every one if there is none."""

    copy = 0xFFFF

    def __init__(self, names: Sequence[str], failure: str, delay_us: int, addresses: Sequence[str]) -> None:
        self._names = [name.lower().rstrip(".") for name in names]
        self._failure = failure
        self._delay_s = delay_us / 1e6
        self._addresses = [ipaddress.ip_address(address) for address in addresses]

    def judge(self, packet: Packet, now: float) -> Judgement:
        passes = Judgement(now)
        datagram = read(packet.payload)
        if datagram is None:
            return passes
        start, source, target = datagram
        asked = question(packet.payload[start:])
        if asked is None or not self._meant(asked[0]):
            return passes
        if self._failure in ("silent", "slow"):
            if target != PORT:
                return passes
            return Judgement(None if self._failure == "silent" else now + self._delay_s)
        if source != PORT:
            return passes
        return Judgement(now, rewritten(packet.payload, start, self._answer(packet.payload[start:], asked)))

    def _meant(self, name: str) -> bool:
        return not self._names or any(fnmatchcase(name, pattern) for pattern in self._names)

    def _answer(self, message: bytes, asked: tuple[str, int, int]) -> bytes:
        _, kind, end = asked
        if self._failure != "wrong":
            return answer(message[:end], SERVFAIL if self._failure == "servfail" else NXDOMAIN, [])
        if kind not in TYPES:
            return message
        fitting = [one.packed for one in self._addresses if one.version == TYPES[kind]]
        return answer(message[:end], 0, [_record(kind, packed) for packed in fitting])


def read(packet: bytes) -> tuple[int, int, int] | None:
    """Where the payload of a whole UDP datagram starts, and its ports; None for anything else."""
    if len(packet) < IP4_HEADER:
        return None
    version = packet[0] >> 4
    if version == 4:
        header, protocol = (packet[0] & 15) * 4, packet[9]
        if header < IP4_HEADER or struct.unpack_from(">H", packet, 6)[0] & 0x3FFF:  # a fragment
            return None
    else:
        header, protocol = IP6_HEADER, packet[6] if len(packet) > 6 else 0
    if protocol != UDP or len(packet) < header + UDP_HEADER:
        return None
    source, target, length = struct.unpack_from(">HHH", packet, header)
    whole = length == len(packet) - header
    return (header + UDP_HEADER, source, target) if whole and PORT in (source, target) else None


def question(message: bytes) -> tuple[str, int, int] | None:
    """The only name that is asked for, in small letters, its type, and where the question ends."""
    if len(message) < DNS_HEADER or struct.unpack_from(">H", message, 4)[0] != 1:
        return None
    labels: list[str] = []
    at = DNS_HEADER
    while len(labels) < MAX_LABELS and at < len(message):
        length = message[at]
        if length == 0:
            end = at + 5
            if end > len(message):
                return None
            return ".".join(labels), struct.unpack_from(">H", message, at + 1)[0], end
        if length > 63 or at + 1 + length > len(message):
            return None
        labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    return None


def answer(asked: bytes, code: int, records: Sequence[bytes]) -> bytes:
    """An answer to `asked` (header and question) with this code and these records, and nothing else."""
    number, flags = struct.unpack_from(">HH", asked)
    head = struct.pack(">HHHHHH", number, flags & KEPT_FLAGS | RESPONSE | code, 1, len(records), 0, 0)
    return head + asked[DNS_HEADER:] + b"".join(records)


def _record(kind: int, packed: bytes) -> bytes:
    return struct.pack(">HHHIH", POINTER_TO_NAME, kind, 1, TTL_S, len(packed)) + packed


def rewritten(packet: bytes, start: int, payload: bytes) -> bytes:
    """The datagram with another payload; lengths and checksums are right."""
    udp = start - UDP_HEADER
    length = UDP_HEADER + len(payload)
    made = bytearray(packet[:udp]) + packet[udp : udp + 4] + struct.pack(">HH", length, 0) + payload
    if packet[0] >> 4 == 4:
        struct.pack_into(">H", made, 2, len(made))
        struct.pack_into(">H", made, 10, 0)
        struct.pack_into(">H", made, 10, checksum(bytes(made[:udp])))
        addresses = bytes(made[12:20])
    else:
        struct.pack_into(">H", made, 4, length)
        addresses = bytes(made[8:40])
    pseudo = addresses + struct.pack(">BBH", 0, UDP, length)
    struct.pack_into(">H", made, udp + 6, checksum(pseudo + bytes(made[udp:])) or 0xFFFF)
    return bytes(made)


def checksum(data: bytes) -> int:
    """The internet's own (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
