"""One host: a process forked by the holder that builds namespaces around itself and becomes process 1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from blackstart_lab import root, syscalls
from blackstart_lab.layout import Layout, PlacedHost, PlacedUnit
from blackstart_lab.network import host_batch, hosts_file
from blackstart_lab.units import INIT, SERVICES, Account, base_environment, finish_script, run_script

LINK_USER: Final = "blackstart"
LINK_ID: Final = 64_971
_NEVER_SHOWN: Final = ("/", "/etc", "/home", "/root", "/run", "/tmp", "/usr", "/var", "/var/tmp")  # noqa: S108


@dataclass(frozen=True, slots=True)
class Machine:
    """What the hosts take from the machine that they run on."""

    state: Path
    shown: tuple[Path, ...]
    skeleton: tuple[root.Directory, ...]
    rootless: bool
    ipv6: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """The host's side of two pipes: it reports on `report`, and waits for its network on `go`."""

    report: int
    go: int


def become_host(
    layout: Layout, host: PlacedHost, machine: Machine, ends: Ends, greet: Callable[[], None]
) -> NoReturn:
    """Fork the host's process 1 from this forked process; report its pid, then "built" or why it failed."""
    try:
        syscalls.unshare(syscalls.HOST_NAMESPACES)
        pid = os.fork()
        if pid:
            _report(ends, {"pid": pid})
            os._exit(0)
        greet()
        _build(layout, host, machine)
        _report(ends, {"built": True})
        if os.read(ends.go, 1) != b"g":
            os._exit(1)
        run_batch(host_batch(host, ipv6=machine.ipv6))
        for number in (
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGTERM,
            signal.SIGQUIT,
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):
            signal.signal(number, signal.SIG_DFL)  # what is ignored here would be ignored by every unit
        os.execve("/bin/sh", ["sh", "-c", INIT], dict(base_environment()))  # noqa: S606
    except Exception as error:  # noqa: BLE001 - this process has no caller; whatever it is must reach the person
        _report(ends, {"error": f"host {host.name}: {error}"})
    os._exit(1)


def _report(ends: Ends, message: Mapping[str, object]) -> None:
    os.write(ends.report, json.dumps(message).encode() + b"\n")


def run_batch(commands: str) -> None:
    """Give `commands` to `ip -batch` in this network namespace; OSError with ip's own words if one fails."""
    done = subprocess.run(["ip", "-batch", "-"], input=commands, capture_output=True, text=True)  # noqa: S607
    if done.returncode:
        raise OSError(f"ip -batch: {done.stderr.strip()}")


def _build(layout: Layout, host: PlacedHost, machine: Machine) -> None:
    """Everything of a host but its wires."""
    accounts = _accounts(host)
    tree, upper = machine.state / "root", machine.state / "upper"
    root.mount_root(tree, upper, rootless=machine.rootless)
    root.show(tree, machine.shown)
    root.make_directories(tree, machine.skeleton)
    syscalls.change_root(tree)
    syscalls.set_host_name(host.name)
    _write_etc(layout, host, machine)
    for file in host.files:
        root.place(file, accounts.get(file.user))
    for unit in host.units:
        _write_unit(unit, accounts.get(unit.user))
    _settings()


def _accounts(host: PlacedHost) -> dict[str, Account | None]:
    accounts: dict[str, Account | None] = {}
    for unit in host.units:
        try:
            accounts[unit.user] = root.account(unit.user)
        except KeyError:
            text = (
                f"unit {unit.name}: no user {unit.user} on this machine; install what brings it, or create it"
            )
            raise OSError(text) from None
        if accounts[unit.user] and not _mapped(accounts[unit.user]):
            text = f"unit {unit.name}: user {unit.user} needs root; without root a lab knows one user only"
            raise OSError(text)
    return accounts


def _mapped(account: Account | None) -> bool:
    maps = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return account is None or any(first <= account.uid < first + count for first, _, count in maps)


def _write_etc(layout: Layout, host: PlacedHost, machine: Machine) -> None:
    resolver = "# no name server: /etc/hosts knows every host of the lab\noptions timeout:1 attempts:1\n"
    texts = {
        "/etc/hosts": hosts_file(layout, host, ipv6=machine.ipv6),
        "/etc/hostname": f"{host.name}\n",
        "/etc/resolv.conf": resolver,
    }
    for path, text in texts.items():
        Path(path).unlink(missing_ok=True)
        Path(path).write_text(text)
    if not machine.rootless:
        _add_link_user()


def _add_link_user() -> None:
    """The agent's unprivileged half has its own user, as its package makes on a real host."""
    _add_user("/etc/passwd", f"{LINK_USER}:x:{LINK_ID}:{LINK_ID}::/nonexistent:/usr/sbin/nologin\n")
    _add_user("/etc/group", f"{LINK_USER}:x:{LINK_ID}:\n")


def _add_user(file: str, line: str) -> None:
    text = Path(file).read_text()
    if f"\n{LINK_USER}:" not in text:
        Path(file).write_text(text + line)


def _write_unit(unit: PlacedUnit, account: Account | None) -> None:
    directory = Path(SERVICES, unit.name)
    directory.mkdir(parents=True)
    scripts = {"run": run_script(unit, account), "finish": finish_script(unit)}
    for name, text in scripts.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    if unit.down:
        (directory / "down").touch()
    for parent in ("/var/lib", "/run"):
        own = Path(parent, unit.name)
        own.mkdir(exist_ok=True)
        if account is not None:
            root.give(own, account.uid, account.gid)


def _settings() -> None:
    """What a host of its own would have set; a kernel without one of them is fine."""
    for name, value in (
        ("net/ipv4/ip_unprivileged_port_start", "0"),
        ("net/ipv4/ping_group_range", "0 2147483647"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
    ):
        write_setting(name, value)


def write_setting(name: str, value: str) -> bool:
    """Set /proc/sys/`name`; False where the kernel has none or says no."""
    try:
        Path("/proc/sys", name).write_text(value)
    except OSError:
        return False
    return True


def shown_paths(lab_directory: Path) -> tuple[Path, ...]:
    """Where this Python, our code and the lab file lie: units may use them, so every host must see them."""
    here = Path(__file__).resolve()
    found = [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sys.executable).resolve().parent.parent,
        here.parents[1],
    ]
    found += [Path(entry).resolve() for entry in sys.path if entry and Path(entry).is_dir()]
    found.append(lab_directory)
    private = {*map(Path, _NEVER_SHOWN), Path.home()}
    wanted = sorted(set(found) - private, key=lambda path: len(path.parts))
    kept: list[Path] = []
    for path in wanted:
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple(kept)
