"""`blackstart report RUN`."""

from __future__ import annotations

from pathlib import Path

import click

from blackstart_controller.cli.output import progress, write
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import UsageError


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-o",
    "--output-format",
    "form",
    type=click.Choice(["md", "html", "json"]),
    default="md",
    show_default=True,
)
@click.option(
    "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
)
@click.pass_context
def report(ctx: click.Context, run_id: str, form: str, target: Path | None) -> None:
    """Print the report of a run, or write it to a file."""
    with connect(ctx) as client:
        text = client.text("v1", "runs", run_id, f"report.{form}")
    put(text, target)


def put(text: str, target: Path | None) -> None:
    """The report is on standard output, or in the file `target`."""
    if target is None:
        write(text.rstrip("\n"))
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"report: {target} cannot be written: {error.strerror}") from error
    progress(f"{target} written")
