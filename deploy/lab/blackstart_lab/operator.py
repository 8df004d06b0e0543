"""Run beside the controller: `python -m blackstart_lab.operator tokens|connected ADMIN_JSON HOST...`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.context import load
from blackstart_controller.errors import BlackstartError

PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.1
_TOKEN_TTL_S: Final = 600


def tokens(client: Client, hosts: Sequence[str]) -> dict[str, str]:
    """A join token for each host, usable by that host only."""
    bodies = {host: {"host": host, "ttl_s": _TOKEN_TTL_S} for host in hosts}
    return {host: str(client.post("v1", "tokens", body=body)["token"]) for host, body in bodies.items()}


def connected(client: Client, hosts: Sequence[str]) -> dict[str, str]:
    """Return when the controller has a living stream to every host; fail with the names of the others."""
    deadline = time.monotonic() + PATIENCE_S
    while missing := sorted(set(hosts) - _online(client.get("v1", "hosts"))):
        if time.monotonic() >= deadline:
            raise BlackstartError(
                f"agents that have not connected in {PATIENCE_S:.0f} s: {', '.join(missing)}"
            )
        time.sleep(_POLL_S)
    return {}


def _online(answer: Any) -> set[str]:
    hosts = answer["hosts"] if isinstance(answer, dict) else answer
    return {host["name"] for host in hosts if host.get("connected") or host.get("state") == "connected"}


def main(arguments: Sequence[str]) -> int:
    verb, context, *hosts = arguments
    action = {"tokens": tokens, "connected": connected}[verb]
    try:
        with Client(load(_written(Path(context)))) as client:
            json.dump(action(client, hosts), sys.stdout)
    except BlackstartError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _written(path: Path) -> Path:
    """The controller opens its ports and writes its context in either order."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
