"""The link's end of the socketpair to the guardian: one protobuf message a packet."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from typing import Protocol

from blackstart_proto.v1 import guardian_pb2

MAX_PACKET_BYTES = 1 << 20
MAX_QUEUED = 10_000


class PacketTooLarge(Exception):
    """The kernel does not take a packet of this size; nothing was sent."""


class GuardianPort(Protocol):
    """What the link needs of a guardian. A simulator has one without a process."""

    def send(self, message: guardian_pb2.ToGuardian) -> None:
        """Queue a message. Order is kept. Raises PacketTooLarge."""
        ...

    async def receive(self) -> guardian_pb2.FromGuardian | None:
        """The next message; None when the guardian is gone."""
        ...


class SocketPort:
    """GuardianPort over a SOCK_SEQPACKET socket, which it owns."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # large orders need room; less is only a lower limit
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PACKET_BYTES)
        self._socket = sock
        self._buffer = bytearray(MAX_PACKET_BYTES)
        self._queue: deque[bytes] = deque()

    def send(self, message: guardian_pb2.ToGuardian) -> None:
        data = message.SerializeToString()
        if self._queue or not self._sent(data):
            if len(self._queue) >= MAX_QUEUED:
                raise ConnectionError(f"the guardian has not read {MAX_QUEUED} messages")
            if not self._queue:
                asyncio.get_running_loop().add_writer(self._socket, self._flush)
            self._queue.append(data)

    async def receive(self) -> guardian_pb2.FromGuardian | None:
        try:
            size = await asyncio.get_running_loop().sock_recv_into(self._socket, self._buffer)
        except ConnectionError:
            return None
        if size == 0:
            return None
        return guardian_pb2.FromGuardian.FromString(bytes(memoryview(self._buffer)[:size]))

    def close(self) -> None:
        if self._queue:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._socket.close()

    def _flush(self) -> None:
        while self._queue and self._sent(self._queue[0]):
            self._queue.popleft()
        if not self._queue:
            asyncio.get_running_loop().remove_writer(self._socket)

    def _sent(self, data: bytes) -> bool:
        """False when the socket is full. A guardian that is gone is seen by `receive`."""
        try:
            self._socket.send(data)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            raise PacketTooLarge(f"{len(data)} bytes are too many for one packet to the guardian") from None
        return True
