"""`blackstart environment set|list|show|remove`: parts of the fleet with rules of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from blackstart_controller.cli.host import rows_of
from blackstart_controller.cli.output import columns, output_option, write, write_json
from blackstart_controller.cli.session import connect


@click.group()
def environment() -> None:
    """Environments: a run is in each one that holds one of its targets, and keeps to its rules."""


@environment.command("set")
@click.argument("name")
@click.option(
    "--hosts", metavar="SELECTOR", required=True, help='Which hosts it holds, such as "site=pangyo".'
)
@click.option(
    "--second-person", is_flag=True, help="A run waits until an approver who did not start it agrees."
)
@click.option("--protected", is_flag=True, help="A run needs the hash of the plan that was looked at.")
@click.option("--max-hosts", type=int, metavar="N", help="So many of its hosts may one run hit.")
@click.option("--max-runs-per-day", type=int, metavar="N", help="So many runs may begin within 24 hours.")
@output_option
@click.pass_context
def put(ctx: click.Context, /, name: str, form: str, **rules: Any) -> None:
    """Make an environment, or give one all its rules anew."""
    with connect(ctx) as client:
        made = client.post("v1", "environments", name, body=rules)
    _show(made, form)


@environment.command("list")
@output_option
@click.pass_context
def list_environments(ctx: click.Context, form: str) -> None:
    """List environments and their rules."""
    with connect(ctx) as client:
        found = rows_of(client.get("v1", "environments"), "environments")
    if form == "json":
        write_json(found)
        return
    rows = [(one["name"], one["hosts"], "; ".join(rules_of(one))) for one in found]
    write(columns(("ENVIRONMENT", "HOSTS", "RULES"), rows))


@environment.command()
@click.argument("name")
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, form: str) -> None:
    """Show one environment."""
    with connect(ctx) as client:
        _show(client.get("v1", "environments", name), form)


@environment.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove an environment: its rules hold no longer."""
    with connect(ctx) as client:
        client.post("v1", "environments", name, "remove", body={})
    write(f"{name} is removed")


def rules_of(found: Mapping[str, Any]) -> list[str]:
    rules = []
    if found["second_person"]:
        rules.append("second person")
    if found["protected"]:
        rules.append("protected")
    if found["max_hosts"] is not None:
        rules.append(f"at most {found['max_hosts']} hosts")
    if found["max_runs_per_day"] is not None:
        rules.append(f"at most {found['max_runs_per_day']} runs a day")
    return rules


def _show(found: Mapping[str, Any], form: str) -> None:
    if form == "json":
        write_json(found)
    else:
        rules = "; ".join(rules_of(found)) or "no rules"
        write(f"environment  {found['name']}\nhosts        {found['hosts']}\nrules        {rules}")
