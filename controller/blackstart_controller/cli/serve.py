"""`blackstart serve`: the controller, if its libraries are installed."""

from __future__ import annotations

from pathlib import Path

import click

from blackstart_controller.errors import UsageError


def address(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int]:
    """HOST:PORT, with brackets around an IPv6 address; port 0 lets the system choose."""
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value} must be HOST:PORT, such as 0.0.0.0:8470 or [::]:8470")
    return host.strip("[]"), int(port)


@click.command()
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default="/var/lib/blackstart",
    show_default=True,
    help="Everything the controller keeps.",
)
@click.option(
    "--listen",
    callback=address,
    default="0.0.0.0:8470",
    show_default=True,
    help="Where the operators' HTTPS API listens; agents enrol here too.",
)
@click.option(
    "--agents-listen",
    callback=address,
    default="0.0.0.0:8471",
    show_default=True,
    help="Where agents connect.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    envvar="BLACKSTART_NAMES",
    help="A name or address that this controller is reached by; may be repeated (or BLACKSTART_NAMES).",
)
@click.option(
    "--allow-url",
    "allowed_origins",
    metavar="ORIGIN",
    multiple=True,
    envvar="BLACKSTART_ALLOW_URLS",
    help="An origin, such as https://prometheus:9090, that stop conditions, checks and webhooks may use; "
    "may be repeated (or BLACKSTART_ALLOW_URLS). Without it the controller speaks to nobody outside.",
)
@click.option(
    "--outside-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM certificates to trust there, as well as the system's.",
)
def serve(
    state: Path,
    listen: tuple[str, int],
    agents_listen: tuple[str, int],
    names: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    outside_ca: Path | None,
) -> int:
    """Run the controller until it is told to stop.

    STATE/admin.json, which only this user can read, is the context for commands on this host.
    """
    try:
        from blackstart_controller.api.serve import serve as serve_forever
        from blackstart_controller.outside.http import HttpOutside
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blackstart"):
            raise
        raise UsageError(
            f"serve: the controller is not installed here (no module {error.name}); "
            "run: pip install 'blackstart[controller]'"
        ) from error
    outside = HttpOutside(allowed_origins, ca_file=outside_ca)
    return serve_forever(state, listen=listen, agents_listen=agents_listen, names=names, outside=outside) or 0
