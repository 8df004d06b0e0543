"""`blackstart notify …`: who is told of runs, of the lever, of schedules and game days."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from blackstart_controller.cli.output import columns, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import UsageError

FILE = click.Path(dir_okay=False, allow_dash=True)


@click.group()
def notify() -> None:
    """Notifications: signed webhooks, and through Apprise chat, e-mail and pagers."""


@notify.command()
@click.argument("name")
@click.option("--webhook", metavar="URL", help="POST signed CloudEvents there; - reads the URL from stdin.")
@click.option("--apprise", metavar="FILE", type=FILE, help="File with one Apprise URL, or - for stdin.")
@click.option("--types", default="*", show_default=True, help="Of which notices: run.ended,lever.*")
@click.option("--secret-file", metavar="FILE", type=FILE, help="whsec_… to sign with; else one is made.")
@output_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    name: str,
    webhook: str | None,
    apprise: str | None,
    types: str,
    secret_file: str | None,
    form: str,
) -> None:
    """Add a target; the secret that was made for a webhook is shown only this once.

    An Apprise URL holds a password or a token: it is read from a file, for command lines are seen by others.
    """
    if (webhook is None) == (apprise is None):
        raise UsageError("notify add: give either --webhook URL or --apprise FILE")
    if apprise is not None and secret_file is not None:
        raise UsageError("notify add: --secret-file is for webhooks; an Apprise URL holds its own secret")
    if (webhook, secret_file) == ("-", "-"):
        raise UsageError("notify add: only one of --webhook and --secret-file can be read from stdin")
    url = _read("-") if webhook == "-" else webhook or _read(apprise or "-")
    body: dict[str, Any] = {
        "name": name,
        "kind": "webhook" if webhook else "apprise",
        "url": url,
        "types": [part.strip() for part in types.split(",") if part.strip()],
    }
    if secret_file is not None:
        body["secret"] = _read(secret_file)
    with connect(ctx) as client:
        made = client.post("v1", "notify", "targets", body=body)
    if form == "json":
        write_json(made)
        return
    progress(f"{name} is told of {types}; try it: blackstart notify test {name}")
    if "secret" in made:
        write(made["secret"])
        progress("with this secret the other side checks signatures; it is not shown again")


@notify.command("list")
@output_option
@click.pass_context
def list_targets(ctx: click.Context, form: str) -> None:
    """List every target, without its secrets."""
    with connect(ctx) as client:
        targets = client.get("v1", "notify", "targets")["targets"]
    if form == "json":
        write_json(targets)
        return
    rows = [
        (one["name"], one["kind"], one["url"], ",".join(one["types"]), one["created_by"]) for one in targets
    ]
    write(columns(("TARGET", "KIND", "WHERE", "TYPES", "ADDED BY"), rows))


@notify.command()
@click.argument("name")
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, form: str) -> None:
    """Show one target, without its secrets."""
    with connect(ctx) as client:
        target = client.get("v1", "notify", "targets", name)["target"]
    if form == "json":
        write_json(target)
        return
    shown = target | {"types": ",".join(target["types"])}
    write("\n".join(f"{key.replace('_', ' '):<10}  {value}" for key, value in shown.items()))


@notify.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove a target; what waited for it is given up."""
    with connect(ctx) as client:
        client.post("v1", "notify", "targets", name, "remove", body={})
    progress(f"{name} is removed")


@notify.command()
@click.argument("name")
@click.pass_context
def test(ctx: click.Context, name: str) -> int:
    """Send one message to a target, now; 0 when it was taken, else 6."""
    with connect(ctx) as client:
        told = client.post("v1", "notify", "targets", name, "test", body={})
    progress(f"{name}: {'delivered' if told['delivered'] else told['error']}")
    return 0 if told["delivered"] else 6


@notify.command()
@click.option("-n", "limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@output_option
@click.pass_context
def log(ctx: click.Context, limit: int, form: str) -> None:
    """List the newest deliveries: waiting, delivered, given up, or merged into a digest."""
    with connect(ctx) as client:
        found = client.get("v1", "notify", "log", query={"limit": str(limit)})["deliveries"]
    if form == "json":
        write_json(found)
        return
    rows = [
        (one["at"], one["target"], one["type"], one["subject"], one["state"], one["attempts"], one["error"])
        for one in found
    ]
    write(columns(("TIME", "TARGET", "TYPE", "SUBJECT", "STATE", "TRIES", "LAST ERROR"), rows))


def _read(path: str) -> str:
    """The one line in a file, or on standard input; lines with # do not count."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text") from error
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise UsageError(f"{path}: must hold one line, and holds {len(lines)}")
    return lines[0]
