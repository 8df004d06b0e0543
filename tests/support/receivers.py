"""Servers on loopback that notices are sent to: they remember everything, and answer as they are told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[["Heard"], str]


@dataclass(frozen=True)
class Heard:
    head: str
    headers: dict[str, str]
    body: bytes


def status(line: str, *headers: str) -> str:
    """An HTTP answer without a body."""
    return "\r\n".join((f"HTTP/1.1 {line}", *headers, "content-length: 0", "connection: close", "", ""))


@dataclass
class Receiver:
    """`answers` are given one after the other, the last one for ever. `gate`: nothing is answered before."""

    answers: list[str] = field(default_factory=lambda: [status("204 No Content")])
    heard: list[Heard] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.heard.append(Heard(first, headers, body))
            answer = self.answers[min(len(self.heard), len(self.answers)) - 1]
            self.news.set()
            await self.gate.wait()
            writer.write(answer.encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def wait(self, count: int) -> list[Heard]:
        """Everything heard, once that is at least `count`."""
        async with asyncio.timeout(20):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()
        return self.heard


@asynccontextmanager
async def receiving(
    receiver: Receiver, *, tls: ssl.SSLContext | None = None, held: bool = False
) -> AsyncIterator[str]:
    """The receiver's origin. `held`: its gate is closed."""
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"{'https' if tls else 'http'}://localhost:{port}"
    if not held:
        receiver.gate.set()
    try:
        yield receiver.url
    finally:
        receiver.gate.set()
        server.close()
