"""Where a gate runs: against a controller, or in a place that a keeper makes for it and takes away after it.

The keeper is a process of its own session. It ends, and with it the place, when its standard input closes:
when the gate is done, and also when the gate is killed, whatever the signal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.context import load
from blackstart_controller.cli.interrupts import Interrupted, Interrupts
from blackstart_controller.cli.output import progress
from blackstart_controller.errors import BlackstartError

AWAY_S = 90.0  # a place with a dozen hosts is gone within seconds
UNCONFIRMED = 5


class PlaceFailed(BlackstartError):
    """The place did not come up, or did not go away as it should. The exit code is the keeper's."""

    code = "place"

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]


@contextmanager
def kept(words: Sequence[str], interrupts: Interrupts) -> Iterator[Client]:
    """A client of the controller in the place that `python -m WORDS` keeps; the place is gone afterwards."""
    argv = [sys.executable, "-m", *words]
    pipe = subprocess.PIPE
    keeper = subprocess.Popen(argv, stdin=pipe, stdout=pipe, start_new_session=True, text=True)
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        told = _told(keeper.stdout, interrupts)
        _enter(told)
        with Client(load(Path(told["context"]))) as client:
            yield client
    finally:
        keeper.stdin.close()
        _away(keeper)
        keeper.stdout.close()


def _told(stdout: IO[str], interrupts: Interrupts) -> dict[str, Any]:
    """What the keeper says of the place; PlaceFailed with its words when there is none."""
    try:
        with interrupts.allowed():
            line = stdout.readline()
    except Interrupted as signal:
        raise PlaceFailed(f"interrupted by {signal.name} before anything was run", 130) from signal
    if not line:
        raise PlaceFailed("the keeper of the place ended without a word; see above", 6)
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise PlaceFailed(str(told["error"]), int(told["exit_code"]))
    return told


def _enter(told: dict[str, Any]) -> None:
    """This process stands in the network of the place's controller; files stay the machine's."""
    if "host" not in told:
        return
    from blackstart_lab import syscalls
    from blackstart_lab.process import Process

    host = Process(**told["host"])
    pidfd = os.pidfd_open(host.pid)
    try:
        if not host.alive():
            raise PlaceFailed("the lab's controller has gone", 6)
        flags = syscalls.NEW_NET | (syscalls.NEW_USER if told["rootless"] else 0)
        syscalls.enter(pidfd, flags)
    finally:
        os.close(pidfd)


def _away(keeper: subprocess.Popen[str]) -> None:
    try:
        code = keeper.wait(AWAY_S)
    except subprocess.TimeoutExpired:
        progress(
            f"gate: the keeper (process {keeper.pid}) still takes the place away; not waiting any longer"
        )
        return
    if code == UNCONFIRMED:
        raise PlaceFailed("the place was taken away, but a revert on this host is not confirmed", code)
