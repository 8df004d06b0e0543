"""A command that this host's policy.toml names: never an argv from outside, never a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import CannotLook, Down, Surroundings


class CommandLook:
    """Up when the command exits with 0 before the time-out; else it and its children are killed."""

    def __init__(self, probe: agent_pb2.Probe, around: Surroundings) -> None:
        name = probe.command.name
        if name not in around.commands:
            allowed = ", ".join(sorted(around.commands)) or "none"
            raise CannotLook(
                f"command {name!r} is not in [probes.commands] of this host's policy.toml; allowed: {allowed}"
            )
        self._argv = tuple(around.commands[name])

    async def prepare(self) -> None:
        if not self._argv:
            raise CannotLook("the command is empty in this host's policy.toml")

    async def look(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotLook(f"cannot start {self._argv[0]}: {error.strerror}") from error
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:  # not reaped, so the number is still its own session's
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if code != 0:
            raise Down(f"exit {code}" if code > 0 else f"killed by signal {-code}")
