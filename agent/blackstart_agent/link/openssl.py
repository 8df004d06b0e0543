"""Keys and certificate requests, made by the `openssl` command: a library for it would double the agent."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

from blackstart_agent.errors import ConfigError, HostError

TIMEOUT_S = 20


def new_key_pem() -> bytes:
    """A new ECDSA P-256 key. It exists in this process's memory only."""
    return _openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])


def request_pem(key_pem: bytes, name: str) -> bytes:
    """A certificate request signed by the key."""
    return _openssl(["req", "-new", "-batch", "-key", "/dev/stdin", "-subj", f"/CN={name}"], stdin=key_pem)


def validity(certificate_pem: bytes) -> tuple[datetime, datetime]:
    """From when and until when a certificate is valid."""
    text = _openssl(["x509", "-noout", "-startdate", "-enddate"], stdin=certificate_pem).decode()
    dates = dict(line.split("=", 1) for line in text.splitlines())
    return _date(dates["notBefore"]), _date(dates["notAfter"])


def _date(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def _openssl(arguments: Sequence[str], stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["openssl", *arguments],  # noqa: S607 - found by PATH, as an administrator's own openssl would be
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("no `openssl` command on this host; install it: apt-get install openssl") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"openssl {arguments[0]}: no result in {TIMEOUT_S} s") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise HostError(f"openssl {arguments[0]} failed with {done.returncode}: {words}")
    return done.stdout
