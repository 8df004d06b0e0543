"""A process that cannot be mistaken for a later one with the same pid."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """`start_ticks`: clock ticks from boot to the start of the process."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has `pid` now; OSError when there is none."""
        return cls(pid, _stat(pid)[1])

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            state, start_ticks = _stat(self.pid)
        except OSError:
            return False
        return start_ticks == self.start_ticks and state not in "ZX"

    def kill(self, *, wait_s: float) -> bool:
        """SIGKILL it; True when it is gone, False when it was not within `wait_s`."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():
                return True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            ends = select.poll()  # select() knows no descriptor above 1023
            ends.register(pidfd, select.POLLIN)
            return bool(ends.poll(wait_s * 1000))
        finally:
            os.close(pidfd)


def _stat(pid: int) -> tuple[str, int]:
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
