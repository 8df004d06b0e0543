"""`blackstart plan FILE|NAME`: what a run would hit, from the agents themselves. Nothing is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from blackstart_controller.cli.documents import body_of, read_checked, set_option
from blackstart_controller.cli.output import harmless, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import NoTargets, Refused


@click.command()
@click.argument("source", metavar="FILE|NAME")
@set_option
@click.option("--rules", is_flag=True, help="Show the rules that each host's kernel would get, too.")
@output_option
@click.pass_context
def plan(ctx: click.Context, /, source: str, parameters: dict[str, str], rules: bool, form: str) -> int:
    """Show which host would get which order, what exactly it would hit, and what speaks against it.

    Of the experiment in FILE, or the one called NAME of the library (`blackstart experiment list`).
    Exit code 7 when a rule or a host refuses the run, 6 when no target matches.
    """
    document = read_checked(source, parameters)
    with connect(ctx) as client:
        made: dict[str, Any] = client.post("v1", "plans", body=body_of(document))
    if form == "json":
        write_json(made)
    else:
        write("\n".join([*plan_lines(made), *(rules_lines(made) if rules else ())]))
    return verdict(made)


def verdict(made: Mapping[str, Any]) -> int:
    """0 when the run could start, else the exit code that says why not."""
    reasons = [finding for finding in made["plan"]["findings"] if finding["level"] == "error"]
    reasons += [text for answer in made["answers"] for text in answer["refusals"]]
    if not made["plan"]["orders"]:
        progress("blackstart: no target matches; `blackstart host list` shows the hosts and their labels")
        return NoTargets.exit_code
    if reasons:
        progress(f"blackstart: a run would be refused, for {len(reasons)} reason{'s' * (len(reasons) > 1)}")
        return Refused.exit_code
    return 0


def plan_lines(made: Mapping[str, Any]) -> list[str]:
    """The plan for a person: in words, by order, what every agent would hit, and the findings."""
    from blackstart_controller.plan.codec import plan_from_dict
    from blackstart_controller.plan.explain import (
        explain,
        finding_lines,
        halting_lines,
        order_lines,
        service_lines,
    )

    found = plan_from_dict(made["plan"])
    answers = [line for answer in made["answers"] for line in answer_lines(answer)]
    parts = [
        [explain(found)],
        order_lines(found),
        service_lines(found),
        halting_lines(found),
        answers,
        finding_lines(found),
        [f"plan {made['hash']}"],
    ]
    return [line for part in parts if part for line in (*part, "")][:-1]


def rules_lines(made: Mapping[str, Any]) -> list[str]:
    """The rules of each order, under its host's name: what nft would be given, before anything is open."""
    lines: list[str] = []
    for answer in made["answers"]:
        if text := answer.get("rules"):
            lines += ["", f"{answer['host']}: rules", *(f"  {harmless(line)}" for line in text.splitlines())]
    return lines


def answer_lines(answer: Mapping[str, Any]) -> list[str]:
    """What one agent said of one order: each thing it would hit, or each reason why it refuses."""
    host = answer["host"]
    hits = [f"{host}: would hit {' '.join(filter(None, _words(hit)))}" for hit in answer["hits"]]
    refusals = [f"{host}: refuses: {text}" for text in answer["refusals"]]
    return (
        hits + refusals + [f"{host}: by hand, if all else fails: {text}" for text in answer.get("undo", ())]
    )


def _words(hit: Mapping[str, Any]) -> tuple[str, str, str]:
    effect = f"({hit['effect']})" if hit.get("effect") else ""
    return str(hit.get("what", "")), str(hit.get("target", "")), effect
