"""The server's side of `children.Talker`: commands on standard input, one line of JSON each."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping

Answers = Mapping[str, Callable[[], Awaitable[Mapping[str, object]]]]


async def serve_commands(commands: Answers) -> None:
    """Answer each line of standard input until it ends."""
    loop = asyncio.get_running_loop()
    print(json.dumps({"ready": True}), flush=True)
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        print(json.dumps(await commands[line]()), flush=True)
