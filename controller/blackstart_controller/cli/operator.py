"""`blackstart operator create|list|revoke|log`: who may do what, and what they decided."""

from __future__ import annotations

import click

from blackstart_controller.cli.host import rows_of
from blackstart_controller.cli.output import columns, harmless, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.cli.token import seconds

ROLES = ("viewer", "operator", "approver", "admin")  # each may all that the one before may


@click.group()
def operator() -> None:
    """Operators: people and pipelines, each with a role and a token of their own."""


@operator.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the token may do.")
@click.option(
    "--ttl", default="2160h", show_default=True, help="How long it is good, at most 8784h (366 days)."
)
@output_option
@click.pass_context
def create(ctx: click.Context, name: str, role: str, ttl: str, form: str) -> None:
    """Create an operator and print the token; it is shown only this once.

    viewer reads; operator also starts and halts; approver also agrees as a second person and releases the
    lever; admin also manages operators, environments and join tokens.
    """
    body = {"name": name, "role": role, "ttl_s": int(seconds(ttl))}
    with connect(ctx) as client:
        made = client.post("v1", "operators", body=body)
    if form == "json":
        write_json(made)
        return
    write(made["token"])
    progress(f"{name} is {role} until {made['expires']}; to use it: BLACKSTART_TOKEN=… blackstart login URL")


@operator.command("list")
@output_option
@click.pass_context
def list_operators(ctx: click.Context, form: str) -> None:
    """List operators with their roles, and when their tokens were used last."""
    with connect(ctx) as client:
        found = rows_of(client.get("v1", "operators"), "operators")
    if form == "json":
        write_json(found)
        return
    keys = ("name", "role", "created", "expires", "last_used")
    write(
        columns(
            ("OPERATOR", "ROLE", "CREATED", "EXPIRES", "LAST USED"),
            [[one[key] for key in keys] for one in found],
        )
    )


@operator.command()
@click.argument("name")
@click.pass_context
def revoke(ctx: click.Context, name: str) -> None:
    """Refuse every token of an operator from now on; streams that are open end within seconds."""
    with connect(ctx) as client:
        client.post("v1", "operators", name, "revoke", body={})
    write(f"{name} is revoked")
    if name == "admin":
        progress("the controller writes a new admin.json when it is started again")


@operator.command()
@output_option
@click.pass_context
def log(ctx: click.Context, form: str) -> None:
    """Show who decided what: operators, environments, approvals, the lever."""
    with connect(ctx) as client:
        events = rows_of(client.get("v1", "control", "events"), "events")
    if form == "json":
        write_json(events)
        return
    rows = [(one["at"], one["by"], one["type"], one["subject"], _told(one["data"])) for one in events]
    write(columns(("AT", "BY", "WHAT", "OF", "WITH"), rows))


def _told(data: dict[str, object]) -> str:
    if data.get("reason"):
        return harmless(data["reason"])
    return harmless(
        " ".join(f"{key}={value}" for key, value in data.items() if value not in (None, False, ""))
    )
