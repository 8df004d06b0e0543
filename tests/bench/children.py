"""Processes that a benchmark starts: pinned to a core, measured from outside, and dead when it is."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
PORTS = range(20_000, 30_000)  # below what the system gives to outgoing connections
TESTS = Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """Nothing can be measured. The text says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far, and holds now; all of its threads."""

    cpu_s: float
    rss_kib: int
    private_kib: int
    pss_kib: int
    threads: int


def usage(pid: int) -> Usage:
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    running_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]  # the first is an address range
    rollup = dict(line.split(":") for line in lines)

    def kib(name: str) -> int:
        return int(rollup[name].split()[0])

    return Usage(running_ns / 1e9, kib("Rss"), kib("Private_Dirty"), kib("Pss"), len(tasks))


def spawn(
    argv: Sequence[str],
    *,
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
    **pipes: Any,
) -> subprocess.Popen[bytes]:
    """A child that is killed when this process dies, however it dies; it may open all files it is allowed."""

    def prepare() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if core is not None:
            os.sched_setaffinity(0, {core})

    return subprocess.Popen(
        argv, preexec_fn=prepare, env={**os.environ, **(environment or {})}, cwd=TESTS, **pipes
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Talker:
    """A module of this package as a process that answers each line with one line of JSON."""

    def __init__(self, module: str, *arguments: str, core: int) -> None:
        argv = [sys.executable, "-m", f"bench.{module}", *arguments]
        self.process = spawn(argv, core=core, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._read()  # it is ready

    def ask(self, line: str) -> dict[str, Any]:
        self.tell(line)
        return self._read()

    def tell(self, line: str) -> None:
        stdin = _open(self.process.stdin)
        stdin.write(line.encode() + b"\n")
        stdin.flush()

    def usage(self) -> Usage:
        return usage(self.process.pid)

    def close(self) -> None:
        stop(self.process)

    def _read(self) -> dict[str, Any]:
        answer = _open(self.process.stdout).readline()
        if not answer:
            raise BenchError(f"{self.process.args!r} ended with {self.process.wait()}")
        return dict(json.loads(answer))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, also when a process that was told to end still writes into it."""
    folder = Path(tempfile.mkdtemp(prefix="blackstart-bench-"))
    try:
        yield folder
    finally:
        deadline_s = time.monotonic() + 5
        while folder.exists() and time.monotonic() < deadline_s:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.05)


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection takes."""
    start = os.getpid() * 7 % len(PORTS)
    for number in range(len(PORTS)):
        port = PORTS[(start + number) % len(PORTS)]
        with socket.socket() as probe:
            if _binds(probe, port) and port not in _GIVEN:
                _GIVEN.add(port)
                return port
    raise BenchError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


def wait_until(what: str, condition: Callable[[], bool], *, limit_s: float, every_s: float = 0.02) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise BenchError(f"{what}: not within {limit_s:g} s")
        time.sleep(every_s)


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


_GIVEN: set[int] = set()
