"""Where the API listens, and under which names this controller is known."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import uvicorn
from starlette.types import ASGIApp

from blackstart_controller.errors import UsageError
from blackstart_controller.security.authority import ServerPair

STOP_GRACE_S = 1
KEEP_ALIVE_S = 30
MAX_CONNECTIONS = 1000


def own_addresses() -> tuple[str, ...]:
    """This host's addresses, loopback and link-local left out."""
    found = []
    for interface in psutil.net_if_addrs().values():
        for one in interface:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(one.address.partition("%")[0])
                if not address.is_loopback and not address.is_link_local:
                    found.append(str(address))
    return tuple(dict.fromkeys(found))


def certificate_names(names: Sequence[str]) -> list[str]:
    """Everything that somebody may call this controller by."""
    hostname = socket.gethostname()
    return list(dict.fromkeys([*names, hostname, "localhost", "127.0.0.1", "::1", *own_addresses()]))


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError that names the port and the next step."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is named; with it every answer waits 40 ms for an ACK.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise UsageError(
            f"serve: cannot listen on {host}:{port}: {error.strerror}; choose another address with --listen"
        ) from error
    made.setblocking(False)
    return made


def tls_context(pair: ServerPair) -> ssl.SSLContext:
    """TLS 1.2 or newer with this key, which is never written to a disk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    descriptor = os.memfd_create("blackstart-api", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pair.certificate_pem + b"\n" + pair.key_pem.reveal().encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class ApiServer(uvicorn.Server):
    """uvicorn without its own signal handlers: `serve` decides when and in which order things stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def api_server(app: ASGIApp, context: ssl.SSLContext) -> ApiServer:
    def ready_made(_config: uvicorn.Config, _default: Any) -> ssl.SSLContext:
        return context

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        ssl_context_factory=ready_made,
    )
    return ApiServer(config)
