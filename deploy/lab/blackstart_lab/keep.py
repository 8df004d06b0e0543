"""`python -m blackstart_lab.keep FILE`: the lab is up while standard input is open, and gone afterwards.

One line of JSON on standard output says where its controller is, or why there is no lab.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blackstart_controller.errors import BlackstartError

from blackstart_lab import api
from blackstart_lab.blackstart import STATE
from blackstart_lab.errors import CannotRun, LabError
from blackstart_lab.load import load_lab_file
from blackstart_lab.process import Process
from blackstart_lab.state import LabState, StateDirectory

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(arguments: Sequence[str]) -> int:
    """Keep the lab of FILE until nobody holds the other end of standard input."""
    for number in SIGNALS:  # a job's group is told to end together: the lab outlasts the run that is in it
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs started here would inherit
    closed = threading.Event()
    threading.Thread(target=_watch, args=(closed,), daemon=True).start()

    def still_wanted(text: str) -> None:
        _say(text)
        if closed.is_set():
            raise LabError("nobody waits for the lab any more")  # `up` leaves nothing of a failed start

    try:
        path = Path(arguments[0])
        _take_down_orphan(load_lab_file(path).lab)
        _keep(api.up(path, progress=still_wanted), closed)
    except BlackstartError as error:
        _tell({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    return 0


def _keep(state: LabState, closed: threading.Event) -> None:
    try:
        StateDirectory.of(state.name).write_keeper(Process.of(os.getpid()))
        _tell(_described(state))
        closed.wait()
    finally:
        api.down(state.name)
        _say("the lab is down")


def _watch(closed: threading.Event) -> None:
    """`closed` is set when standard input has ended."""
    with os.fdopen(os.dup(0), "rb", buffering=0) as source:
        while source.read(4096):
            pass
    closed.set()


def _take_down_orphan(name: str) -> None:
    """A lab whose keeper was killed belongs to nobody; any other lab of this name is left alone."""
    keeper = StateDirectory.of(name).keeper()
    if keeper is not None and not keeper.alive():
        _say(f"lab {name} was left behind by a gate that was killed; taking it down first")
        api.down(name)


def _described(state: LabState) -> dict[str, Any]:
    control = next((host for host in state.hosts.values() if host.controller), None)
    if control is None:
        raise CannotRun(f"{state.file}: no host of this lab runs a controller; give one `controller: true`")
    host = {"pid": control.pid, "start_ticks": control.start_ticks}
    context = f"/proc/{control.pid}/root{STATE}/admin.json"
    return {"context": context, "host": host, "rootless": state.rootless}


def _tell(words: dict[str, Any]) -> None:
    try:
        print(json.dumps(words), flush=True)  # noqa: T201
    except BrokenPipeError:  # the gate is gone; its standard input says so as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
