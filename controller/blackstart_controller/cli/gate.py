"""`blackstart gate FILE…`: a stage of a pipeline. One exit code, JUnit, Markdown, JSON and annotations."""

from __future__ import annotations

import re
from pathlib import Path

import click

from blackstart_controller.cli.documents import FILE, set_option
from blackstart_controller.cli.output import output_option

HELP = """Run every experiment FILE, wait, compare, and end with one exit code for a pipeline.

Files run one after the other; all documents are checked before the first begins. A failed file does not keep
the next from running; after a halt, an interrupt or a revert that is not confirmed, nothing more begins. The
exit code is the first of these that any attempt had: 5, 130, 4, 6, 7, 2, 3, 1, 0.

Where: the controller of --context, or of BLACKSTART_URL, BLACKSTART_TOKEN and BLACKSTART_CA; or one that is
made for this stage and taken away after it, with --lab or --local.
"""


def percent(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """`20%` is 0.2."""
    found = re.fullmatch(r"(\d{1,4}(?:\.\d+)?)%", value)
    if not found:
        raise click.BadParameter(f"{value} must be a percentage, such as 20%")
    return float(found[1]) / 100


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    from blackstart_controller.spec.duration import parse_duration

    try:
        return None if value is None else parse_duration(value) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(help=HELP)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@set_option
@click.option("--lab", type=FILE, help="Bring this lab up, run in it, take it down.")
@click.option("--local", is_flag=True, help="Run on this very host; needs root and --policy.")
@click.option("--policy", type=FILE, help="With --local: what may be hit on this host.")
@click.option("--junit", type=FILE, help="Write JUnit XML here.")
@click.option("--markdown", type=FILE, help="Write Markdown here, for a comment on a pull request.")
@click.option("--json", "json_file", type=FILE, help="Write everything as JSON here.")
@click.option(
    "--baseline",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="Compare with so many earlier passed runs of the same plan.",
)
@click.option(
    "--max-regression",
    "margin",
    callback=percent,
    default="20%",
    show_default=True,
    help="So much slower than the slowest of them is a regression.",
)
@click.option("--fail-on", type=click.Choice(["regression"]), help="Fail (1) on it instead of warning.")
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    help="Try again after 1, 3 or 6, to learn more; the failure still counts.",
)
@click.option(
    "--no-targets",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When no host matches: fail (6), or skip the file.",
)
@click.option("--timeout", "timeout_s", callback=duration, help="Halt a run that takes longer, such as 10m.")
@click.option("--fail-fast", is_flag=True, help="Run nothing more after the first file that did not pass.")
@output_option
@click.pass_context
def gate(
    ctx: click.Context,
    files: tuple[str, ...],
    parameters: dict[str, str],
    lab: Path | None,
    local: bool,
    policy: Path | None,
    junit: Path | None,
    markdown: Path | None,
    json_file: Path | None,
    baseline: int,
    margin: float,
    fail_on: str | None,
    retries: int,
    no_targets: str,
    timeout_s: float | None,
    fail_fast: bool,
    form: str,
) -> int:
    from blackstart_controller.cli.gate_run import Wishes
    from blackstart_controller.cli.gate_stage import Place, stage
    from blackstart_controller.cli.gate_write import Outputs

    wishes = Wishes(retries, baseline, margin, timeout_s, fail_fast, no_targets == "skip", local)
    place = Place.chosen(lab, local=local, policy=policy, context=ctx.find_root().obj)
    outputs = Outputs(junit, markdown, json_file, form)
    return stage(files, parameters, place, wishes, outputs, fail_on_regression=fail_on == "regression")
