"""The sentry: a small process that outlives a guardian which died or froze, and reverts what it left behind.

It imports almost nothing until an order is armed. The guardian starts it as `python -m
blackstart_agent.guardian.sentry --guardian PID --fd N --config FILE` and sends beats over the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import sys
import time

BEAT = struct.Struct("<qqi")  # when it was sent, the earliest deadline or 0, the link's pid or 0
GO = b"go"
PATIENCE_NS = 500_000_000
REVERT_TIMEOUT_S = 5.0
LOCK_TIMEOUT_S = 30.0
PR_SET_NAME = 15


class Watch:
    """What the beats said. The decision is arithmetic: `kill_ns` is when the guardian counts as frozen."""

    def __init__(self) -> None:
        self.sent_ns = 0
        self.deadline_ns = 0
        self.link_pid = 0

    def beat(self, packet: bytes) -> None:
        """A packet of the guardian; one that is no beat changes nothing."""
        if len(packet) == BEAT.size:
            self.sent_ns, self.deadline_ns, self.link_pid = BEAT.unpack(packet)

    def kill_ns(self) -> int:
        """When to kill a guardian that sends nothing more; 0: never, for no fault of its is open."""
        if not self.deadline_ns:
            return 0
        return max(self.deadline_ns, self.sent_ns) + PATIENCE_NS


def main(argv: list[str]) -> int:
    """Ends with 0 when the guardian said so, or when everything it left is reverted."""
    options = dict(zip(argv[::2], argv[1::2], strict=True))
    _become_sentry()
    guardian = int(options["--guardian"])
    pidfd = os.pidfd_open(guardian)
    if os.getppid() != guardian:
        return _take_over(options["--config"], "guardian died", 0)
    beats = socket.socket(fileno=int(options["--fd"]))
    beats.setblocking(False)
    watch = Watch()
    reason = observe(pidfd, beats, watch)
    if not reason:
        return 0
    return _take_over(options["--config"], reason, watch.link_pid)


def observe(pidfd: int, beats: socket.socket, watch: Watch) -> str:
    """Waits for the guardian's end; why everything must be reverted now, or "" when it left nothing."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(beats, select.POLLIN)
    loaded = False
    while True:
        ready = dict(poll.poll(_timeout_ms(watch)))
        if beats.fileno() in ready and not _read_beats(beats, watch, poll):
            return ""
        if pidfd in ready:
            return "guardian died"
        kill_ns = watch.kill_ns()
        if kill_ns and not loaded:
            loaded = _load()  # while there is time: at a lease's end every millisecond counts
        if kill_ns and time.monotonic_ns() >= kill_ns and not _more(beats):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            _wait_dead(pidfd)
            return "guardian did not move at a lease's end"


def _load() -> bool:
    """What a revert needs is in memory."""
    from blackstart_agent.guardian import open_host

    return bool(open_host)


def _timeout_ms(watch: Watch) -> float | None:
    kill_ns = watch.kill_ns()
    return max(0, (kill_ns - time.monotonic_ns()) // 1_000_000 + 1) if kill_ns else None


def _more(beats: socket.socket) -> bool:
    """Whether a beat is waiting: we may have been the ones who were late."""
    if beats.fileno() < 0:
        return False
    waiting = select.poll()  # select() knows no descriptor above 1023
    waiting.register(beats, select.POLLIN)
    return bool(waiting.poll(0))


def _wait_dead(pidfd: int) -> None:
    death = select.poll()
    death.register(pidfd, select.POLLIN)
    death.poll()


def _read_beats(beats: socket.socket, watch: Watch, poll: select.poll) -> bool:
    """False when the guardian said that we may go."""
    while True:
        try:
            packet = beats.recv(64)
        except BlockingIOError:
            return True
        except OSError:
            packet = b""
        if packet == GO:
            return False
        if not packet:  # its end of the socket is gone; the pidfd says the rest
            poll.unregister(beats)
            beats.close()
            return True
        watch.beat(packet)


def _take_over(config_path: str, reason: str, link_pid: int) -> int:
    from pathlib import Path

    from blackstart_agent import config as agent_config
    from blackstart_agent.guardian import open_host
    from blackstart_agent.guardian.journal import Journal

    config = agent_config.load(Path(config_path))
    with Journal(config.journal_dir, config.mirror_dir) as journal:
        if not journal.lock(open_host.owner_line("sentry"), LOCK_TIMEOUT_S):
            return 0  # a new guardian has it, and reverts what it found
        done = open_host.revert_all(config, journal, reason, REVERT_TIMEOUT_S)
    _end_orphan(link_pid)
    for what, why in done.stayed.items():
        sys.stderr.write(
            f"blackstart-sentry: {what}: {'; '.join(why)}; run `blackstart-agent revert --all`\n"
        )
    return 0 if done.clean else 1


def _end_orphan(pid: int) -> None:
    """The dead guardian's link, which may be frozen, ends. Only one that is an orphan of our program."""
    from pathlib import Path

    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid) if pid > 0 else -1
        if pidfd >= 0 and b"blackstart_agent.link" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _become_sentry() -> None:
    """A name of its own; signals that end the guardian's group leave it to its work."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_NAME, b"bs-sentry", 0, 0, 0)
        library.mlockall(1 | 2 | 4)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
