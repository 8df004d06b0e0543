"""The thread that fires at T0: asleep until one millisecond before, then spinning, on CLOCK_MONOTONIC."""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

SPIN_NS = 1_000_000
SWITCH_INTERVAL_S = 0.0005
PRIORITY = 10
PR_SET_TIMERSLACK = 29

Action = Callable[[int], None]  # gets the moment at which it really began


class Schedule(Protocol):
    def schedule(self, key: str, at_ns: int, action: Action) -> None:
        """`action` runs once at `at_ns`, or at once when that is past."""
        ...

    def cancel(self, key: str) -> bool:
        """True: it has not run and never will. False: it has begun, or was never scheduled."""
        ...


@dataclass(order=True, slots=True)
class _Shot:
    at_ns: int
    key: str
    action: Action = field(compare=False)


class Firing:
    """Actions must not raise and should take microseconds: what is due at the same T0 waits behind them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shots: list[_Shot] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="firing", daemon=True)

    def start(self) -> None:
        """The thread runs; the whole process switches threads every half millisecond from now on."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    def schedule(self, key: str, at_ns: int, action: Action) -> None:
        with self._changed:
            heapq.heappush(self._shots, _Shot(at_ns, key, action))
            self._changed.notify()

    def cancel(self, key: str) -> bool:
        with self._changed:
            left = [shot for shot in self._shots if shot.key != key]
            found = len(left) < len(self._shots)
            heapq.heapify(left)
            self._shots = left
            self._changed.notify()
            return found

    def close(self) -> None:
        """The thread has ended; what was scheduled is forgotten."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        _sharpen()
        while True:
            at_ns = self._sleep()
            if at_ns is None:
                return
            while time.monotonic_ns() < at_ns:
                pass
            shot = self._take(at_ns)
            if shot is not None:
                shot.action(time.monotonic_ns())

    def _sleep(self) -> int | None:
        """The instant to fire at, one millisecond before it; None when closed."""
        with self._changed:
            while not self._closed:
                if not self._shots:
                    self._changed.wait()
                    continue
                left = self._shots[0].at_ns - time.monotonic_ns() - SPIN_NS
                if left <= 0:
                    return self._shots[0].at_ns
                self._changed.wait(left / 1e9)
            return None

    def _take(self, at_ns: int) -> _Shot | None:
        """What is due, unless it was cancelled during the spin."""
        with self._changed:
            if self._shots and self._shots[0].at_ns <= at_ns:
                return heapq.heappop(self._shots)
            return None


def _sharpen() -> None:
    """This thread wakes as precisely as the host permits; where it permits nothing, a little later."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(OSError, AttributeError):  # not permitted, or no such call on this platform
        reset = os.SCHED_FIFO | getattr(os, "SCHED_RESET_ON_FORK", 0)
        os.sched_setscheduler(0, reset, os.sched_param(PRIORITY))
