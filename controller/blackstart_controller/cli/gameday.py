"""`blackstart gameday …`: plan a day, check it, hold it, write down what was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackstart_controller.cli.documents import FILE
from blackstart_controller.cli.output import columns, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect

if TYPE_CHECKING:
    from blackstart_controller.gameday.document import GameDayDocument

DAY = click.argument("gameday_id", metavar="ID")
ROUTE = ("v1", "gamedays")


@click.group()
def gameday() -> None:
    """Game days: people, roles, hold points, a timeline, findings."""


@gameday.command()
@click.argument("file", type=FILE)
@click.option("--replace", "replaces", metavar="ID", default="", help="A new version of this planned day.")
@output_option
@click.pass_context
def plan(ctx: click.Context, file: Path, replaces: str, form: str) -> None:
    """Plan the game day in FILE; the texts of its experiments are kept with it.

    Nothing is started. What is odd about it is told on standard error.
    """
    from blackstart_controller.gameday.document import load_gameday
    from blackstart_controller.spec.load import read_text

    text = read_text(file)
    body = {
        "document": text,
        "file": str(file),
        "experiments": _texts(file, load_gameday(text, str(file))),
        "replaces": replaces,
    }
    with connect(ctx) as client:
        made = client.post(*ROUTE, body=body)
    for warning in made["warnings"]:
        progress(f"warning: {warning}")
    if form == "json":
        write_json(made)
        return
    from blackstart_controller.cli.gameday_view import agenda_lines

    write("\n".join(agenda_lines(made["gameday"], made["plans"])))


@gameday.command("list")
@output_option
@click.pass_context
def list_days(ctx: click.Context, form: str) -> None:
    """List game days, the latest window first."""
    with connect(ctx) as client:
        days = client.get(*ROUTE)["gamedays"]
    if form == "json":
        write_json(days)
        return
    header = ("ID", "STATE", "WINDOW", "", "STARTS", "TITLE")
    rows = [
        (
            one["id"],
            one["state"],
            one["window_start"][:16],
            one["window_end"][:16],
            (one["starts_at"] or "without notice")[:16],
            one["title"],
        )
        for one in days
    ]
    write(columns(header, rows))


@gameday.command()
@DAY
@output_option
@click.pass_context
def show(ctx: click.Context, gameday_id: str, form: str) -> None:
    """Show a day: checklist, experiments, findings, timeline."""
    from blackstart_controller.cli.gameday_view import day_lines

    with connect(ctx) as client:
        found = client.get(*ROUTE, gameday_id)
    _tell(found, form, day_lines)


@gameday.command()
@DAY
@click.option(
    "--done",
    multiple=True,
    metavar="ITEM",
    help="Tick this line: its number or a part of its text. Repeatable.",
)
@output_option
@click.pass_context
def check(ctx: click.Context, gameday_id: str, done: tuple[str, ...], form: str) -> int:
    """Run the checklist: what checks itself is asked now. Exit code 7 while a line is not good."""
    from blackstart_controller.cli.gameday_view import checklist_lines

    with connect(ctx) as client:
        found = client.post(*ROUTE, gameday_id, "check", body={"done": list(done)})
    _tell(found, form, checklist_lines)
    return 0 if all(one["ok"] for one in found["checklist"]) else 7


@gameday.command()
@DAY
@click.option("--override", metavar="REASON", default="", help="Start although it is not ready; recorded.")
@output_option
@click.pass_context
def start(ctx: click.Context, gameday_id: str, override: str, form: str) -> None:
    """Start the day. Experiments with a hold point wait for `gameday go`."""
    from blackstart_controller.cli.gameday_view import agenda_lines

    with connect(ctx) as client:
        found = client.post(*ROUTE, gameday_id, "start", body={"override": override})
    _tell(found, form, agenda_lines)


@gameday.command()
@DAY
@click.option("--override", metavar="REASON", default="", help="Go on although the window has closed.")
@click.option(
    "--wait/--no-wait", default=False, help="Follow the run to its end and exit with its exit code."
)
@output_option
@click.pass_context
def go(ctx: click.Context, gameday_id: str, override: str, wait: bool, form: str) -> int:
    """Pass the hold point: start the next experiment. Prints the id of its run."""
    body = {"override": override}
    if wait:
        return _go_and_follow(ctx, gameday_id, body, form)
    with connect(ctx) as client:
        made = client.post(*ROUTE, gameday_id, "go", body=body)
    write_json(made) if form == "json" else write(made["run"])
    return 0


def _go_and_follow(ctx: click.Context, gameday_id: str, body: dict[str, str], form: str) -> int:
    """An interrupt halts the run, from the moment on at which it is asked for."""
    from blackstart_controller.cli.interrupts import Interrupts
    from blackstart_controller.cli.wait import follow_to_end

    with connect(ctx) as client, Interrupts() as interrupts:
        run_id: str = client.post(*ROUTE, gameday_id, "go", body=body)["run"]
        progress(f"run {run_id}")
        return follow_to_end(client, run_id, interrupts, form)


@gameday.command()
@DAY
@click.argument("text", nargs=-1, required=True)
@output_option
@click.pass_context
def note(ctx: click.Context, gameday_id: str, text: tuple[str, ...], form: str) -> None:
    """Write TEXT on the day's timeline, with the time and your name."""
    with connect(ctx) as client:
        told = client.post(*ROUTE, gameday_id, "notes", body={"text": " ".join(text)})
    write_json(told) if form == "json" else write(f"{told['at']} {told['author']}")


