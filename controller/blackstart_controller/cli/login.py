"""`blackstart login`: remember a controller, after its certificate authority was checked against a pin."""

from __future__ import annotations

import hashlib
import os
import ssl
import sys
from pathlib import Path

import click

from blackstart_controller.cli.context import Context, own_file, save
from blackstart_controller.cli.output import progress
from blackstart_controller.errors import Unauthorised, Unreachable, UsageError

PIN_DIGITS = 64


@click.command()
@click.argument("url")
@click.option(
    "--ca-pin",
    default="",
    help="SHA-256 of the authority's DER certificate, in hex. Not needed with a token that ends in .PIN",
)
@click.option(
    "--file", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the context here."
)
def login(url: str, ca_pin: str, target: Path | None) -> None:
    """Remember the controller at URL for this user.

    The token comes from BLACKSTART_TOKEN, from standard input, or is asked for; never from an option, which
    others on this host can see.
    """
    from blackstart_controller.cli.client import Client

    url = url.rstrip("/")
    if not url.startswith("https://"):
        raise UsageError(f"login {url}: the URL must start with https://")
    secret, _, pin_in_token = _token().partition(".")
    pin = (ca_pin or pin_in_token).lower().replace(":", "")
    if len(pin) != PIN_DIGITS:
        raise UsageError(f"login {url}: the pin must be {PIN_DIGITS} hex digits; give --ca-pin, or TOKEN.PIN")
    context = Context(url, secret, _pinned_authority(url, pin))
    with Client(context) as client:
        client.get("v1", "hosts")
    path = target or own_file()
    save(path, context)
    progress(f"logged in to {url}; context written to {path}")


def _token() -> str:
    token = os.environ.get("BLACKSTART_TOKEN", "")
    if not token:
        token = (
            str(click.prompt("Token", hide_input=True, err=True))
            if sys.stdin.isatty()
            else sys.stdin.readline()
        )
    if not token.strip():
        raise UsageError("login: no token; set BLACKSTART_TOKEN or give it on standard input")
    return token.strip()


def _pinned_authority(url: str, pin: str) -> str:
    """The authority that the controller shows, if it is the pinned one; nothing secret is sent before."""
    import httpx2

    try:
        answer = httpx2.get(f"{url}/ca.pem", verify=False, trust_env=False, timeout=10.0)
        answer.raise_for_status()
        der = ssl.PEM_cert_to_DER_cert(answer.text.strip())
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise Unreachable(
            f"controller {url}: no certificate authority to be had from /ca.pem: {error}"
        ) from error
    shown = hashlib.sha256(der).hexdigest()
    if shown != pin:
        raise Unauthorised(
            f"controller {url}: its authority has the pin {shown}, not {pin}; "
            "this is another controller, or somebody in between"
        )
    return answer.text
