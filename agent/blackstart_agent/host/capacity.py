"""What this host has for us: of its memory, what the control groups that we are in leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from blackstart_agent.errors import HostError
from blackstart_agent.host.ports.workers import Room

_ROOT = Path("/sys/fs/cgroup")
_V2 = ("memory.max", "memory.current")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


class LinuxCapacity:
    def cores(self) -> int:
        """Those that we may run on."""
        return len(os.sched_getaffinity(0))

    def memory_total(self) -> int:
        return min([int(psutil.virtual_memory().total), *(limit for limit, _ in limits())])

    def memory_available(self) -> int:
        return min([int(psutil.virtual_memory().available), *(limit - used for limit, used in limits())])

    def room(self, path: str) -> Room:
        try:
            directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        try:
            found, device = os.fstatvfs(directory), os.fstat(directory).st_dev
        finally:
            os.close(directory)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        free, read_only = found.f_bavail * found.f_frsize, bool(found.f_flag & os.ST_RDONLY)
        return Room(used, free, device, read_only, found.f_favail)


def limits() -> Iterator[tuple[int, int]]:
    """(limit, used) of every control group above us that has a limit, in bytes."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            bases, names = (_ROOT, _ROOT / "unified"), _V2
        elif "memory" in controllers.split(","):
            bases, names = (_ROOT / "memory", _ROOT), _V1
        else:
            continue
        for base in bases:
            group = base / path.lstrip("/")
            for directory in (group, *group.parents):
                if base not in (directory, *directory.parents):
                    break
                limit, used = (_number(directory / name) for name in names)
                if limit is not None and used is not None:
                    yield limit, used


def _number(path: Path) -> int | None:
    """None: there is no such file here, or it says "max"."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
