"""`blackstart lab up|status|exec|down`: thin over the lab's own library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from blackstart_controller.cli.output import columns, output_option, progress, write, write_json
from blackstart_controller.errors import UsageError


@click.group()
def lab() -> None:
    """Hosts made of namespaces, sites made of bridges. Needs root, or user namespaces."""


@lab.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@output_option
def up(file: Path, form: str) -> None:
    """Bring the lab of FILE up: every unit ready, every agent joined. A failed start leaves nothing."""
    from blackstart_lab import api

    _show(api.up(file, progress=progress).document(), form)


@lab.command()
@click.argument("name", default="")
@output_option
def status(name: str, form: str) -> None:
    """Show the hosts and what runs on them. NAME may be left out when only one is up."""
    from blackstart_lab import api

    _show(api.status(name or None).document(), form)


@lab.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--lab", "name", default="", help="Which lab; may be left out when only one is up.")
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_in(name: str, host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND in HOST on this terminal and exit with its code: lab exec m1 -- redis-cli info"""
    from blackstart_lab import api

    words = command[1:] if command[0] == "--" else command  # click leaves it in: HOST ended its own parsing
    if not words:
        raise UsageError(f"lab exec: no command for {host}; such as: blackstart lab exec {host} -- ip addr")
    return api.exec_(name or None, host, words)


@lab.command()
@click.argument("name", default="")
def down(name: str) -> None:
    """Take the lab down: no process, namespace, mount or file of it is left."""
    from blackstart_lab import api

    progress("the lab is down" if api.down(name or None) else "there was nothing to take down")


def _show(state: Mapping[str, Any], form: str) -> None:
    if form == "json":
        write_json(state)
        return
    rows = [
        (name, found["site"], found["state"], found["agent"], found["address4"], _units(found["units"]))
        for name, found in state["hosts"].items()
    ]
    write(columns(("HOST", "SITE", "STATE", "AGENT", "ADDRESS", "UNITS"), rows))


def _units(units: Mapping[str, Any]) -> str:
    shown = [name if unit["state"] == "run" else f"{name} ({unit['state']})" for name, unit in units.items()]
    return ", ".join(shown)
