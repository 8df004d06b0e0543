"""Real servers on the loopback for probe tests: asyncio ones, and redis-server and nats-server."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port that talks as `handler` does."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(answer: bytes) -> Handler:
    """Reads something, says `answer`, closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and never answers, as a hung service does."""
    await reader.read()
    writer.close()


def free_port() -> int:
    """A port below the ephemeral range that is free now."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@asynccontextmanager
async def running(program: str, *arguments: str, port: int) -> AsyncIterator[int]:
    """The program, once it listens on `port`; killed at the end."""
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if path is None:
        pytest.skip(f"{program} is not installed; apt-get install {program}")
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await listening(port)
        yield port
    finally:
        process.kill()
        await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return


def redis(port: int, directory: Path, *more: str) -> tuple[str, ...]:
    base = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "")
    return (*base, *more)


async def until(true: Callable[[], bool]) -> None:
    """Returns when `true()` is; looks every 5 ms. Put a time-out around it."""
    while not true():  # noqa: ASYNC110  (what is waited for is outside this process)
        await asyncio.sleep(0.005)
