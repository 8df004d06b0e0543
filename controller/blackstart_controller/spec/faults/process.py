"""process.*: what happens to processes, named by one of seven things that tell them from others."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from blackstart_controller.spec.faults.base import Held, Pick, Targeted
from blackstart_controller.spec.types import AbsolutePath, Between, OneOf, Port, Text, UnitName

_NAMED: Final = {
    "unit": "of the unit {}",
    "executable": "of {}",
    "name": "named {}",
    "cgroup": "in the control group {}",
    "argv": "whose command line is like {}",
    "port": "that listen on port {}",
    "user": "of the user {}",
}
Signal: TypeAlias = Literal[
    "KILL",
    "TERM",
    "INT",
    "HUP",
    "QUIT",
    "ABRT",
    "SEGV",
    "BUS",
    "FPE",
    "ILL",
    "SYS",
    "TRAP",
    "PIPE",
    "USR1",
    "USR2",
    "ALRM",
    "VTALRM",
    "PROF",
    "XCPU",
    "XFSZ",
    "IO",
    "PWR",
    "WINCH",
]


class OfProcess(Held, OneOf):
    """It hits processes, named by exactly one of these keys; with `processes`, only so many of them."""

    CHOICES: ClassVar = tuple(_NAMED)
    unit: UnitName | None = None
    executable: AbsolutePath | None = None
    name: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    cgroup: AbsolutePath | None = None
    argv: Annotated[Text, Field(min_length=1, max_length=4096)] | None = None
    port: Port | None = None
    user: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    processes: Pick | None = None

    def whose(self) -> str:
        named = next(
            told.format(value) for key, told in _NAMED.items() if (value := getattr(self, key)) is not None
        )
        return f"{self._how_many()} {named}"

    def _how_many(self) -> str:
        if self.processes is None:
            return "the processes"
        if self.processes.percent is not None:
            return f"{self.processes.percent}% of the processes"
        return "one process" if self.processes.count == 1 else f"{self.processes.count} processes"

    @property
    def one(self) -> bool:
        return self.processes is not None and self.processes.count == 1


class Kill(OfProcess):
    """`for` is how long its effect is watched before it counts as over."""

    fault: Literal["process.kill"]
    signal: Signal = "KILL"

    def words(self, time: str) -> str:
        done = "killed" if self.signal == "KILL" else f"sent SIG{self.signal}"
        return f"{self.whose()} {'is' if self.one else 'are'} {done}, and what follows is watched for {time}"


class Freeze(OfProcess):
    fault: Literal["process.pause"]

    def words(self, time: str) -> str:
        return f"{self.whose()} {'stands' if self.one else 'stand'} still for {time}"


class Restarted(OfProcess):
    """Asked to end, killed after `grace`; `for` is how long what follows is watched."""

    fault: Literal["process.restart"]
    grace_ms: Annotated[int, Between("0s", "10m")] = Field(default=10_000, alias="grace")

    def words(self, time: str) -> str:
        ended = "is ended" if self.one else "are ended"
        return (
            f"{self.whose()} {ended} and started again by {'its' if self.one else 'their'} supervisor, "
            f"and what follows is watched for {time}"
        )


class KillProcess(Kill, Targeted):
    pass


class PauseProcess(Freeze, Targeted):
    pass


class RestartProcess(Restarted, Targeted):
    pass
