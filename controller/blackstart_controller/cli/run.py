"""`blackstart run FILE` and `blackstart run list|show|watch|approve|deny`."""

from __future__ import annotations

import uuid

import click

from blackstart_controller.cli.approval import approve, deny, start_run
from blackstart_controller.cli.documents import body_of, read_checked, set_option
from blackstart_controller.cli.host import rows_of
from blackstart_controller.cli.output import output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.cli.shown import list_text, report_of, show_text


class RunGroup(click.Group):
    """A group whose default is a document: what is not list, show or watch (./list for a file named so)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, command in self.commands.items() if not command.hidden]


@click.group(cls=RunGroup, subcommand_metavar="FILE [--wait] | list | show | watch | approve | deny RUN")
def run() -> None:
    """Run the experiment in FILE (see `run start --help`), or list, show, watch, approve and deny runs."""


@run.command(hidden=True)
@click.argument("source", metavar="FILE|NAME")
@click.option(
    "--wait/--no-wait", default=False, help="Follow the run to its end and exit with its exit code."
)
@click.option(
    "--plan", "plan_hash", metavar="HASH", help="Only if this is the plan; at least its first 8 digits."
)
@set_option
@output_option
@click.pass_context
def start(
    ctx: click.Context,
    /,
    source: str,
    wait: bool,
    plan_hash: str | None,
    parameters: dict[str, str],
    form: str,
) -> int:
    """Run the experiment in FILE, or the one called NAME of the library (`blackstart experiment list`).

    The document is checked here first. With --wait, progress goes to standard error and the result to
    standard output; an interrupt halts the run and waits for the proof that every fault is gone.
    """
    from blackstart_controller.cli.interrupts import Interrupts

    document = read_checked(source, parameters)
    key = str(uuid.uuid4())
    with connect(ctx) as client, Interrupts() as interrupts:
        wanted = {} if plan_hash is None else {"plan_hash": plan_hash.lower()}
        run_id = start_run(client, body_of(document) | wanted, key, interrupts)
        if wait:
            from blackstart_controller.cli.wait import follow_to_end

            progress(f"run {run_id}")
            return follow_to_end(client, run_id, interrupts, form)
    if form == "json":
        write_json({"id": run_id})
    else:
        write(run_id)
    return 0


@run.command("list")
@output_option
@click.pass_context
def list_runs(ctx: click.Context, form: str) -> None:
    """List runs, newest first."""
    with connect(ctx) as client:
        runs = rows_of(client.get("v1", "runs"), "runs")
    if form == "json":
        write_json(runs)
        return
    write(list_text(runs))


@run.command()
@click.argument("run_id", metavar="RUN")
@output_option
@click.pass_context
def show(ctx: click.Context, run_id: str, form: str) -> None:
    """Show one run: who started it, each order and service, and what ended it."""
    with connect(ctx) as client:
        found = client.get("v1", "runs", run_id)
        report = None if form == "json" else report_of(client, found)
    if form == "json":
        write_json(found)
    else:
        write(show_text(found, report))


@run.command()
@click.argument("run_id", metavar="RUN")
@output_option
@click.pass_context
def watch(ctx: click.Context, run_id: str, form: str) -> int:
    """Follow a run to its end. An interrupt ends only the watching; `blackstart halt RUN` halts."""
    from blackstart_controller.cli.interrupts import Interrupts
    from blackstart_controller.cli.wait import watch_to_end

    with connect(ctx) as client, Interrupts() as interrupts:
        return watch_to_end(client, run_id, interrupts, form)


run.add_command(approve)
run.add_command(deny)
