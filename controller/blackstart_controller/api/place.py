"""The state directory: private, and of one controller at a time."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blackstart_controller.errors import UsageError


def no_core_dumps() -> None:
    """Keys and tokens are in our memory: no core file will ever hold them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def state_directory(path: Path) -> Iterator[Path]:
    """`path` exists with mode 0700 and is ours until the block is left; UsageError when another has it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"serve: state directory {path}: {error.strerror}; choose another with --state"
        ) from error
    try:
        _lock(descriptor, path)
        yield path
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise UsageError(
            f"serve: state directory {path} is in use by another controller (process {holder}); "
            "stop it first, or choose another with --state"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
