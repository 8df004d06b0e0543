"""A queue of packets in the kernel (nfnetlink_queue), spoken to over netlink with the standard library alone.

Layouts: linux/netfilter/nfnetlink_queue.h. Numbers of the protocol are big-endian, of netlink our own.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NETLINK_NETFILTER: Final = 12
_PACKET, _VERDICT, _CONFIG = 0x300, 0x301, 0x302
_BIND, _PARAMETERS, _LONGEST, _MASK, _FLAGS = 1, 2, 3, 4, 5  # attributes of a configuration
_FAIL_OPEN, _GSO = 1, 4
_HEADER_ATTRIBUTE, _VERDICT_ATTRIBUTE, _PAYLOAD, _LENGTH = 1, 2, 10, 13  # attributes of packet and verdict
_REQUEST, _ACKNOWLEDGE = 1, 4
_SO_RCVBUFFORCE, _SOL_NETLINK, _NO_ENOBUFS = 33, 270, 5
_TABLE: Final = Path("/proc/self/net/netfilter/nfnetlink_queue")  # number, reader, waiting, ...
LONGEST: Final = 65_535  # packets that may wait; more pass as if there were no queue
BUFFER_BYTES: Final = 64 << 20
AT_ONCE: Final = 256
ACCEPT, DROP = 1, 0


@dataclass(frozen=True, slots=True)
class Packet:
    """`hook`: 1 incoming, 2 forwarded, 3 outgoing. `size` in bytes; `payload` only if it was asked for."""

    id: int
    hook: int
    size: int
    payload: bytes


class Queue:
    """`copy` bytes of each packet are handed over: 0, 1 for its size alone, or up to 65,535.

    Raises OSError: not permitted, or the number is taken.
    """

    def __init__(self, number: int, copy: int) -> None:
        self._number = number
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        flags = _FAIL_OPEN if copy else _FAIL_OPEN | _GSO  # sizes must be those on the wire
        for attribute in (
            _attribute(_BIND, struct.pack(">BxH", 1, socket.AF_INET)),
            _attribute(_PARAMETERS, struct.pack(">IB", copy, 2 if copy else 1)),
            _attribute(_LONGEST, struct.pack(">I", LONGEST)),
            _attribute(_MASK, struct.pack(">I", flags)) + _attribute(_FLAGS, struct.pack(">I", flags)),
        ):
            self._configure(attribute)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def packets(self) -> Iterator[Packet]:
        """What has come since."""
        for _ in range(AT_ONCE):
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return
            for kind, body in _messages(data):
                if kind == _PACKET:
                    yield _packet(body)

    def decide(self, packet_id: int, verdict: int, payload: bytes = b"") -> None:
        """The packet goes on (with this payload, if there is one), or is dropped."""
        told = _attribute(_VERDICT_ATTRIBUTE, struct.pack(">II", verdict, packet_id))
        changed = _attribute(_PAYLOAD, payload) if payload else b""
        self._socket.send(self._message(_VERDICT, _REQUEST, told + changed))

    def release(self, packet_ids: Iterable[int]) -> None:
        """These packets go on, in this order."""
        told = (_attribute(_VERDICT_ATTRIBUTE, struct.pack(">II", ACCEPT, one)) for one in packet_ids)
        self._socket.send(b"".join(self._message(_VERDICT, _REQUEST, one) for one in told))

    def _configure(self, attributes: bytes) -> None:
        self._socket.send(self._message(_CONFIG, _REQUEST | _ACKNOWLEDGE, attributes))
        error = -struct.unpack_from("=i", self._socket.recv(4096), 16)[0]
        if error:
            raise OSError(error, os.strerror(error), f"queue {self._number}")

    def _message(self, kind: int, flags: int, attributes: bytes) -> bytes:
        body = struct.pack(">BBH", 0, 0, self._number) + attributes
        return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def waiting(number: int) -> int:
    """How many packets the kernel keeps in this queue until somebody has decided on them."""
    for words in map(str.split, _TABLE.read_text(encoding="ascii").splitlines()):
        if int(words[0]) == number:
            return int(words[2])
    return 0


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _packet(body: bytes) -> Packet:
    number = hook = size = 0
    payload = b""
    at = 4  # after family, version and queue
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        value = body[at + 4 : at + length]
        if kind == _HEADER_ATTRIBUTE:
            number, hook = struct.unpack_from(">IxxB", value)
        elif kind == _PAYLOAD:
            payload, size = value, size or len(value)
        elif kind == _LENGTH:
            (size,) = struct.unpack(">I", value)
        at += (length + 3) & ~3
    return Packet(number, hook, size, payload)
