"""Pure: the scripts by which runit keeps a unit. Every value is quoted: nothing in it is a command."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # every `exec` loads this module: it must not load the document's models
    from blackstart_lab.layout import PlacedUnit

SERVICES: Final = "/run/service"
LOGS: Final = "/var/log"
WAIT_TENTHS: Final = 100  # a unit that must come first and does not start holds others up for so long
PYTHON: Final = sys.executable
_MODULES: Final = os.environ.get("PYTHONPATH")
OUR_PYTHON: Final = ("env", f"PYTHONPATH={_MODULES}", PYTHON) if _MODULES else (PYTHON,)
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATH: Final = (
    f"{SYSTEM_PATH}:{Path(PYTHON).parent}"  # last, so that `blackstart` is found and `python3` is Debian's
)

INIT: Final = f"""\
while :; do
  runsvdir -P {SERVICES} </dev/null >>{LOGS}/runsvdir.log 2>&1
  sleep 0.2
done
"""
"""The host's process 1: dash reaps orphans at once. Killing it is losing power."""

_WAIT: Final = """\
wait_for() {
  tenths=0
  until [ -e "$1/done" ] ||
    { [ -s "$1/started" ] && [ "$(cat "$1/started")" = "$(cat "$1/supervise/pid")" ]; }; do
    [ $((tenths += 1)) -le LIMIT ] || { echo "lab: ${1##*/} did not start; not waiting any longer"; return; }
    sleep 0.1
  done
}
""".replace("LIMIT", str(WAIT_TENTHS))


@dataclass(frozen=True, slots=True)
class Account:
    """Who a unit runs as."""

    uid: int
    gid: int
    home: str


def run_script(unit: PlacedUnit, account: Account | None) -> str:
    """A script that becomes the unit's command, after its predecessors, as `account` (None: as root)."""
    lines = [
        "#!/bin/sh",
        f"exec >>{LOGS}/{unit.name}.log 2>&1",
        "rm -f done started",
        *([_WAIT] if unit.after else []),
        *(f"wait_for {SERVICES}/{name}" for name in unit.after),
        f"echo $$ >{SERVICES}/{unit.name}/started",
        f"cd {shlex.quote(unit.directory)} || exit 126",
        shlex.join(["exec", "env", *_environment(unit, account), *_drop(account), *unit.command]),
    ]
    return "\n".join(lines) + "\n"


def finish_script(unit: PlacedUnit) -> str:
    """A script that notes how the unit ended, and keeps one that is done from starting again."""
    lines = [
        "#!/bin/sh",
        f"cd {SERVICES}/{unit.name} || exit 0",
        'echo "$1 $2" >>exits',
        f'echo "lab: {unit.name} ended, exit status $1 (signal and status word $2)" >>{LOGS}/{unit.name}.log',
    ]
    if unit.once:
        lines.append('if [ "$1" = 0 ]; then : >done; printf d >supervise/control; fi')
    if unit.finish:
        lines.append(
            f"{shlex.join(['env', *_environment(unit, None), *unit.finish])} >>{LOGS}/{unit.name}.log 2>&1"
        )
    return "\n".join([*lines, "exit 0"]) + "\n"


def base_environment(home: str = "/root") -> Mapping[str, str]:
    """What every command in a host starts with; nothing of the caller's environment comes in."""
    return {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8", "USER": "root" if home == "/root" else ""}


def _environment(unit: PlacedUnit, account: Account | None) -> list[str]:
    settings = {
        **base_environment(account.home if account else "/root"),
        **(unit.environment or {}),
        "BLACKSTART_UNIT": unit.name,
    }
    return ["-i", *(f"{key}={value}" for key, value in settings.items() if value or key != "USER")]


def _drop(account: Account | None) -> list[str]:
    if account is None:
        return []
    return ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups", "--"]
