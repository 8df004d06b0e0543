"""`blackstart calendar …`: when no schedule may run."""

from __future__ import annotations

from pathlib import Path

import click

from blackstart_controller.cli.documents import FILE
from blackstart_controller.cli.output import columns, output_option, progress, write, write_json
from blackstart_controller.cli.session import connect


@click.group()
def calendar() -> None:
    """Blackout calendars: schedules with `--not CALENDAR` skip what falls into their events."""


@calendar.command("import")
@click.argument("name")
@click.argument("file", type=FILE)
@click.pass_context
def import_file(ctx: click.Context, name: str, file: Path) -> None:
    """Import an iCalendar FILE as calendar NAME. An older one of this name is replaced."""
    from blackstart_controller.spec.load import read_text

    text = read_text(file)
    with connect(ctx) as client:
        made = client.post("v1", "calendars", body={"name": name, "text": text})
    progress(f"{name}: {made['events']} event{'s' * (made['events'] != 1)}")


@calendar.command("list")
@output_option
@click.pass_context
def list_calendars(ctx: click.Context, form: str) -> None:
    """List the blackout calendars."""
    with connect(ctx) as client:
        found = client.get("v1", "calendars")["calendars"]
    if form == "json":
        write_json(found)
        return
    keys = ("name", "imported", "imported_by")
    write(columns(("CALENDAR", "IMPORTED", "BY"), [[one[key] for key in keys] for one in found]))


@calendar.command()
@click.argument("name")
@output_option
@click.pass_context
def show(ctx: click.Context, name: str, form: str) -> None:
    """Print a calendar as it was imported."""
    with connect(ctx) as client:
        found = client.get("v1", "calendars", name)
    if form == "json":
        write_json(found)
        return
    write(found["text"].rstrip())


@calendar.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove a calendar that no schedule uses."""
    with connect(ctx) as client:
        client.post("v1", "calendars", name, "remove", body={})
    progress(f"{name} is removed")
