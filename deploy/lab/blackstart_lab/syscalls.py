"""The system calls that Python 3.11 lacks: namespaces, mounts, host names. OSError names what was asked."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

NEW_TIME: Final = 0x80
NEW_MOUNTS: Final = 0x00020000
NEW_UTS: Final = 0x04000000
NEW_IPC: Final = 0x08000000
NEW_USER: Final = 0x10000000
NEW_PID: Final = 0x20000000
NEW_NET: Final = 0x40000000
HOST_NAMESPACES: Final = NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PID | NEW_NET

READ_ONLY: Final = 1
NO_SUID: Final = 2
NO_DEVICES: Final = 4
BIND: Final = 4096
RECURSIVE: Final = 16384
PRIVATE: Final = 1 << 18

_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_MOUNT_SETATTR: Final = 442  # the same on every architecture
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_ATTRIBUTE_READ_ONLY: Final = 1
_DETACH: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), f"unshare 0x{flags:x}")


def enter(pidfd: int, flags: int) -> None:
    """Join those namespaces of the process behind `pidfd`; the pid namespace counts for children only."""
    _check(_libc.setns(pidfd, flags), f"setns 0x{flags:x}")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, options.encode())
    _check(result, f"mount {kind or 'bind'} {source} on {target}")


def detach(target: Path | str) -> None:
    _check(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def make_read_only(target: Path | str) -> None:
    """Nobody can write through the mount at `target` or any below it; other flags stay."""
    attributes = _MountAttributes(set=_ATTRIBUTE_READ_ONLY)
    result = _libc.syscall(
        _MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(target),
        _AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(result, f"make {target} read-only")


def change_root(new_root: Path) -> None:
    """`new_root`, a mount, is the root directory of this mount namespace; the old root is gone from it."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root: its number is not known for {os.uname().machine}")
    os.chdir(new_root)
    _check(_libc.syscall(number, b".", b"."), f"pivot_root {new_root}")
    detach(".")
    os.chdir("/")


def set_host_name(name: str) -> None:
    _check(_libc.sethostname(name.encode(), len(name)), f"sethostname {name}")
