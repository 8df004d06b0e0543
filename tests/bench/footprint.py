"""A real agent against a real controller, in a network namespace of their own: memory, idle CPU, start.

`python -m bench.footprint FOLDER IDLE_S` prints one line of JSON. `measure` runs it in that namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.children import LIBC, PR_SET_PDEATHSIG, BenchError, Usage, scratch, spawn, stop, usage, wait_until
from bench.controller import Controller

AGENT = (sys.executable, "-c", "import sys; from blackstart_agent.cli import main; sys.exit(main())")
PARTS = {"link": "blackstart_agent.link", "sentry": "guardian.sentry"}
CONNECTED = b"connected to the controller"
SETTLE_S = 3.0
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def measure(idle_s: float) -> dict[str, Any]:
    """What the module prints, or `why_not`."""
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    if shutil.which("unshare") is None:
        return {"why_not": "needs unshare: apt-get install util-linux"}
    # The folder is ours to remove: a sentry may still be tidying up in it when everything else is killed.
    with scratch() as folder:
        return _measure_inside(["unshare", *users, "--net", "--"], folder, idle_s)


def _measure_inside(enter: list[str], folder: Path, idle_s: float) -> dict[str, Any]:
    inside = [sys.executable, "-m", "bench.footprint", str(folder), str(idle_s)]
    process = spawn([*enter, *inside], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = process.communicate(timeout=idle_s + 60)
    except subprocess.TimeoutExpired as error:
        return {"why_not": str(error)}
    finally:
        stop(process)
    if process.returncode != 0:
        return {"why_not": errors.decode(errors="replace").strip()[-500:]}
    return dict(json.loads(output.splitlines()[-1]))


def main(folder: Path, idle_s: float) -> None:
    parent = os.getppid()
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))  # a new user namespace has taken that of `spawn` away
    if os.getppid() != parent:
        raise SystemExit("the benchmark has ended")
    _loopback_up()
    with Controller(folder, core=None) as served, _agent(folder, served) as (pid, start_ms):
        print(json.dumps(_footprint(pid, start_ms, idle_s)))


def _footprint(guardian: int, start_ms: float, idle_s: float) -> dict[str, Any]:
    pids = {"guardian": guardian} | {part: _child(guardian, program) for part, program in PARTS.items()}
    time.sleep(SETTLE_S)
    before, began_s = {part: usage(pid) for part, pid in pids.items()}, time.monotonic()
    time.sleep(idle_s)
    window_s = time.monotonic() - began_s
    parts = {part: _figures(before[part], usage(pid), window_s) for part, pid in pids.items()}
    return {"start_ms": start_ms, "parts": parts}


def _figures(before: Usage, after: Usage, window_s: float) -> dict[str, float]:
    return {
        "rss_mib": after.rss_kib / 1024,
        "private_mib": after.private_kib / 1024,
        "pss_mib": after.pss_kib / 1024,
        "idle_percent": (after.cpu_s - before.cpu_s) * 100 / window_s,
        "threads": after.threads,
    }


@contextlib.contextmanager
def _agent(folder: Path, served: Controller) -> Iterator[tuple[int, float]]:
    """The guardian's pid and the milliseconds from exec to a stream. Nothing is allowed here: no policy."""
    config = folder / "agent.toml"
    (folder / "services").mkdir()
    places = ["--state-dir", str(folder / "agent"), "--policy", str(folder / "policy.toml")]
    identity = ["--name", "bench", "--supervisor", f"runit:{folder}/services", "--link-user", ""]
    joining = ["enroll", "--token", served.api.token(), "--controller", f"127.0.0.1:{served.api_port}"]
    subprocess.run([*AGENT, *joining, *identity, *places, "--config", str(config)], check=True, stdout=2)
    log = folder / "agent.log"
    with log.open("wb") as written:
        began_s = time.monotonic()
        process = spawn([*AGENT, "run", "--config", str(config)], stdout=written, stderr=written)
        try:
            wait_until("an agent's stream", lambda: CONNECTED in log.read_bytes(), limit_s=20, every_s=0.001)
            yield process.pid, (time.monotonic() - began_s) * 1e3
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        except BenchError as error:
            raise BenchError(f"{error}: {log.read_text()[-2000:]}") from None
        finally:
            stop(process)


def _child(parent: int, program: str) -> int:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if int(stat[1]) == parent and program.encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise BenchError(f"the agent has no process {program}")


def _loopback_up() -> None:
    request = struct.pack("16sh14x", b"lo", IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
