"""`blackstart run approve|deny`, and looking at a plan before a protected environment is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from blackstart_controller.cli.interrupts import Interrupted, Interrupts
from blackstart_controller.cli.output import output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import PlanHashNeeded

if TYPE_CHECKING:
    from blackstart_controller.cli.client import Client

DIGITS = 8


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--plan", "plan_hash", metavar="HASH", help="Only if this is the plan; at least its first 8 digits."
)
@output_option
@click.pass_context
def approve(ctx: click.Context, run_id: str, plan_hash: str | None, form: str) -> None:
    """Agree, as the second person, to a run that waits for it. Needs the role approver."""
    with connect(ctx) as client:
        found = client.post("v1", "runs", run_id, "approve", body={"plan_hash": plan_hash})
    if form == "json":
        write_json(found)
    else:
        write(f"run {run_id} is approved; to follow it: blackstart run watch {run_id}")


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Told to whoever started it.")
@output_option
@click.pass_context
def deny(ctx: click.Context, run_id: str, reason: str, form: str) -> None:
    """Refuse a run that waits for a second person: it ends with exit code 7. Needs the role approver."""
    with connect(ctx) as client:
        found = client.post("v1", "runs", run_id, "deny", body={"reason": reason})
    if form == "json":
        write_json(found)
    else:
        write(f"run {run_id} is denied")


def start_run(client: Client, body: dict[str, Any], key: str, interrupts: Interrupts) -> str:
    """The id of the new run. At a terminal, a protected environment's plan is shown and asked for here."""
    try:
        return str(client.post("v1", "runs", body=body, key=key)["id"])
    except PlanHashNeeded:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        typed = _typed(client, body, interrupts)
        if not typed:
            raise
        return str(client.post("v1", "runs", body=body | {"plan_hash": typed}, key=key)["id"])


def _typed(client: Client, body: dict[str, Any], interrupts: Interrupts) -> str:
    """The digits that a person who has seen the plan typed; "" when they are not those of the plan."""
    from blackstart_controller.cli.wait import ask
    from blackstart_controller.plan.codec import plan_from_dict
    from blackstart_controller.plan.explain import explain

    made = client.post("v1", "plans", body={key: body[key] for key in body if key != "plan_hash"})
    progress(f"{explain(plan_from_dict(made['plan']))}\nplan {made['hash']}")
    typed = _asked(f"type the first {DIGITS} digits of the plan's hash to run it: ", ask, interrupts)
    return typed if len(typed) >= DIGITS and made["hash"].startswith(typed) else ""


def _asked(question: str, ask: Callable[[str], str], interrupts: Interrupts) -> str:
    """What was typed; an interrupt is no answer."""
    try:
        with interrupts.allowed():
            return ask(question).lower()
    except Interrupted:
        progress("")
        return ""
