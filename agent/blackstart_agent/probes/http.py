"""One HTTP/1.1 request on a new connection, written by hand: an HTTP library costs five times the time."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import CannotLook, Down, Surroundings
from blackstart_agent.probes.connection import Connection
from blackstart_agent.probes.net import Candidates, Target, connection, resolve

LIMIT_BYTES = 65_536  # of the body; what is longer is not read
HEAD_LIMIT_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Head:
    status: int
    headers: dict[str, str]


class HttpLook:
    """Up when the status is one of the expected ones (200 to 399 when none is named) and the body contains
    the text.

    Redirects are answers, not followed. https verifies the certificate against this host's authorities.
    """

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        self._url = checked_url(probe.http.url)
        self._expect_status = frozenset(probe.http.expect_status) or frozenset(range(200, 400))
        self._expect_body = probe.http.expect_body.encode()
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._candidates = Candidates(probe.timeout_ms)

    async def prepare(self) -> None:
        self._candidates.set(await resolve(self._url.hostname or "", port_of(self._url)))

    async def look(self) -> None:
        await self._candidates.first(self._ask)

    async def _ask(self, target: Target) -> None:
        async with connection(target, self._tls, self._url.hostname or "") as link:
            await link.send(request(self._url))
            head = await read_head(link)
            if head.status not in self._expect_status:
                raise Down(f"status {head.status}")
            body = await read_body(link, head)
            if self._expect_body not in body:
                raise Down(f"status {head.status}, but the body lacks {self._expect_body.decode()!r}")


def checked_url(url: str) -> SplitResult:
    """The parts of an http or https URL. Raises CannotLook for anything else."""
    parts = urlsplit(url)
    bad = any(ord(character) <= 32 or ord(character) == 127 for character in url)
    if parts.scheme not in ("http", "https") or not parts.hostname or bad:
        raise CannotLook(f"{url!r} is no http or https URL")
    return parts


def port_of(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def request(url: SplitResult) -> bytes:
    path = url.path or "/"
    query = f"?{url.query}" if url.query else ""
    host = url.netloc.rpartition("@")[2]
    lines = (
        f"GET {path}{query} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: blackstart-probe",
        "Accept: */*",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


async def read_head(link: Connection) -> Head:
    """Status and headers (lower-case names). Interim answers (1xx) are skipped."""
    while True:
        raw = await link.readuntil(b"\r\n\r\n")
        if len(raw) > HEAD_LIMIT_BYTES:
            raise Down(f"more than {HEAD_LIMIT_BYTES} bytes of headers")
        first, *rest = raw.decode("latin-1").split("\r\n")
        version, _, after = first.partition(" ")
        code = after[:3]
        if not version.startswith("HTTP/") or not code.isdigit():
            raise Down(f"not HTTP: {first[:60]!r}")
        if code[0] != "1":
            pairs = (line.partition(":") for line in rest if line)
            return Head(int(code), {name.strip().lower(): value.strip() for name, _, value in pairs})


async def read_body(link: Connection, head: Head) -> bytes:
    """The body up to the limit. An answer that ends early raises IncompleteReadError: it is down."""
    if head.status in (204, 304):
        return b""
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(link)
    length = head.headers.get("content-length", "")
    if length.isdigit():
        return await link.readexactly(min(int(length), LIMIT_BYTES))
    body = b""
    while len(body) < LIMIT_BYTES and (part := await link.read(LIMIT_BYTES - len(body))):
        body += part
    return body


async def _read_chunks(link: Connection) -> bytes:
    body = b""
    while len(body) < LIMIT_BYTES:
        line = (await link.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            size = int(line, 16)
        except ValueError:
            raise Down(f"bad chunk size {line[:20]!r}") from None
        if size <= 0:
            return body
        body += await link.readexactly(min(size, LIMIT_BYTES - len(body)))
        if len(body) < LIMIT_BYTES:
            await link.readexactly(2)
    return body
