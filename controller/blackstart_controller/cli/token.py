"""`blackstart token create`."""

from __future__ import annotations

import click

from blackstart_controller.cli.output import output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import UsageError


@click.group()
def token() -> None:
    """Join tokens: each lets one agent join once."""


@token.command("create")
@click.option("--host", default="", help="Only a host of this name may use it.")
@click.option("--ttl", default="1h", show_default=True, help="How long it may be used, such as 30m or 24h.")
@output_option
@click.pass_context
def create(ctx: click.Context, host: str, ttl: str, form: str) -> None:
    """Create a join token and print it; it is shown only this once."""
    ttl_s = seconds(ttl)
    body = {"ttl_s": ttl_s, **({"host": host} if host else {})}
    with connect(ctx) as client:
        made = client.post("v1", "tokens", body=body)
    if form == "json":
        write_json(made)
        return
    write(made["token"])
    progress(f"usable once until {made['expires']}" + (f", by {host} only" if host else ""))


def seconds(text: str) -> float:
    """The duration `text` (200ms, 10s, 5m, 1h, 1m30s) in seconds."""
    from blackstart_controller.spec.duration import parse_duration

    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise UsageError(f"--ttl {text}: {error}") from error
