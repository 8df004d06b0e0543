"""What both benchmark servers share: credentials from a folder, and commands on standard input."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc


def server_credentials(certs: Path) -> grpc.ServerCredentials:
    pair = ((certs / "server.key").read_bytes(), (certs / "server.pem").read_bytes())
    return grpc.ssl_server_credentials([pair], (certs / "ca.pem").read_bytes(), require_client_auth=True)


def usage() -> dict[str, float]:
    """This process's CPU seconds so far and its resident memory now, MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu_s": used.ru_utime + used.ru_stime, "rss_mib": pages * resource.getpagesize() / 2**20}


async def serve_commands(commands: Mapping[str, Callable[[], Awaitable[Mapping[str, float]]]]) -> None:
    """Answer each line of standard input with one JSON line, until `quit` or the end of input."""
    loop = asyncio.get_running_loop()
    print(json.dumps({"ready": True}), flush=True)
    while (line := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) not in ("", "quit"):
        before = usage()
        answer = dict(await commands[line]()) if line in commands else {}
        after = usage()
        print(json.dumps({**answer, **after, "cpu_used_s": after["cpu_s"] - before["cpu_s"]}), flush=True)
