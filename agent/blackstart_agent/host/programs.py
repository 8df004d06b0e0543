"""Other programs, started by argument list with a time limit; never through a shell, never at T0."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from blackstart_agent.errors import HostError, Unsupported

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {
    "ip": "iproute2",
    "ss": "iproute2",
    "iptables-legacy": "iptables",
    "ip6tables-legacy": "iptables",
    "systemctl": "systemd",
    "sv": "runit",
}


def find(name: str) -> str:
    """The program's absolute path. Raises Unsupported with the package that brings it."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise Unsupported(f"{name}: not found in {PATH}; install the package {_PACKAGES.get(name, name)}")
    return path


def run(name: str, words: Sequence[str], *, timeout_s: float) -> str:
    """What the program prints. Raises HostError with its own words when it fails or does not end in time."""
    command = (find(name), *words)
    told = f"{name} {' '.join(words)}"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", **_kept()},
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{told}: no answer in {timeout_s} s; whether it happened is unknown") from error
    if done.returncode != 0:
        words_of = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise HostError(f"{told}: {words_of}")
    return done.stdout.decode(errors="replace")


def _kept() -> dict[str, str]:
    """Where a user's own service manager listens; nothing else of our environment is passed on."""
    names = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    return {name: os.environ[name] for name in names if name in os.environ}
