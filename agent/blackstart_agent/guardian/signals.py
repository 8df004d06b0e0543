"""Signals as something to read, so that the main loop handles them between two turns."""

from __future__ import annotations

import signal
import socket
from types import FrameType

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD)
STOPS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """`stops` counts how often the process was asked to stop. Made on the main thread."""

    def __init__(self) -> None:
        self.socket, self._written = socket.socketpair()
        self.stops = 0
        for end in (self.socket, self._written):
            end.setblocking(False)
        for number in HANDLED:
            signal.signal(number, _nothing)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)

    def read(self) -> list[int]:
        """The numbers of the signals that have come."""
        try:
            numbers = list(self.socket.recv(4096))
        except BlockingIOError:
            return []
        self.stops += sum(number in STOPS for number in numbers)
        return numbers


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Only so that the number is written to the socket."""
