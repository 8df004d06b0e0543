"""One child process that is kept alive: started again with full-jitter back-off, killed when it is frozen."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

S = 1_000_000_000
BACKOFF_FIRST_NS = S // 10
BACKOFF_MOST_NS = 5 * S
STEADY_NS = 10 * S
BUFFER_BYTES = 1 << 20


@dataclass(slots=True)
class Child:
    """`argv` gets its end of the socketpair. `frozen_limit_ns`: how long it may stay stopped."""

    name: str
    argv: Callable[[int], Sequence[str]]
    frozen_limit_ns: int
    identity: Mapping[str, object] = field(default_factory=dict)  # user, group, extra_groups of Popen
    new_session: bool = False
    process: subprocess.Popen[bytes] | None = None
    socket: socket.socket | None = None
    pidfd: int = -1
    restart_ns: int = 0
    _started_ns: int = 0
    _frozen_ns: int = 0
    _failures: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def start(self, now_ns: int) -> None:
        """It runs; OSError when it cannot be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            self.process = subprocess.Popen(
                self.argv(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=self.new_session,
                cwd="/",
                **self.identity,  # type: ignore[call-overload]
            )
            self.pidfd = os.pidfd_open(self.process.pid)
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            ours.close()
            self.kill()
            raise
        finally:
            theirs.close()
        self.socket, self._started_ns, self._frozen_ns, self.restart_ns = ours, now_ns, 0, 0

    def forget(self, now_ns: int) -> None:
        """It has ended, or never began; `restart_ns` says when to start it again."""
        if now_ns - self._started_ns > STEADY_NS:
            self._failures = 0
        most = min(BACKOFF_MOST_NS, BACKOFF_FIRST_NS << min(self._failures, 10))
        self.restart_ns = now_ns + int(random.uniform(0, most))  # noqa: S311 - jitter, no secret
        self._failures += 1
        self._close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def end(self, timeout_s: float) -> None:
        """Its socket is closed, which asks it to end; after `timeout_s` it is killed."""
        process = self.process
        if self.socket is not None:
            self.socket.close()
        if process is not None:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._close()

    def check_frozen(self, now_ns: int) -> None:
        """A child that has been stopped for too long is killed, so that a new one can work."""
        if self.process is None or not _is_stopped(self.pid):
            self._frozen_ns = 0
            return
        self._frozen_ns = self._frozen_ns or now_ns
        if now_ns - self._frozen_ns >= self.frozen_limit_ns:
            self._frozen_ns = now_ns
            self.process.send_signal(signal.SIGKILL)

    def due_ns(self, now_ns: int) -> int | None:
        """When it needs a look; None: only when something happens."""
        if self.restart_ns:
            return self.restart_ns
        return self._frozen_ns + self.frozen_limit_ns if self._frozen_ns else None

    def _close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0)
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if self.socket is not None:
            self.socket.close()
        self.process, self.socket, self.pidfd = None, None, -1


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] in b"Tt"
