"""One worker: what `blackstart_agent.worker` says."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping

from blackstart_agent.worker.children import Children, Load
from blackstart_agent.worker.cpu import Cpu
from blackstart_agent.worker.fill import Fill, Inodes
from blackstart_agent.worker.io import Io
from blackstart_agent.worker.memory import Memory


def _crash_loop(supervisor: str, units: str, every_ms: int) -> Load:
    """Imported only here: supervisors are a lot to read for a worker that burns a processor."""
    from blackstart_agent.worker.crash_loop import CrashLoop

    return CrashLoop(supervisor, units, every_ms)


def _shape(queue: int, **rules: int | str) -> Load:
    from blackstart_agent.worker.shape import Rules, Shape

    return Shape(queue, Rules(**rules))  # type: ignore[arg-type]


def _dns(queue: int, names: str, failure: str, delay_us: int, addresses: str) -> Load:
    from blackstart_agent.worker.dns import Lies
    from blackstart_agent.worker.shape import Shape

    return Shape(queue, Lies(names.split(), failure, delay_us, addresses.split()))


LOADS: dict[str, Callable[..., Load]] = {
    "cpu": Cpu,
    "memory": Memory,
    "fill": Fill,
    "inodes": Inodes,
    "io": Io,
    "crash_loop": _crash_loop,
    "shape": _shape,
    "dns": _dns,
}
MAX_PACKET = 65_536
LEAST_S = 1e-6  # 0 would mean: no timer


def main(argv: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the guardian, which ends us in its own time
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    channel = socket.socket(fileno=int(argv[0]))
    asked = json.loads(channel.recv(MAX_PACKET) or b"{}")
    if not asked:
        return 0
    children = Children(channel)
    try:
        load = LOADS[asked["load"]](**asked["parameters"])
    except OSError as error:
        _say(channel, {"error": f"{error.filename or asked['load']}: {error.strerror}"})
        return 1
    _say(channel, {"ready": 1})
    begun = False
    while packet := channel.recv(MAX_PACKET):
        message = json.loads(packet)
        if "until_ns" in message:
            left_s = (message["until_ns"] - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return 0
            signal.setitimer(signal.ITIMER_REAL, max(LEAST_S, left_s))
            if not begun:
                load.begin(children)
                begun = True
        else:
            _say(channel, load.status(children))
    return 0


def _say(channel: socket.socket, message: Mapping[str, int | str]) -> None:
    channel.send(json.dumps(message).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
