"""`blackstart host list|show`."""

from __future__ import annotations

from typing import Any

import click

from blackstart_controller.cli.output import columns, labels_text, output_option, write, write_json
from blackstart_controller.cli.session import connect


@click.group()
def host() -> None:
    """Hosts that joined: every one runs an agent."""


@host.command("list")
@output_option
@click.pass_context
def list_hosts(ctx: click.Context, form: str) -> None:
    """List every host with its site, its labels and whether its agent is connected."""
    with connect(ctx) as client:
        hosts = rows_of(client.get("v1", "hosts"), "hosts")
    if form == "json":
        write_json(hosts)
        return
    write(
        columns(
            ("HOST", "SITE", "STATE", "FAULTS", "LABELS", "ADDRESSES"),
            [
                (
                    found["name"],
                    found.get("site"),
                    "connected" if found.get("connected") else "lost",
                    found.get("open_faults", 0),
                    labels_text(found.get("labels", {})),
                    ",".join(found.get("addresses", ())),
                )
                for found in hosts
            ],
        )
    )


@host.command("show")
@click.argument("name")
@output_option
@click.pass_context
def show_host(ctx: click.Context, name: str, form: str) -> None:
    """Show one host: what its agent can do, what it cannot and why, and its open faults."""
    with connect(ctx) as client:
        found: dict[str, Any] = client.get("v1", "hosts", name)
    if form == "json":
        write_json(found)
        return
    write("\n".join(_lines(found)))


def rows_of(document: Any, key: str) -> list[dict[str, Any]]:
    """The list in `document`, whether bare or under `key`."""
    rows: list[dict[str, Any]] = document[key] if isinstance(document, dict) else document
    return rows


def _lines(found: dict[str, Any]) -> list[str]:
    fields = [
        ("host", found["name"]),
        ("site", found.get("site") or "-"),
        ("state", "connected" if found.get("connected") else "lost"),
        ("labels", labels_text(found.get("labels", {})) or "-"),
        ("addresses", ", ".join(found.get("addresses", ())) or "-"),
        ("faults", ", ".join(found.get("fault_kinds", ())) or "none"),
        ("probes", ", ".join(found.get("probe_kinds", ())) or "none"),
        ("open faults", found.get("open_faults", 0)),
        *((f"no {kind}", why) for kind, why in sorted(found.get("unsupported", {}).items())),
    ]
    width = max(len(name) for name, _ in fields)
    return [f"{name.ljust(width)}  {value}" for name, value in fields]
