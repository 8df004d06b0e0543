"""Run a command inside a host: `python -m blackstart_lab.enter PID TICKS DIRECTORY ROOTLESS COMMAND...`.

A process of its own, because only a process with a single thread may join a user or mount namespace.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from blackstart_lab import syscalls
from blackstart_lab.process import Process
from blackstart_lab.units import base_environment

NOT_FOUND: Final = 127
CANNOT_RUN: Final = 126
HOST_IS_DARK: Final = 125
_PR_SET_PDEATHSIG: Final = 1
_KEPT: Final = ("TERM", "COLUMNS", "LINES", "NO_COLOR")


def enter_command(
    process: Process, argv: Sequence[str], *, rootless: bool, directory: str = "/"
) -> list[str]:
    """The argv of a process that runs `argv` inside the host and ends with its exit status."""
    where = [str(process.pid), str(process.start_ticks), directory, "1" if rootless else "0"]
    return [sys.executable, "-m", "blackstart_lab.enter", *where, *argv]


def main(arguments: Sequence[str]) -> int:
    pid, start_ticks, directory, rootless, *argv = arguments
    host = Process(int(pid), int(start_ticks))
    try:
        pidfd = os.pidfd_open(host.pid)
        if not host.alive():
            raise ProcessLookupError
        flags = syscalls.HOST_NAMESPACES | (syscalls.NEW_USER if rootless == "1" else 0)
        syscalls.enter(pidfd, flags)
    except ProcessLookupError:
        return _say("the host is dark: its first process is gone", HOST_IS_DARK)
    except OSError as error:
        return _say(f"the host cannot be entered: {error}", HOST_IS_DARK)
    child = os.fork()
    if child == 0:
        _become(argv, directory)
    return _wait(child)


def _wait(child: int) -> int:
    """Pass on what asks us to end, and end as the command did."""
    _when_parent_dies(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGQUIT):  # a terminal sends these to the command as well
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(argv: Sequence[str], directory: str) -> None:
    _when_parent_dies(signal.SIGTERM)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(directory)
    except OSError:  # the caller's directory is private to the machine; the host's root is always there
        os.chdir("/")
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment = {**base_environment(), **kept}
    try:
        os.execvpe(argv[0], list(argv), environment)  # noqa: S606
    except FileNotFoundError:
        os._exit(_say(f"{argv[0]}: not found in the host", NOT_FOUND))
    except OSError as error:
        os._exit(_say(f"{argv[0]}: {error.strerror}", CANNOT_RUN))


def _when_parent_dies(number: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"blackstart lab: {text}\n")
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
