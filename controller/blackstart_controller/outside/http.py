"""The door itself: HTTP to allowed origins, at addresses that were checked, within a time and a size."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx2

from blackstart_controller.errors import UsageError
from blackstart_controller.outside.addresses import Address, NoOrigin, Origin, parse_url, refusal_of
from blackstart_controller.outside.aside import in_a_thread
from blackstart_controller.outside.ports import MAX_ANSWER_BYTES, Reply, Unreadable

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
HEADERS = {"user-agent": "blackstart", "accept-encoding": "identity", "connection": "close"}


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Every address of `host`, as this system resolves it, best first."""
    found = await in_a_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(address[0]) for *_rest, address in found))


class HttpOutside:
    """Implements `outside.ports.Outside`.

    A name is resolved once for each request; every address of it is checked, and it is those that are
    connected to, so that another answer a moment later changes nothing. TLS and `Host` keep the name.
    Redirects and the environment's proxies do not exist below the client, which is not used here; it would
    also log whole URLs. A connection is never shared: a pool tells connections apart by address only.
    """

    def __init__(
        self,
        allowed_origins: Iterable[str] = (),
        *,
        ca_file: Path | None = None,
        resolver: Resolver = system_resolver,
    ) -> None:
        """Raises UsageError. `ca_file`: PEM certificates to trust as well as the system's."""
        self._allowed = frozenset(_listed(text) for text in allowed_origins)
        self._tls = _trust(ca_file)
        self._resolver = resolver

    def refusal(self, url: str) -> str | None:
        try:
            self._origin(parse_url(url))
        except NoOrigin as error:
            return str(error)
        return None

    async def get(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.request("GET", url, b"", timeout_s=timeout_s, headers=headers)

    async def post(
        self, url: str, body: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return await self.request("POST", url, body, timeout_s=timeout_s, headers=headers)

    async def request(
        self, method: str, url: str, body: bytes, *, timeout_s: float, headers: Mapping[str, str] | None
    ) -> Reply:
        """The answer, whatever its status. `timeout_s` is for all of it. Raises Unreadable."""
        try:
            parsed = parse_url(url)
            origin = self._origin(parsed)
        except NoOrigin as error:
            raise Unreadable(str(error)) from None
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._checked(origin)
                given = {name.lower(): value for name, value in (headers or {}).items()}
                request = httpx2.Request(
                    method,
                    parsed.copy_with(fragment=None),
                    headers=HEADERS | given | {"host": origin.authority},
                    content=body,
                    extensions={"sni_hostname": origin.host},
                )
                return await self._first_connected(request, addresses, timeout_s / len(addresses))
        except TimeoutError:
            raise Unreadable(f"{origin}: no whole answer within {timeout_s:g} s") from None
        except httpx2.HTTPError as error:
            raise Unreadable(f"{origin}: {str(error) or type(error).__name__}") from error
        except _Unusable as error:
            raise Unreadable(f"{origin}: {error}") from None

    def _origin(self, url: httpx2.URL) -> Origin:
        if url.userinfo:
            raise NoOrigin("a URL must not hold a user name or a password")
        origin = Origin.of(url)
        if origin not in self._allowed:
            raise NoOrigin(f"{origin} is not allowed; start the controller with --allow-url {origin}")
        return origin

    async def _checked(self, origin: Origin) -> Sequence[Address]:
        """The addresses of an origin. One that may not be spoken to condemns them all: DNS is lying."""
        try:
            texts = await self._resolver(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            raise _Unusable(f"the name cannot be resolved: {error}") from error
        addresses = [ipaddress.ip_address(text) for text in texts]
        for address in addresses:
            if (why := refusal_of(address, loopback=origin.names_loopback)) is not None:
                raise _Unusable(f"its address {address} is {why}; blackstart does not connect there")
        if not addresses:
            raise _Unusable("the name has no address")
        return addresses

    async def _first_connected(
        self, request: httpx2.Request, addresses: Sequence[Address], connect_s: float
    ) -> Reply:
        """Other addresses are tried only while nothing can have been sent."""
        request.extensions["timeout"] = {"connect": connect_s}
        url, last = request.url, addresses[-1]
        for address in addresses:
            request.url = url.copy_with(host=str(address))
            try:
                return await self._exchange(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == last:
                    raise
        raise AssertionError("there is at least one address")

    async def _exchange(self, request: httpx2.Request) -> Reply:
        async with httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                return Reply(response.status_code, await _bounded(response), dict(response.headers))
            finally:
                await response.aclose()


class _Unusable(Exception):
    """Why there is no usable answer; the caller adds from where."""


async def _bounded(response: httpx2.Response) -> bytes:
    """The body as it was sent: nothing is unpacked, a small answer must not become a large one."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _Unusable("the answer is compressed, which was not asked for")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unusable(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _listed(text: str) -> Origin:
    try:
        return Origin.parse(text)
    except NoOrigin as error:
        raise UsageError(f"--allow-url: {error}") from error


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"--outside-ca {ca_file}: {error.strerror or error}; it must hold PEM certificates"
            ) from error
    return context
