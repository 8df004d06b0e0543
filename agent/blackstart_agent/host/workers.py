"""Worker processes: started with an order's id in their environment, spoken to over a socket each."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blackstart_agent.errors import HostError, Unsupported
from blackstart_agent.host import process
from blackstart_agent.host.ports import SIGKILL, Process

VARIABLE = "BLACKSTART_ORDER"
START_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 2.0
DEATH_TIMEOUT_S = 5.0
SWEEPS = 5  # one that is just being started may be missed by the first
MAX_PACKET = 65_536


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)  # one question at a time

    def ask(self, message: Mapping[str, object], timeout_s: float) -> dict[str, Any]:
        """Its answer; empty when it is gone."""
        with self.lock:
            try:
                self.channel.settimeout(timeout_s)
                self.channel.send(json.dumps(message).encode())
                answer: dict[str, Any] = json.loads(self.channel.recv(MAX_PACKET) or b"{}")
            except (BrokenPipeError, ConnectionResetError):
                return {}
            except TimeoutError as error:
                raise HostError(f"worker {self.process.pid}: no answer in {timeout_s:g} s") from error
        return answer


class LinuxWorkers:
    def __init__(self) -> None:
        self._processes = process.LinuxProcesses()
        self._workers: dict[str, _Worker] = {}

    def check(self) -> None:
        if not os.access(sys.executable, os.X_OK):
            raise Unsupported(f"no worker can be started: {sys.executable or 'python'} cannot be run")

    def start(self, order_id: str, load: str, parameters: Mapping[str, int | str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            started = subprocess.Popen(
                (sys.executable, "-m", "blackstart_agent.worker", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
                env={**os.environ, VARIABLE: order_id},
            )
        worker = self._workers[order_id] = _Worker(started, ours)
        answer = worker.ask({"load": load, "parameters": dict(parameters)}, START_TIMEOUT_S)
        if "ready" not in answer:
            raise HostError(f"worker for {load}: {answer.get('error', 'ended at once; see the log')}")

    def until(self, order_id: str, deadline_ns: int) -> None:
        worker = self._workers.get(order_id)
        if worker is None:
            raise HostError(f"order {order_id} has no worker here")
        try:
            worker.channel.send(json.dumps({"until_ns": deadline_ns}).encode())
        except OSError as error:
            raise HostError(f"worker {worker.process.pid} is gone: {error.strerror}") from error

    def status(self, order_id: str) -> Mapping[str, int]:
        worker = self._workers.get(order_id)
        return {} if worker is None else worker.ask({"ask": 1}, ANSWER_TIMEOUT_S)

    def end(self, order_id: str) -> None:
        worker = self._workers.pop(order_id, None)
        if worker is not None:
            worker.channel.close()
        for _ in range(SWEEPS):
            found = self.found(order_id)
            if not found:
                break
            for one in found:
                self._processes.signal(one, SIGKILL)
            self._processes.settle(found, timeout_s=DEATH_TIMEOUT_S)
        if worker is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # then `found` names it
                worker.process.wait(DEATH_TIMEOUT_S)

    def found(self, order_id: str) -> Sequence[Process]:
        mark = f"{VARIABLE}={order_id}".encode()
        marked = (pid for pid in process.pids() if mark in process.read_environ(pid).split(b"\0"))
        found = (process.read_process(pid) for pid in marked)
        return [one for one in found if one is not None]
