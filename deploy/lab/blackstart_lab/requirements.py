"""What a lab needs of the machine. Everything missing is told at once, with the line that mends it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from blackstart_lab import syscalls
from blackstart_lab.errors import CannotRun
from blackstart_lab.units import SYSTEM_PATH

_PACKAGES: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "runsvdir": "runit",
    "setpriv": "util-linux",
    "env": "coreutils",
}


def check_machine() -> bool:
    """True when the lab must make a user namespace (not root); CannotRun names everything that is missing."""
    missing = sorted(
        {package for tool, package in _PACKAGES.items() if not shutil.which(tool, path=SYSTEM_PATH)}
    )
    if missing:
        raise CannotRun(f"the lab needs {', '.join(missing)}; run: apt-get install -y {' '.join(missing)}")
    rootless = os.geteuid() != 0
    problem = _try_namespaces(rootless=rootless)
    if problem and rootless:
        raise CannotRun(
            "without root the lab needs user namespaces, and this system refuses them "
            f"({problem}); run as root{_hint()}"
        )
    if problem:
        raise CannotRun(
            f"namespaces are refused ({problem}); run on the host or in a container with CAP_SYS_ADMIN"
        )
    return rootless


def _hint() -> str:
    for setting, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "0"),
        ("kernel.unprivileged_userns_clone", "1"),
    ):
        path = Path("/proc/sys", setting.replace(".", "/"))
        if path.exists() and path.read_text().strip() != value:
            return f" or allow it: sysctl -w {setting}={value}"
    return ""


def _try_namespaces(*, rootless: bool) -> str:
    """Why a forked child could not make the namespaces of a lab; empty when it could."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            if rootless:
                syscalls.unshare(syscalls.NEW_USER)
            syscalls.unshare(syscalls.HOST_NAMESPACES)
        except OSError as error:
            code = error.errno or errno.EPERM
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.strerror(os.waitstatus_to_exitcode(status)) if status else ""


def has_ipv6() -> bool:
    return Path("/proc/sys/net/ipv6").is_dir()
