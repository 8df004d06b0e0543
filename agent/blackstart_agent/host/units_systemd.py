"""Units kept by systemd. A held unit is masked for this boot only, in the directory that beats even /etc.

`systemctl mask --runtime` writes to /run/systemd/system, which a unit file in /etc/systemd/system overrides.
A link in /run/systemd/system.control is overridden by nothing that an administrator writes there, is ours
alone, and is gone after a reboot.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from blackstart_agent.errors import HostError, Unsupported
from blackstart_agent.host import members, process, programs
from blackstart_agent.host.ports import Process, Unit

MASKS = Path("/run/systemd/system.control")
_MASKED = "/dev/null"
_SUFFIX = ".service"
_OTHERS = ("socket", "target", "timer", "path", "mount", "automount", "swap", "slice", "scope", "device")
_SUFFIXES = (_SUFFIX, *(f".{kind}" for kind in _OTHERS))
_PATTERN = frozenset("*?[]")
_CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))
_TIMEOUT_S = 20.0
_POLL_S = 0.1
_UP = frozenset({"active", "activating", "reloading"})


class SystemdUnits:
    def __init__(self) -> None:
        self._processes = process.LinuxProcesses()

    @property
    def supervisor(self) -> str:
        return "systemd"

    def check(self) -> None:
        """Raises Unsupported when systemd does not run this host."""
        if not Path("/run/systemd/system").is_dir():
            raise Unsupported(
                "systemd does not run this host; set `supervisor` in agent.toml to runit:DIRECTORY"
            )
        programs.find("systemctl")

    def list(self) -> Sequence[Unit]:
        held = set(_masks())
        loaded = {row["Id"]: row for row in _show(f"*{_SUFFIX}") if "Id" in row}
        names = sorted({*loaded, *held, *_files()})
        return [_unit(name, loaded.get(name, {}), held=name in held) for name in names]

    def full_name(self, name: str) -> str:
        """With its suffix, and of an alias the unit itself: Debian's `redis` is redis-server.service."""
        full = complete(name)
        if _PATTERN & set(full):  # which `show` would take for a pattern
            return full
        return next((row["Id"] for row in _show(full) if row.get("Id")), full)

    def processes(self, unit: str) -> Sequence[Process]:
        return self._members([unit])

    def everyone(self) -> Sequence[Process]:
        return self._members([unit.name for unit in self.list() if unit.running])

    def hold(self, units: Sequence[str], *, kill: bool) -> None:
        """Killed at once, in this process; then masked, told to stop, and what started meanwhile killed."""
        if kill:
            self._kill(units)
        MASKS.mkdir(parents=True, exist_ok=True)
        for name in units:
            _mask(name)
        _systemctl("daemon-reload")
        _systemctl("stop", "--no-block", "--", *units)
        if kill:
            self._kill(units)

    def restart(self, units: Sequence[str]) -> None:
        _systemctl("restart", "--no-block", "--", *units)

    def settle(self, units: Sequence[str], *, timeout_s: float) -> Sequence[str]:
        return members.settle(
            lambda: self._members(units), self._processes, timeout_s=timeout_s, poll_s=_POLL_S
        )

    def release(self, units: Sequence[str]) -> None:
        if not units:
            return
        for name in units:
            _unmask(name)
        _systemctl("daemon-reload")
        failed = [row["Id"] for row in _show(*units) if row.get("ActiveState") == "failed"]
        if failed:  # a unit that was killed too often would refuse to start
            _systemctl("reset-failed", "--", *failed)
        _systemctl("start", "--no-block", "--", *units)

    def manual(self, units: Sequence[str]) -> tuple[str, ...]:
        if not units:
            return ()
        links = " ".join(shlex.quote(str(MASKS / name)) for name in units)
        names = " ".join(shlex.quote(name) for name in units)
        return (f"rm -f {links}", f"systemctl daemon-reload && systemctl start {names}")

    def _kill(self, units: Sequence[str]) -> None:
        members.kill(lambda: self._members(units), self._processes)

    def _members(self, units: Sequence[str]) -> tuple[Process, ...]:
        rows = _show(*units) if units else []  # which reads names as patterns: only exact ones count
        groups = {row["Id"]: row.get("ControlGroup", "") for row in rows if row.get("Id") in units}
        pids = ((pid, name) for name, group in groups.items() if group for pid in _pids(group))
        found = (process.read_process(pid, name) for pid, name in pids)
        return tuple(one for one in found if one is not None)


def complete(name: str) -> str:
    """`name` with a suffix, as systemctl completes it: `redis`, `redis.v2` and `getty@tty1` are services."""
    return name if name.endswith(_SUFFIXES) else name + _SUFFIX


def _unit(name: str, row: dict[str, str], *, held: bool) -> Unit:
    return Unit(name, row.get("ActiveState") in _UP, held, int(row.get("MainPID") or 0))


def _masks() -> tuple[str, ...]:
    """Units with our mask. Only links to /dev/null count: systemd keeps settings of its own beside them."""
    try:
        links = tuple(MASKS.iterdir())
    except FileNotFoundError:
        return ()
    return tuple(link.name for link in links if link.is_symlink() and str(link.readlink()) == _MASKED)


def _mask(name: str) -> None:
    _check(name)
    if name not in _masks():
        (MASKS / name).symlink_to(_MASKED)


def _unmask(name: str) -> None:
    _check(name)
    if name in _masks():
        (MASKS / name).unlink(missing_ok=True)


def _check(name: str) -> None:
    if "/" in name or not name.endswith(_SUFFIX):
        raise HostError(f'unit "{name}": only services can be held; write it as NAME{_SUFFIX}')


def _files() -> list[str]:
    """Every service that is installed, loaded or not; templates cannot run by themselves."""
    table = _systemctl("list-unit-files", f"--type={_SUFFIX[1:]}", "--no-legend", "--plain", "--no-pager")
    names = (line.split()[0] for line in table.splitlines() if line.split())
    return [name for name in names if f"@{_SUFFIX}" not in name]


def _show(*units: str) -> list[dict[str, str]]:
    """The properties of loaded units, one dict for each."""
    text = _systemctl("show", "--property=Id,ActiveState,MainPID,ControlGroup", "--no-pager", "--", *units)
    blocks = (block.splitlines() for block in text.split("\n\n") if block.strip())
    return [dict(line.split("=", 1) for line in block if "=" in line) for block in blocks]


def _systemctl(*words: str) -> str:
    return programs.run("systemctl", words, timeout_s=_TIMEOUT_S)


def _pids(group: str) -> Iterator[int]:
    """Every process in a control group and in the groups below it, in whichever hierarchy systemd uses."""
    root = next((base for base in _CGROUPS if (base / group.lstrip("/") / "cgroup.procs").exists()), None)
    if root is None:
        return
    for directory, _, _ in os.walk(root / group.lstrip("/")):
        listed = process.read(str(Path(directory) / "cgroup.procs"), 1 << 20)
        yield from (int(line) for line in listed.split())
