"""A host's own root directory: its own /tmp, /run, /var, /dev/shm, and free private copies of all else.

Everything runs in the mount namespace of the host in the making; the machine's own tree is never written to.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blackstart_lab import syscalls
from blackstart_lab.layout import PlacedFile
from blackstart_lab.units import Account

_OWN: Final = ("proc", "sys", "dev", "run", "tmp", "var")
_LEFT_OUT: Final = ("lost+found",)
_SKELETON: Final = ("/var/lib", "/var/log", "/var/cache", "/var/spool", "/run")
VOLUME: Final = "srv/data"  # a small file system of its own, which faults may fill
VOLUME_BYTES: Final = 64 << 20
_MODES: Final = {"/run/lock": 0o1777, "/tmp": 0o1777, "/var/tmp": 0o1777, "/dev/shm": 0o1777}  # noqa: S108


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that packages on this machine expect to find."""

    path: str
    mode: int
    uid: int
    gid: int


def skeleton() -> tuple[Directory, ...]:
    """The directories, without their contents, that installed packages made below /var and /run."""
    found = {}
    for parent in _SKELETON:
        for entry in _scan(parent):
            if entry.name == "blackstart-lab" or os.path.ismount(entry.path):
                continue
            if entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found[entry.path] = Directory(
                    entry.path, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
                )
    return tuple(found.values())


def _scan(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError:  # not there, or not ours to read: then nothing in this user's lab needs it
        return


def mount_root(root: Path, upper: Path, *, rootless: bool) -> frozenset[str]:
    """Build the tree at `root`; `upper` takes what hosts write. Return the names that can only be read."""
    syscalls.mount("tmpfs", root, "tmpfs", 0, "mode=0755")
    syscalls.mount("tmpfs", upper, "tmpfs", 0, "mode=0700")
    read_only = set()
    nested = _mount_points()
    for entry in list(_scan("/")):
        target = root / entry.name
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        elif entry.name in _OWN:
            target.mkdir()
        elif entry.is_dir() and entry.name not in _LEFT_OUT:
            target.mkdir()
            has_mounts = any(point.startswith(entry.path + "/") for point in nested)
            copied = (
                rootless and entry.name == "etc"
            )  # root's directories cannot be written to through an overlay
            if copied or has_mounts or not _overlay(entry, target, upper, rootless=rootless):
                read_only.add(entry.name)
                _fall_back(entry, target)
    _own_parts(root)
    return frozenset(read_only)


def _mount_points() -> tuple[str, ...]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return tuple(line.split()[4] for line in lines)


def _overlay(entry: os.DirEntry[str], target: Path, upper: Path, *, rootless: bool) -> bool:
    layer, work = upper / entry.name / "upper", upper / entry.name / "work"
    layer.mkdir(parents=True)
    work.mkdir()
    shutil.copymode(entry.path, layer)
    options = f"lowerdir={entry.path},upperdir={layer},workdir={work}"
    try:
        syscalls.mount("overlay", target, "overlay", 0, options + (",userxattr" if rootless else ""))
    except OSError:  # no overlay in this kernel, or too many stacked already: _fall_back follows
        return False
    return True


def _fall_back(entry: os.DirEntry[str], target: Path) -> None:
    """Without an overlay: /etc is copied, anything else can only be read."""
    if entry.name == "etc":
        _copy_readable("/etc", target)
        return
    syscalls.mount(entry.path, target, "", syscalls.BIND | syscalls.RECURSIVE)
    syscalls.make_read_only(target)


def _copy_readable(source: str, target: Path) -> None:
    for entry in _scan(source):
        copy = target / entry.name
        if entry.is_symlink():
            copy.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            copy.mkdir()
            _copy_readable(entry.path, copy)
        elif entry.is_file() and os.access(entry.path, os.R_OK):
            shutil.copy2(entry.path, copy)


def _own_parts(root: Path) -> None:
    syscalls.mount("proc", root / "proc", "proc")
    syscalls.mount("/dev", root / "dev", "", syscalls.BIND | syscalls.RECURSIVE)
    for path in ("run/lock", "tmp", "var/tmp", "var/lib", "var/log", "var/cache", "var/spool", "var/opt"):
        (root / path).mkdir(parents=True, exist_ok=True)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    (root / VOLUME).mkdir(parents=True, exist_ok=True)
    syscalls.mount("tmpfs", root / VOLUME, "tmpfs", 0, f"mode=1777,size={VOLUME_BYTES},nr_inodes=16384")
    if (root / "dev/shm").is_dir():
        syscalls.mount("tmpfs", root / "dev/shm", "tmpfs")
    for path, mode in _MODES.items():
        if (root / path[1:]).is_dir():
            (root / path[1:]).chmod(mode)
    _mount_sys(root / "sys")


def _mount_sys(target: Path) -> None:
    """This network namespace's own /sys, with the machine's control groups; both only to be read."""
    try:
        syscalls.mount("sysfs", target, "sysfs")
        if (target / "fs/cgroup").is_dir():
            syscalls.mount("/sys/fs/cgroup", target / "fs/cgroup", "", syscalls.BIND | syscalls.RECURSIVE)
    except (
        OSError
    ):  # a container that masks parts of /sys may not mount a fresh one: show the one that is there
        syscalls.mount("/sys", target, "", syscalls.BIND | syscalls.RECURSIVE)
    syscalls.make_read_only(target)


def show(root: Path, paths: Iterable[Path]) -> None:
    """Make `paths` of the machine visible at the same place, read-only, even below the host's own /tmp."""
    for path in paths:
        target = root / str(path)[1:]
        if os.access(path, os.X_OK):
            target.mkdir(parents=True, exist_ok=True)
            _open_way(root, target)
            syscalls.mount(str(path), target, "", syscalls.BIND | syscalls.RECURSIVE)
            syscalls.make_read_only(target)


def _open_way(root: Path, target: Path) -> None:
    """Units that run as other users must get through, also when everything lies in somebody's home."""
    for parent in target.parents:
        if parent == root:
            return
        with contextlib.suppress(OSError):  # read-only, or another user's: then it stays as it is
            parent.chmod(stat.S_IMODE(parent.stat().st_mode) | 0o011)


def make_directories(root: Path, directories: Sequence[Directory]) -> None:
    for directory in directories:
        path = root / directory.path[1:]
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(directory.mode)
            give(path, directory.uid, directory.gid)


def give(path: Path, uid: int, gid: int) -> None:
    """`path` belongs to `uid`; where a user namespace knows no such user, it stays ours."""
    try:
        os.chown(path, uid, gid)
    except OSError:  # EINVAL: the id is not mapped here
        return


def place(file: PlacedFile, owner: Account | None) -> None:
    """Write one file as `owner`'s below the caller's own root. A file or symlink in its place is replaced."""
    path = Path(file.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(file.content)
    except OSError as error:
        hint = "files can always be placed below /etc, /run, /tmp, /var and new directories"
        raise OSError(f"file {path}: {error.strerror}; {hint}") from error
    path.chmod(file.mode)
    if owner is not None:
        give(path, owner.uid, owner.gid)


def account(user: str) -> Account | None:
    """The account of `user` on this machine; None for root. KeyError: there is none."""
    if user in ("", "root"):
        return None
    entry = pwd.getpwnam(user)
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_dir)
