"""Run inside a host with one JSON object as input: enrol its agent and let its unit start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from blackstart_agent.errors import AgentError
from blackstart_agent.link.enrol import HostSettings, enrol


def main() -> int:
    wanted = json.load(sys.stdin)
    settings = HostSettings(
        name=wanted["name"],
        site=wanted["site"],
        labels=wanted["labels"],
        policy=Path(wanted["policy"]),
        supervisor=wanted["supervisor"],
        link_user=wanted["link_user"],
    )
    try:
        enrol(wanted["token"], wanted["controller"], Path(wanted["config"]), settings)
    except AgentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    unit = Path(wanted["unit"])
    (unit / "down").unlink(missing_ok=True)
    return subprocess.run(["/usr/bin/sv", "up", str(unit)], stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
