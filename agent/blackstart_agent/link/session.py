"""One stream to the controller, from Hello until either end is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import grpc
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc

from blackstart_agent.link.clock import clock_reply

log = logging.getLogger(__name__)
WELCOME_TIMEOUT_S = 10.0
Call: TypeAlias = "grpc.aio.StreamStreamCall[agent_pb2.FromAgent, agent_pb2.ToAgent]"


class StreamLost(Exception):
    """There is no stream any more. The text says why, for the log."""


class Session:
    """Reads and writes one call, one write at a time (gRPC demands it)."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: Call = agent_pb2_grpc.FleetStub(channel).Connect()
        self._turn = asyncio.Lock()
        self._outbox: asyncio.Queue[agent_pb2.FromAgent] = asyncio.Queue()

    async def open(self, hello: agent_pb2.Hello) -> agent_pb2.Welcome:
        """Say Hello and return the controller's Welcome; raises StreamLost."""
        await self.write(agent_pb2.FromAgent(hello=hello))
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_S):
                message = await self._read()
        except TimeoutError:
            raise StreamLost(f"no Welcome from the controller in {WELCOME_TIMEOUT_S} s") from None
        if message.WhichOneof("body") != "welcome":
            raise StreamLost("the controller's first message is no Welcome; is it of another version?")
        return message.welcome

    def tell(self, message: agent_pb2.FromAgent) -> None:
        """Queue a message behind the others."""
        self._outbox.put_nowait(message)

    async def write(self, message: agent_pb2.FromAgent) -> None:
        async with self._turn:
            await self._write(message)

    async def read_all(self, receive: Callable[[agent_pb2.ToAgent], None]) -> None:
        """Answer clock probes at once and give every other message to `receive`, until the stream is lost."""
        while True:
            message = await self._read()
            received_ns = time.monotonic_ns()
            if message.WhichOneof("body") == "clock":
                async with self._turn:
                    await self._write(clock_reply(message.clock, received_ns))
            else:
                receive(message)

    async def write_all(self) -> None:
        while True:
            await self.write(await self._outbox.get())

    async def _read(self) -> agent_pb2.ToAgent:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise StreamLost(_words(error.code(), error.details())) from None
        if not isinstance(message, agent_pb2.ToAgent):
            raise StreamLost(_words(await self._call.code(), await self._call.details()))
        return message

    async def _write(self, message: agent_pb2.FromAgent) -> None:
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise StreamLost(_words(error.code(), error.details())) from None
        except (asyncio.InvalidStateError, grpc.aio.BaseError) as error:
            raise StreamLost(f"the stream has ended: {error}") from None


async def first_ended(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; the others are cancelled. What it raised is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _words(code: grpc.StatusCode | None, details: str | None) -> str:
    return f"{code.name if code else 'ended'}: {details or 'no reason given'}"
