"""`blackstart schedule …`: runs that start by themselves."""

from __future__ import annotations

from typing import Any

import click

from blackstart_controller.cli.documents import body_of, found, set_option
from blackstart_controller.cli.output import columns, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect
from blackstart_controller.errors import UsageError


@click.group()
def schedule() -> None:
    """Schedules: when experiments run by themselves, and when not. Disarmed until armed."""


@schedule.command()
@click.argument("source", metavar="FILE|NAME")
@click.option("--name", required=True, help="Of a-z, 0-9 and -.")
@click.option("--cron", help="Five fields: minute hour day month weekday; such as '0 9 * * mon-fri'.")
@click.option("--at", help="Once, at a local time of the zone: 2026-12-01T10:00.")
@click.option(
    "--random", is_flag=True, help="At random moments within the windows; needs --mean and --min-gap."
)
@click.option("--mean", help="Of the gaps between random moments, such as 2d.")
@click.option("--min-gap", help="Between random moments, such as 1d.")
@click.option("--zone", required=True, help="Time zone, such as Asia/Seoul.")
@click.option("--window", "windows", multiple=True, help="Only then: 'mon-fri 10:00-16:00'. Repeatable.")
@click.option(
    "--not", "calendars", multiple=True, metavar="CALENDAR", help="Never during its events. Repeatable."
)
@click.option("--holidays", multiple=True, help="Never on public holidays: KR, DE-BY. Repeatable.")
@click.option("--jitter", help="Begin up to so much later, such as 5m.")
@click.option("--missed", help="skip (default), or within:2h: run it so late at most.")
@click.option("--overlap", help="skip (default), or wait:10m for the earlier run to end.")
@set_option
@output_option
@click.pass_context
def add(ctx: click.Context, /, source: str, name: str, random: bool, form: str, **options: Any) -> None:
    """Add a schedule of the experiment in FILE, or of the library's NAME.

    Its text is kept: no file is read again. It runs nothing until `blackstart schedule arm NAME`; armed by
    another person than its maker it counts as agreed to by a second person.
    """
    if random != bool(options["mean"] and options["min_gap"]):
        raise UsageError("--random needs --mean and --min-gap, and they need --random")
    document = found(source, options.pop("parameters"))
    words = {
        key: list(value) if isinstance(value, tuple) else value for key, value in options.items() if value
    }
    body = {"name": name} | body_of(document)
    with connect(ctx) as client:
        made = client.post("v1", "schedules", body=body | {"words": words})
    for warning in made["warnings"]:
        progress(f"blackstart: warning: as things are now it could not run: {warning}")
    if form == "json":
        write_json(made)
        return
    write("\n".join(_next_lines([made["schedule"]["next"]])))
    progress(f"{name} is disarmed and runs nothing; `blackstart schedule arm {name}` arms it")


@schedule.command("list")
@output_option
@click.pass_context
def list_schedules(ctx: click.Context, form: str) -> None:
    """List every schedule with what comes next and what became of the last due time."""
    with connect(ctx) as client:
        found = client.get("v1", "schedules")["schedules"]
    if form == "json":
        write_json(found)
        return
    header = ("SCHEDULE", "STATE", "WHEN", "ZONE", "NEXT", "LAST")
    rows = [
        (
            one["name"],
            one["state"],
            one["when"],
            one["zone"],
            _next_text(one["next"]),
            _last_text(one["last"]),
        )
        for one in found
    ]
    write(columns(header, rows))


@schedule.command()
@click.argument("name")
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, form: str) -> None:
    """Show one schedule, and what became of its last due times."""
    with connect(ctx) as client:
        found = client.get("v1", "schedules", name)
    if form == "json":
        write_json(found)
        return
    keys = ("name", "state", "when", "zone", "file", "created_by", "armed_by", "approved_by", "plan_hash")
    shown = [(key, found[key]) for key in (*keys, "stands_still") if found[key]]
    lines = [f"{key.replace('_', ' '):<12}  {value}" for key, value in shown]
    lines += [
        f"{key:<12}  {', '.join(value) if isinstance(value, list) else value}"
        for key, value in found["words"].items()
        if key not in ("cron", "at", "mean", "min_gap", "zone")
    ]
    lines += [f"{'parameter':<12}  {key}={value}" for key, value in found["parameters"].items()]
    write("\n".join(lines))
    header = ("DUE", "OUTCOME", "RUN", "REASON")
    if found["outcomes"]:
        write("\n" + columns(header, [_outcome_row(one) for one in found["outcomes"]]))


