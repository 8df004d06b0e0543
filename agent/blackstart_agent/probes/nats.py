"""NATS by hand: PING, or a JetStream publish that the stream acknowledges."""

from __future__ import annotations

import json
import secrets

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import Down, Surroundings
from blackstart_agent.probes.connection import Connection
from blackstart_agent.probes.net import Candidates, Target, connection, resolve_all

LIMIT_BYTES = 65_536
CONNECT = json.dumps(
    {
        "verbose": False,
        "pedantic": False,
        "name": "blackstart-probe",
        "lang": "python",
        "version": "1",
        "protocol": 1,
        "headers": True,
        "no_responders": True,
    }
).encode()


class NatsLook:
    """Up when a server answers PING, or when a stream has stored a message on `publish`.

    Several addresses are tried in turn, each after a quarter of the time-out.
    """

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        self._addresses = tuple(probe.nats.addresses)
        self._subject = probe.nats.publish.encode()
        self._body = f"blackstart probe {probe.id}".encode()
        self._candidates = Candidates(probe.timeout_ms)

    async def prepare(self) -> None:
        self._candidates.set(await resolve_all(self._addresses))

    async def look(self) -> None:
        await self._candidates.first(self._check)

    async def _check(self, server: Target) -> None:
        async with connection(server) as link:
            await _expect(link, b"INFO")
            await link.send(b"CONNECT %s\r\nPING\r\n" % CONNECT)
            await _expect(link, b"PONG")
            if self._subject:
                await self._publish(link)

    async def _publish(self, link: Connection) -> None:
        inbox = b"_INBOX." + secrets.token_hex(11).encode()
        size = len(self._body)
        await link.send(
            b"SUB %s 1\r\nPUB %s %s %d\r\n%s\r\n" % (inbox, self._subject, inbox, size, self._body)
        )
        check_ack(await _message(link))


async def _expect(link: Connection, *verbs: bytes) -> bytes:
    """Read on until a line begins with one of `verbs`; answer PINGs, skip +OK and INFO. -ERR raises Down."""
    while True:
        line = (await link.readuntil(b"\r\n")).strip()
        if line.upper().startswith(verbs):
            return line
        if line == b"PING":
            await link.send(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            raise Down(line.decode(errors="replace")[:120])
        elif not line.startswith((b"+OK", b"INFO")):
            raise Down(f"not NATS: {line[:40]!r}")


async def _message(link: Connection) -> bytes:
    """The payload of the next message. A 503 header (nobody listens: no stream) raises Down."""
    words = (await _expect(link, b"MSG", b"HMSG")).split()
    if not words[-1].isdigit() or int(words[-1]) > LIMIT_BYTES:
        raise Down(f"not NATS: {b' '.join(words)[:40]!r}")
    payload = (await link.readexactly(int(words[-1]) + 2))[:-2]
    if words[0].upper() == b"HMSG":
        if b" 503" in payload[:32]:
            raise Down("no stream takes this subject now (503)")
        payload = payload[int(words[-2]) :]
    return payload


def check_ack(payload: bytes) -> None:
    """Return when `payload` says that a stream stored the message; else raise Down."""
    try:
        ack = json.loads(payload)
    except ValueError:
        raise Down(f"not an acknowledgement: {payload[:60]!r}") from None
    if not isinstance(ack, dict):
        raise Down(f"not an acknowledgement: {payload[:60]!r}")
    if "error" in ack:
        raise Down(f"not stored: {json.dumps(ack['error'])[:120]}")
    if not ack.get("stream") or not isinstance(ack.get("seq"), int):
        raise Down(f"not an acknowledgement: {payload[:60]!r}")