@gameday.command()
@DAY
@click.option("--text", required=True, help="What was found.")
@click.option(
    "--severity",
    required=True,
    type=click.Choice(["low", "medium", "high", "critical"]),
    help="How bad it is.",
)
@click.option("--owner", default="", help="Who does something about it.")
@click.option("--action", default="", help="What is done about it, or the ticket.")
@click.option("--retest", default="", metavar="DATE", help="When it is tested again: 2027-01-15.")
@output_option
@click.pass_context
def finding(
    ctx: click.Context,
    gameday_id: str,
    text: str,
    severity: str,
    owner: str,
    action: str,
    retest: str,
    form: str,
) -> None:
    """Write down a finding and what is done about it. Prints its number."""
    body = {"text": text, "severity": severity, "owner": owner, "action": action}
    body |= {"retest": retest} if retest else {}
    with connect(ctx) as client:
        made = client.post(*ROUTE, gameday_id, "findings", body=body)
    write_json(made) if form == "json" else write(str(made["finding"]))


@gameday.command()
@DAY
@click.argument("number", metavar="FINDING", type=click.IntRange(min=1))
@click.option("--run", "run_id", required=True, metavar="RUN", help="The run that tested it again.")
@click.pass_context
def retest(ctx: click.Context, gameday_id: str, number: int, run_id: str) -> None:
    """Link a finding to the run that tested it again."""
    with connect(ctx) as client:
        client.post(*ROUTE, gameday_id, "findings", str(number), "retests", body={"run": run_id})
    progress(f"finding {number}: tested again by run {run_id}")


@gameday.command()
@DAY
@click.argument("number", metavar="N", type=click.IntRange(min=1))
@click.argument("result", type=click.Choice(["held", "broken", "inconclusive"]))
@click.option("--text", default="", help="Why.")
@click.pass_context
def hypothesis(ctx: click.Context, gameday_id: str, number: int, result: str, text: str) -> None:
    """Judge hypothesis N. The last word counts; the earlier ones stay on the timeline."""
    with connect(ctx) as client:
        client.post(*ROUTE, gameday_id, "hypotheses", str(number), body={"result": result, "text": text})
    progress(f"hypothesis {number}: {result}")


@gameday.command()
@DAY
@click.option("--reason", required=True, help="Kept on the timeline, and in the log of the run.")
@click.pass_context
def abort(ctx: click.Context, gameday_id: str, reason: str) -> None:
    """End the day at once: the run that is under way is halted, and everything it did is reverted."""
    with connect(ctx) as client:
        found = client.post(*ROUTE, gameday_id, "abort", body={"reason": reason})
    under_way = [one["run"]["run"] for one in found["experiments"] if one["state"] == "under way"]
    write("\n".join([f"aborted {gameday_id}", *(f"halting {run_id}" for run_id in under_way)]))


