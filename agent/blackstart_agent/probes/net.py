"""Addresses, connections, and trying several candidates without waiting for the dead ones."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import TypeVar

from blackstart_agent.probes.base import CannotLook
from blackstart_agent.probes.connection import Connection, PlainConnection, TlsConnection

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Target:
    """A literal IP address and a port, and what the document called it."""

    ip: str
    port: int
    name: str


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` to its parts. Raises CannotLook when it is neither."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise CannotLook(f"{address!r} is no address; write host:port or [v6]:port")
    return bare, int(port)


async def resolve(host: str, port: int) -> tuple[Target, ...]:
    """Every address of a name, in the resolver's order. Raises OSError when there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ips = dict.fromkeys(str(entry[4][0]) for entry in found)
    return tuple(Target(ip, port, f"{host}:{port}") for ip in ips)


async def resolve_all(addresses: Sequence[str]) -> tuple[Target, ...]:
    """Every address of every name; names without one are left out while another has one."""
    found: list[Target] = []
    failures: list[OSError] = []
    for address in addresses:
        try:
            found += await resolve(*split_address(address))
        except OSError as error:
            failures.append(OSError(error.errno, f"{address}: {error.strerror}"))
    if not found and failures:
        raise failures[0]
    return tuple(found)


@asynccontextmanager
async def connection(
    target: Target, tls: SSLContext | None = None, tls_name: str = ""
) -> AsyncIterator[Connection]:
    """A new connection that is gone when the block ends. Raises OSError as the network said it."""
    link: Connection
    if tls is None:
        link = PlainConnection(await _connected(target))
    else:
        link = await TlsConnection.over(await _connected(target), tls, tls_name)
    try:
        yield link
    finally:
        link.close()


async def _connected(target: Target) -> socket.socket:
    family = socket.AF_INET6 if ":" in target.ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (target.ip, target.port))
    except OSError as error:
        sock.close()
        if error.errno == errno.ENETUNREACH and not has_route(target):
            raise CannotLook(f"this host has no route to {target.ip}") from error
        raise
    except BaseException:  # an interrupt too must leave nothing half-made; it goes on
        sock.close()
        raise
    return sock


def has_route(target: Target) -> bool:
    """Whether this host itself knows a way: connecting a UDP socket looks the route up and sends nothing."""
    family = socket.AF_INET6 if ":" in target.ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target.ip, target.port))
        except OSError:
            return False
    return True


async def race(candidates: Sequence[C], attempt: Callable[[C], Awaitable[R]], *, stagger_s: float) -> R:
    """The first success among the candidates.

    The next one is tried when `stagger_s` has passed or all before it have failed, so that a dead one costs
    little. When all fail, the first candidate's failure is raised. Every other attempt is cancelled and over
    at the end.
    """
    if not candidates:
        raise CannotLook("no address to try")
    if len(candidates) == 1:
        return await attempt(candidates[0])
    waiting = list(candidates)
    tasks: list[asyncio.Task[R]] = []
    try:
        while True:
            if waiting:
                tasks.append(asyncio.create_task(_run(attempt, waiting.pop(0))))
            pending = [task for task in tasks if not task.done()]
            if pending:
                patience = stagger_s if waiting else None
                await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and task.exception() is None:
                    return task.result()
            if not waiting and all(task.done() for task in tasks):
                return tasks[0].result()  # raises its failure
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Candidates:
    """The addresses of one probe.

    The one that answered last is asked first: a dead one that is listed before it then slows one answer down,
    not all of them.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._stagger_s = timeout_ms / 4000
        self._targets: tuple[Target, ...] = ()

    def set(self, targets: Sequence[Target]) -> None:
        self._targets = tuple(targets)

    async def first(self, attempt: Callable[[Target], Awaitable[R]]) -> R:
        """The first success; each further address is asked a quarter of the time-out later."""

        async def noted(target: Target) -> tuple[Target, R]:
            return target, await attempt(target)

        answered, result = await race(self._targets, noted, stagger_s=self._stagger_s)
        self._targets = (answered, *(target for target in self._targets if target != answered))
        return result


async def _run(attempt: Callable[[C], Awaitable[R]], candidate: C) -> R:
    return await attempt(candidate)
