"""Tells systemd that the guardian is ready and alive. Without systemd it does nothing."""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """`watchdog_s` is how often `alive` should be called; 0 when nobody watches."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")  # not for our children
        timeout_us = os.environ.pop("WATCHDOG_USEC", "")
        self.watchdog_s = int(timeout_us) / 3e6 if timeout_us.isdecimal() else 0.0

    def ready(self) -> None:
        self._send("READY=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), path)
