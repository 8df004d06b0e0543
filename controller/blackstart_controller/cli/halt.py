"""`blackstart halt [RUN|--all]`."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

import click

from blackstart_controller.cli.output import output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import UsageError

REVERTING = "every agent is told to revert all its faults"
AGAIN = "runs may start again at once; to keep them from it: blackstart lever engage --reason TEXT"


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
@click.option("--all", "everything", is_flag=True, help="Halt every run, and revert every agent's faults.")
@click.option("--reason", default="", help="Kept in the run's log.")
@output_option
@click.pass_context
def halt(ctx: click.Context, run_id: str, everything: bool, reason: str, form: str) -> None:
    """Halt one run, or all: every fault is reverted.

    Returns when the halt is accepted; `blackstart run watch RUN` shows the proof.
    """
    if bool(run_id) == everything:
        raise UsageError("halt: name one run, or give --all; `blackstart run list` shows the runs")
    body = {"reason": reason or f"halted by {getpass.getuser()} from the command line"}
    route = ("v1", "halt") if everything else ("v1", "runs", run_id, "halt")
    with connect(ctx) as client:
        answer = client.post(*route, body=body)
    if form == "json":
        write_json(answer)
    else:
        write(_all_told(answer) if everything else _one_told(run_id, answer))
    if everything:
        progress(AGAIN)


def _one_told(run_id: str, found: Mapping[str, Any]) -> str:
    if found.get("state") != "ended":
        return f"halting {run_id}"
    verdict, reverted = found.get("verdict"), found.get("reverted")
    return f"run {run_id} has ended already: {verdict}, revert {reverted}"


def _all_told(answer: Mapping[str, Any]) -> str:
    runs = [f"halting {run_id}" for run_id in answer.get("halted", ())]
    return "\n".join([*(runs or ["no run is under way"]), REVERTING])
