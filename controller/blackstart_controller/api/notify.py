"""Tell the service manager that we are ready and alive (sd_notify); does nothing where none asked."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(state: str) -> None:
    """Send e.g. `READY=1`. A manager that does not listen is no reason to fail."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # a manager that does not read must not stop us
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            return


def watchdog_period_s() -> float | None:
    """Half of what the service manager allows; None when it does not watch us."""
    allowed_us = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed_us) / 2e6 if allowed_us.isdigit() and int(allowed_us) else None


async def feed_watchdog() -> None:
    """For ever: a blocked event loop is a dead controller."""
    period_s = watchdog_period_s()
    while period_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(period_s)
