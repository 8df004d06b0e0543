"""Files of our own: no symbolic link leads them elsewhere, and a crash leaves the old or the new."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(path: Path, *, mode: int = 0o700, owner: tuple[int, int] | None = None) -> int:
    """A descriptor of the directory `path`, made when it is new. A symbolic link is refused (OSError).

    `owner` is (uid, gid) and is set on what is opened, never on what a link points at. What is as it should
    be is not written: a revert must get in on a disk that became read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    handle = os.open(path, DIRECTORY_FLAGS)
    try:
        found = os.fstat(handle)
        if owner is not None and owner != (found.st_uid, found.st_gid):
            os.fchown(handle, *owner)
        if mode != stat.S_IMODE(found.st_mode):
            os.fchmod(handle, mode)
    except BaseException:  # an interrupt too must leave nothing half-made; it goes on
        os.close(handle)
        raise
    return handle


def read(directory: int, name: str) -> bytes:
    """The whole of a file in an opened directory."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    with os.fdopen(handle, "rb") as file:
        return file.read()


def write_all(handle: int, data: bytes) -> None:
    """Every byte is written, or OSError is raised (a full disk may have taken some)."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def replace(directory: int, name: str, data: bytes, *, mode: int = 0o600) -> None:
    """`name` holds exactly `data`, durably; after a crash it holds the old or the new, never a mixture."""
    temporary = f".{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, mode, dir_fd=directory)
    try:
        try:
            write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:  # an interrupt too must leave nothing half-made; it goes on
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)