@schedule.command("next")
@click.argument("name")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1, 100), help="How many.")
@output_option
@click.pass_context
def following(ctx: click.Context, name: str, count: int, form: str) -> None:
    """Show the next due times in local time and UTC, and which of them would be skipped and why."""
    with connect(ctx) as client:
        found = client.get("v1", "schedules", name, "next", query={"n": str(count)})
    if form == "json":
        write_json(found)
        return
    if found["stands_still"]:
        progress(f"blackstart: {name} is {found['state']} and runs none of these: {found['stands_still']}")
    if not found["next"]:
        progress(f"blackstart: {name}: nothing is due any more")
    write("\n".join(_next_lines(found["next"])))


@schedule.command()
@click.argument("name")
@click.option(
    "--plan", "plan_hash", metavar="HASH", help="Run only this plan, as `blackstart plan` showed it."
)
@click.pass_context
def arm(ctx: click.Context, name: str, plan_hash: str | None) -> None:
    """Let a schedule start runs. By an approver who is not its maker, this is the second person's word.

    A protected environment wants --plan: whenever the plan made then is another one, the due time is skipped.
    """
    found = _change(ctx, name, "arm", {"plan_hash": plan_hash} if plan_hash else None)
    second = "as the second person" if found["approved_by"] else "which is no second person's word"
    who = f"{found['armed_by']}, {second}"
    progress(f"{name} is {found['state']}, armed by {who}; next: {_next_text(found['next'])}")


@schedule.command()
@click.argument("name")
@click.pass_context
def disarm(ctx: click.Context, name: str) -> None:
    """Let a schedule start nothing until it is armed again. Runs under way go on."""
    progress(f"{name} is {_change(ctx, name, 'disarm')['state']}")


@schedule.command()
@click.argument("name")
@click.option("--reason", default="", help="Shown with each due time that is skipped.")
@click.pass_context
def pause(ctx: click.Context, name: str, reason: str) -> None:
    """Skip every due time until resumed. Runs under way go on."""
    progress(f"{name} is {_change(ctx, name, 'pause', {'reason': reason})['state']}")


@schedule.command()
@click.argument("name")
@click.pass_context
def resume(ctx: click.Context, name: str) -> None:
    """End a pause. What was skipped is not made up for."""
    found = _change(ctx, name, "resume")
    progress(f"{name} is {found['state']}; next: {_next_text(found['next'])}")


@schedule.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove a schedule. Runs under way go on, and what it did stays in the database."""
    _change(ctx, name, "remove")
    progress(f"{name} is removed")


def _change(ctx: click.Context, name: str, verb: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    with connect(ctx) as client:
        found: dict[str, Any] = client.post("v1", "schedules", name, verb, body=body or {})
    return found


def _next_lines(coming: list[dict[str, Any]]) -> list[str]:
    """One line a due time; why it would be skipped stands in front, where nobody overlooks it."""
    lines = []
    for one in coming:
        note = f"  ({one['note']})" if one["note"] and one["note"] != one["skip"] else ""
        skip = f"SKIP  {one['skip']}" if one["skip"] else "run"
        lines.append(f"{one['starts_local']}  {one['starts']}  {skip}{note}")
    return lines


def _next_text(coming: dict[str, Any] | None) -> str:
    if coming is None:
        return "never"
    return f"{coming['starts_local'][:20]}" + (" (SKIP)" if coming["skip"] else "")


def _last_text(last: dict[str, Any] | None) -> str:
    if last is None:
        return ""
    return (
        f"run {last['run']}" if last["run"] else f"{last['state']} {last['reason'].partition(':')[0]}".strip()
    )


def _outcome_row(one: dict[str, Any]) -> tuple[str, ...]:
    many = f" × {one['count']}" if one["count"] > 1 else ""
    return one["due_local"], one["state"] + many, one["run"] or "", one["reason"] or one["note"]
