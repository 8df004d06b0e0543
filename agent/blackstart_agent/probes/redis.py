"""Redis by hand: PING, or a SET of a key of our own; with Sentinel, on the master that the sentinels name."""

from __future__ import annotations

from typing import TypeAlias

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import Down, Surroundings
from blackstart_agent.probes.connection import Connection
from blackstart_agent.probes.net import Candidates, Target, connection, resolve, resolve_all

KEY_LIFE_MS = 60_000
LIMIT_BYTES = 65_536
MAX_ITEMS = 64

Reply: TypeAlias = "bytes | int | list[Reply] | None"


class RedisLook:
    """Up when a server answers PING, or takes a write when one is asked for.

    Several addresses are tried in turn, each after a quarter of the time-out. With `sentinel_master` they are
    sentinels, asked anew for each sample; the master they name must answer.
    """

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        self._addresses = tuple(probe.redis.addresses)
        self._master = probe.redis.sentinel_master
        self._command = command_of(probe)
        self._candidates = Candidates(probe.timeout_ms)

    async def prepare(self) -> None:
        self._candidates.set(await resolve_all(self._addresses))

    async def look(self) -> None:
        if not self._master:
            await self._candidates.first(self._check)
            return
        master = await self._candidates.first(self._ask_sentinel)
        await self._check(master)

    async def _ask_sentinel(self, sentinel: Target) -> Target:
        async with connection(sentinel) as link:
            reply = await ask(link, b"SENTINEL", b"get-master-addr-by-name", self._master.encode())
        match reply:
            case [bytes(host), bytes(port)] if port.isdigit():
                return (await resolve(host.decode(errors="replace"), int(port)))[0]
            case _:
                raise Down(f"sentinel {sentinel.name} knows no master {self._master!r}")

    async def _check(self, server: Target) -> None:
        async with connection(server) as link:
            reply = await ask(link, *self._command)
        if reply not in (b"PONG", b"OK"):
            raise Down(f"{server.name} answered {reply!r:.80}")


def command_of(probe: agent_pb2.Probe) -> tuple[bytes, ...]:
    if not probe.redis.write:
        return (b"PING",)
    key = f"blackstart:probe:{probe.id}".encode()
    return (b"SET", key, b"1", b"PX", str(KEY_LIFE_MS).encode())


async def ask(link: Connection, *words: bytes) -> Reply:
    """Send one command and return its reply. An error reply (READONLY, LOADING, NOAUTH ...) raises Down."""
    parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)]
    await link.send(b"".join(parts))
    return await read_reply(link)


async def read_reply(link: Connection, depth: int = 0) -> Reply:
    """One RESP2 value, within limits."""
    line = (await link.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise Down(rest.decode(errors="replace")[:120])
    if kind == b"+":
        return rest
    size = _number(line, rest)
    if kind == b":":
        return size
    if kind == b"$" and size <= LIMIT_BYTES:
        return None if size < 0 else (await link.readexactly(size + 2))[:-2]
    if kind == b"*" and size <= MAX_ITEMS and depth < 4:
        return None if size < 0 else [await read_reply(link, depth + 1) for _ in range(size)]
    raise Down(f"not Redis, or too long: {line[:40]!r}")


def _number(line: bytes, digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise Down(f"not Redis: {line[:40]!r}") from None
