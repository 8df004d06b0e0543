"""Reading and writing on one connection. Plain ones use the bare socket: streams double a probe's cost."""

from __future__ import annotations

import asyncio
import socket
from ssl import SSLContext
from typing import Protocol

LIMIT_BYTES = 65_536  # of what is looked through for a separator
CHUNK_BYTES = 16_384


class Connection(Protocol):
    async def send(self, data: bytes) -> None: ...

    async def readuntil(self, separator: bytes) -> bytes:
        """Up to and including the separator. IncompleteReadError at the end, LimitOverrunError beyond the
        limit.
        """
        ...

    async def readexactly(self, size: int, /) -> bytes: ...

    async def read(self, size: int, /) -> bytes:
        """At least one byte and at most `size`; nothing at the end."""
        ...

    def close(self) -> None: ...


class PlainConnection:
    """A connected, non-blocking socket, with a buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def readuntil(self, separator: bytes) -> bytes:
        while (at := self._buffer.find(separator)) < 0:
            if len(self._buffer) > LIMIT_BYTES:
                raise asyncio.LimitOverrunError("separator not found", len(self._buffer))
            if not await self._more():
                raise asyncio.IncompleteReadError(bytes(self._buffer), None)
        return self._taken(at + len(separator))

    async def readexactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self._more():
                raise asyncio.IncompleteReadError(bytes(self._buffer), size)
        return self._taken(size)

    async def read(self, size: int) -> bytes:
        if not self._buffer:
            await self._more()
        return self._taken(min(size, len(self._buffer)))

    def close(self) -> None:
        self._sock.close()

    async def _more(self) -> bool:
        part = await self._loop.sock_recv(self._sock, CHUNK_BYTES)
        self._buffer += part
        return bool(part)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class TlsConnection:
    """TLS over asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.readuntil = reader.readuntil
        self.readexactly = reader.readexactly
        self.read = reader.read

    @classmethod
    async def over(cls, sock: socket.socket, tls: SSLContext, name: str) -> TlsConnection:
        """Shake hands on a connected socket, which is closed when that fails."""
        try:
            return cls(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name))
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            sock.close()
            raise

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.transport.abort()  # close() waits for the peer's goodbye, and a dead peer has none