@gameday.command()
@DAY
@click.pass_context
def finish(ctx: click.Context, gameday_id: str) -> None:
    """End the day. Findings and re-tests can still be written down afterwards."""
    with connect(ctx) as client:
        found = client.post(*ROUTE, gameday_id, "finish", body={})
    write(f"finished {gameday_id}")
    if found["findings_text"]:
        progress(f"{found['findings_text']} `blackstart gameday finding {gameday_id}` adds one")


@gameday.command()
@DAY
@click.option(
    "-o",
    "--output-format",
    "form",
    type=click.Choice(["md", "html", "json"]),
    default="md",
    show_default=True,
)
@click.option("--output", "target", type=FILE, help="Write to this file.")
@click.pass_context
def report(ctx: click.Context, gameday_id: str, form: str, target: Path | None) -> None:
    """Print the report of a day, or write it to a file. At any time: it says what is known by then."""
    from blackstart_controller.cli.report import put

    with connect(ctx) as client:
        text = client.text(*ROUTE, gameday_id, f"report.{form}")
    put(text, target)


@gameday.command("calendar-url")
@click.option("--with-times", is_flag=True, help="Show zero-notice moments too; for approvers.")
@output_option
@click.pass_context
def calendar_url(ctx: click.Context, with_times: bool, form: str) -> None:
    """Make a URL of the calendar feed, for a calendar program. It is shown only this once.

    Whoever has it can read the feed, and nothing else, until `gameday calendar-revoke`.
    """
    with connect(ctx) as client:
        made = client.post("v1", "feeds", body={"times": with_times})
    if form == "json":
        write_json(made)
        return
    write(made["url"])
    progress(f"{made['id']}: good until {made['expires']}")


@gameday.command()
@output_option
@click.pass_context
def calendars(ctx: click.Context, form: str) -> None:
    """List your calendar URLs, without their secrets; an admin sees everybody's."""
    with connect(ctx) as client:
        feeds = client.get("v1", "feeds")["feeds"]
    if form == "json":
        write_json(feeds)
        return
    rows = [(one["id"], one["name"], "yes" if one["times"] else "no", one["expires"]) for one in feeds]
    write(columns(("ID", "OPERATOR", "TIMES", "EXPIRES"), rows))


@gameday.command("calendar-revoke")
@click.argument("feed_id", metavar="ID")
@click.pass_context
def calendar_revoke(ctx: click.Context, feed_id: str) -> None:
    """Let a calendar URL open nothing any more."""
    with connect(ctx) as client:
        client.post("v1", "feeds", feed_id, "revoke", body={})
    progress(f"revoked {feed_id}")


@gameday.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
def validate(files: tuple[Path, ...]) -> int:
    """Check game-day documents here, without a controller; errors are FILE:LINE:COLUMN."""
    from blackstart_controller.errors import InvalidDocument
    from blackstart_controller.gameday.document import load_gameday
    from blackstart_controller.spec.load import read_text

    wrong = 0
    for path in files:
        try:
            load_gameday(read_text(path), str(path))
        except InvalidDocument as error:
            wrong += 1
            click.echo(str(error), err=True)
        else:
            write(f"{path}: valid")
    return 2 if wrong else 0


@gameday.command()
def schema() -> None:
    """Print the JSON Schema of game days, for editors."""
    from blackstart_controller.gameday.document import gameday_schema

    write_json(gameday_schema())


def _texts(file: Path, document: GameDayDocument) -> dict[str, str]:
    """The text of every file that the document names, found beside it."""
    from blackstart_controller.spec.load import read_text

    named = [one.file for one in document.experiments if one.file]
    return {name: read_text(file.parent / name) for name in named}


def _tell(found: dict[str, Any], form: str, lines: Any) -> None:
    if form == "json":
        write_json(found)
    else:
        write("\n".join(lines(found)))
