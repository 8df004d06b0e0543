"""The lab's public functions: `up`, `status`, `exec_`, `down`. Names default to the only running lab."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from blackstart_lab import enter
from blackstart_lab.bringup import bring_up
from blackstart_lab.errors import LabError, NoSuchLab
from blackstart_lab.layout import AGENT_UNIT, lay_out
from blackstart_lab.load import load_lab_file
from blackstart_lab.process import Process
from blackstart_lab.requirements import check_machine
from blackstart_lab.state import HostState, LabState, StateDirectory, all_directories
from blackstart_lab.supervisor import HostView

DOWN_S: Final = 30.0
HOLDER_S: Final = 10.0


def up(path: Path | str, *, progress: Callable[[str], None] = lambda text: None) -> LabState:
    """The lab of the file at `path` is up: wired, every unit ready, every agent enrolled.

    Whatever goes wrong, Ctrl-C included, nothing of it is left. A lab of this name that runs is not touched.
    """
    path = Path(path).resolve()
    layout = lay_out(load_lab_file(path), path.parent)
    rootless = check_machine()
    directory = StateDirectory.of(layout.name)
    lock = directory.take()
    if lock is None:
        raise LabError(
            f"lab {layout.name} is up already; take it down first: blackstart lab down {layout.name}"
        )
    return _live(bring_up(layout, path, directory, lock, rootless=rootless, progress=progress))


def status(name: str | None = None) -> LabState:
    """The lab as it is at this moment."""
    return _live(_read(name))


def running() -> list[str]:
    """Names of this user's labs that live."""
    return [directory.path.name for directory in all_directories() if directory.held()]


def exec_(name: str | None, host: str, argv: Sequence[str], *, directory: str | None = None) -> int:
    """Run `argv` in `host` on this terminal and return its exit status (128 + N: signal N; 125: dark)."""
    state = _read(name)
    here = directory or str(Path.cwd())
    argv = enter.enter_command(_host(state, host).process, argv, rootless=state.rootless, directory=here)
    with _interrupts_go_to_the_command(), subprocess.Popen(argv) as command:
        return command.wait()


def run(
    name: str | None,
    host: str,
    argv: Sequence[str],
    *,
    text: str | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` in `host` with `text` as its input, and return what it wrote and its exit status."""
    state = _read(name)
    argv = enter.enter_command(_host(state, host).process, argv, rootless=state.rootless)
    source = {"stdin": subprocess.DEVNULL} if text is None else {}
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout_s, **source)  # type: ignore[call-overload, no-any-return]


def down(name: str | None = None) -> bool:
    """Nothing of the lab is left: no process, namespace, mount or file. False: there was nothing to do."""
    if name is None:
        leftovers = [directory.path.name for directory in all_directories()]
        if not leftovers:
            return False
        name = _only(leftovers)
    directory = StateDirectory.of(name)
    if not directory.path.exists():
        return False
    if directory.held():
        _kill(directory)
    directory.remove()
    return True


def _kill(directory: StateDirectory) -> None:
    holder = _holder(directory)
    if holder is not None and not holder.kill(wait_s=DOWN_S):
        raise LabError(
            f"lab {directory.path.name}: process {holder.pid} does not die; see /proc/{holder.pid}/stack"
        )
    if not directory.wait_released(wait_s=DOWN_S):
        raise LabError(
            f"lab {directory.path.name}: {directory.path}/lock is still held; is `up` running? stop it"
        )


def _holder(directory: StateDirectory) -> Process | None:
    """The holder; a lab that is just coming up writes it down within moments, or has gone."""
    for wait_s in (0.0, HOLDER_S):
        holder = directory.holder()
        if holder is not None or directory.wait_released(wait_s=wait_s):
            return holder
    return directory.holder()


def _read(name: str | None) -> LabState:
    name = name or _only(running())
    directory = StateDirectory.of(name)
    if not directory.held():
        raise NoSuchLab(f"no lab {name} is running; start it: blackstart lab up FILE")
    state = directory.read()
    if state is None:
        raise LabError(f"lab {name} is still coming up; try again when `up` has ended")
    return state


def _only(names: Sequence[str]) -> str:
    if not names:
        raise NoSuchLab("no lab is running; start one: blackstart lab up FILE")
    if len(names) > 1:
        raise NoSuchLab(f"{len(names)} labs are running: {', '.join(names)}; name one")
    return names[0]


def _host(state: LabState, host: str) -> HostState:
    if host not in state.hosts:
        raise NoSuchLab(f"lab {state.name} has no host {host}; it has {', '.join(state.hosts)}")
    return state.hosts[host]


def _live(state: LabState) -> LabState:
    return replace(state, hosts={name: _look(host) for name, host in state.hosts.items()})


def _look(host: HostState) -> HostState:
    if not host.process.alive():
        return replace(host, state="dark", units={}, agent="down" if host.agent != "none" else "none")
    units = HostView(host.pid).units()
    agent = units.get(AGENT_UNIT)
    heard = "none" if agent is None else "up" if agent.state == "run" else "down"
    return replace(host, state="up", units=units, agent=heard)


@contextlib.contextmanager
def _interrupts_go_to_the_command() -> Iterator[None]:
    """Ctrl-C reaches the command by the terminal; we wait for what it makes of it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
