"""`blackstart lever engage|release|status`: stop everything, and keep it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from blackstart_controller.cli.halt import REVERTING
from blackstart_controller.cli.output import harmless, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect

REASON = click.option("--reason", required=True, help="Told to everybody whose run is halted or refused.")


@click.group()
def lever() -> None:
    """The lever: engaged, every fault is reverted and nothing starts until an approver releases it."""


@lever.command()
@REASON
@output_option
@click.pass_context
def engage(ctx: click.Context, reason: str, form: str) -> None:
    """Halt every run, revert every agent, and let nothing start. Works also when the database is gone."""
    with connect(ctx) as client:
        done = client.post("v1", "lever", "engage", body={"reason": reason})
    if form == "json":
        write_json(done)
    else:
        runs = [f"halting {run_id}" for run_id in done["halted"]]
        write("\n".join([*runs, REVERTING, _told(done)]))
    if done["warning"]:
        progress(f"blackstart: {harmless(done['warning'])}")


@lever.command()
@REASON
@output_option
@click.pass_context
def release(ctx: click.Context, reason: str, form: str) -> None:
    """Let runs start again. Needs the role approver."""
    with connect(ctx) as client:
        done = client.post("v1", "lever", "release", body={"reason": reason})
    if form == "json":
        write_json(done)
    else:
        write("the lever is released" if done["released"] else "the lever was not engaged")


@lever.command()
@output_option
@click.pass_context
def status(ctx: click.Context, form: str) -> None:
    """Say whether the lever is engaged, by whom, since when and why."""
    with connect(ctx) as client:
        found = client.get("v1", "lever")
    if form == "json":
        write_json(found)
    else:
        write(_told(found))


def _told(found: Mapping[str, Any]) -> str:
    state = found["state"]
    if state is None:
        return "the lever is released: runs may start"
    return f"the lever is engaged since {state['at']} by {state['by']}: {harmless(state['reason'])}"
