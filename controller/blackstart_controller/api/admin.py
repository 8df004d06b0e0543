"""STATE/admin.json: how commands on this host reach the controller. Only its owner can read it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from blackstart_controller.errors import BlackstartError
from blackstart_controller.security.roles import Role
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens

ADMIN = "admin"
RENEW_BEFORE_S = 30 * 24 * 3600


async def write_admin_context(path: Path, url: str, tokens: Tokens, authority_pem: bytes) -> None:
    """The file holds the URL, the authority and a token that is good for at least 30 more days."""
    token = await _good_token(path, tokens) or (await tokens.create_operator(ADMIN, Role.ADMIN)).token
    context = {"url": url, "token": token.reveal(), "ca_pem": authority_pem.decode()}
    _replace(path, json.dumps(context, indent=2).encode() + b"\n")


async def _good_token(path: Path, tokens: Tokens) -> Secret | None:
    try:
        token = _token_in(path)
        stored = await tokens.check_operator(token)
    except (OSError, ValueError, KeyError, TypeError, BlackstartError):
        return None
    return token if stored.expires_s > time.time() + RENEW_BEFORE_S else None


def _token_in(path: Path) -> Secret:
    return Secret(str(json.loads(path.read_bytes())["token"]))


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
