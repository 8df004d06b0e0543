"""Who is at the other end: a host's name, as its certificate says it. URI SAN `blackstart://host/NAME`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from blackstart_controller.errors import Unauthorised, UsageError

HOST_PREFIX = "blackstart://host/"
CONTROLLER_NAME = (
    "controller.blackstart"  # in every server certificate: agents check this name, not an address
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check_host_name(host: str) -> str:
    """Return `host` when it can be a host's name: 1 to 63 letters, digits, `.`, `-` and `_`."""
    if not _NAME.fullmatch(host):
        raise UsageError(
            f"host name {host[:80]!r}: must be 1 to 63 letters, digits, '.', '-' or '_', "
            "beginning and ending with a letter or digit"
        )
    return host


def host_uri(host: str) -> str:
    return HOST_PREFIX + check_host_name(host)


def host_of_names(names: Iterable[str]) -> str:
    """The one host that these subject alternative names name. None, several or a malformed one is refused."""
    hosts = {name.removeprefix(HOST_PREFIX) for name in names if name.startswith(HOST_PREFIX)}
    if len(hosts) != 1:
        raise Unauthorised(
            f"the client's certificate names {len(hosts)} hosts, it must name one; "
            "enrol this host: blackstart-agent enroll"
        )
    host = hosts.pop()
    if not _NAME.fullmatch(host):
        raise Unauthorised(
            "the client's certificate names no valid host; enrol this host: blackstart-agent enroll"
        )
    return host


def host_of_context(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """The host at the other end of an RPC, from gRPC's `context.auth_context()`."""
    names = auth_context.get("x509_subject_alternative_name", ())
    return host_of_names(name.decode("utf-8", "replace") for name in names)
