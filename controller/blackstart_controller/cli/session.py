"""What every command that talks to a controller starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from blackstart_controller.cli.client import Client


def connect(ctx: click.Context) -> Client:
    """A client of the controller that --context, the environment or this user's file names."""
    from blackstart_controller.cli.client import Client
    from blackstart_controller.cli.context import find

    return Client(find(ctx.find_root().obj))
