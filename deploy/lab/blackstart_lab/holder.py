"""The holder: process 1 of a lab. Every namespace, mount and process of the lab lives and dies with it.

It stays only while somebody wants the lab: until `up` says "commit", the end of its socket ends the lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from blackstart_lab import syscalls
from blackstart_lab.host import Ends, Machine, become_host, run_batch, write_setting
from blackstart_lab.layout import Layout, PlacedHost, PlacedSite
from blackstart_lab.network import UPLINK, router_batch, router_port, site_batch

KEEP: Final = "while :; do sleep 3600; done"
_LINE: Final = 65_536


class UpIsGone(Exception):
    """Whoever brings the lab up has died or given up."""


@dataclass(slots=True)
class Child:
    """The holder's side of a host in the making."""

    host: PlacedHost
    report: int
    go: int
    pid: int = 0
    built: bool = False
    buffer: bytes = b""


@dataclass(slots=True)
class Holder:
    """Builds the lab step by step; `up` hears of each step."""

    layout: Layout
    machine: Machine
    up: socket.socket
    children: list[Child] = field(default_factory=list)

    def run(self) -> None:
        """Return when every host runs its supervisor and is wired."""
        self._say({"event": "holder"})
        syscalls.mount("proc", "/proc", "proc")
        namespaces = self._own_mounts()
        for host in self.layout.hosts:
            self._start(host)
        self._await(lambda child: child.pid > 0 and child.built)
        latency = self._wire(namespaces)
        for child in self.children:
            os.write(child.go, b"g")
            os.close(child.go)
        self._await_exec()
        self._say({"event": "running", "latency": latency})

    def _own_mounts(self) -> Path:
        for name in ("ns", "root", "upper"):
            (self.machine.state / name).mkdir()
        namespaces = self.machine.state / "ns"
        syscalls.mount("tmpfs", namespaces, "tmpfs", 0, "mode=0700")
        return namespaces

    def _say(self, message: Mapping[str, object]) -> None:
        self.up.send(json.dumps(message).encode())

    def _start(self, host: PlacedHost) -> None:
        report, report_end = os.pipe()
        go_end, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            for child in self.children:
                os.close(child.go)
            os.close(report)
            os.close(go)
            become_host(
                self.layout,
                host,
                self.machine,
                Ends(report_end, go_end),
                lambda: self._say({"event": "host", "name": host.name}),
            )
        os.close(report_end)
        os.close(go_end)
        self.children.append(Child(host, report, go))

    def _await(self, met: Callable[[Child], bool]) -> None:
        """Read the children's reports until `met` holds for all."""
        for child in self._reports(lambda: all(met(child) for child in self.children)):
            *lines, child.buffer = child.buffer.split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "error" in message:
                    raise OSError(message["error"])
                child.pid = message.get("pid", child.pid)
                child.built = message.get("built", child.built)

    def _await_exec(self) -> None:
        """A report pipe ends when its host became sh; before that, it may still bring an error."""
        open_ends = len(self.children)

        def all_closed() -> bool:
            return open_ends == 0

        for child in self._reports(all_closed, ends_are_fine=True):
            if child.buffer:
                raise OSError(json.loads(child.buffer.split(b"\n")[0])["error"])
            open_ends -= 1

    def _reports(self, done: Callable[[], bool], *, ends_are_fine: bool = False) -> Iterator[Child]:
        with selectors.DefaultSelector() as selector:
            selector.register(self.up, selectors.EVENT_READ)
            for child in self.children:
                selector.register(child.report, selectors.EVENT_READ, child)
            while not done():
                for key, _ in selector.select():
                    if key.data is None:
                        raise UpIsGone
                    chunk = os.read(key.data.report, _LINE)
                    key.data.buffer += chunk
                    if not chunk:
                        selector.unregister(key.data.report)
                        if not ends_are_fine:
                            raise OSError(f"host {key.data.host.name}: its first process died")
                        yield key.data
                    elif not ends_are_fine:
                        yield key.data

    def _wire(self, namespaces: Path) -> str:
        """Router, bridges, cables. Return how latency is done: "none", "netem", or why it cannot be."""
        sites = {site.name: str(namespaces / f"site{site.number}") for site in self.layout.sites}
        for path in sites.values():
            _keep_network_namespace(path)
        for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            write_setting(name, "1")
        run_batch(router_batch(self.layout, sites, ipv6=self.machine.ipv6))
        pids = {child.host.name: child.pid for child in self.children}
        for site in self.layout.sites:
            batch = site_batch(self.layout, site, pids)
            _in_network_namespace(sites[site.name], lambda batch=batch: run_batch(batch))  # type: ignore[misc]
        return set_latency([site for site in self.layout.sites if site.latency_ms], sites)


def _keep_network_namespace(path: str) -> None:
    """Bind a new network namespace to `path`, where it stays without a process."""
    Path(path).touch()

    def bind() -> None:
        syscalls.unshare(syscalls.NEW_NET)
        syscalls.mount("/proc/self/ns/net", path, "", syscalls.BIND)

    _in_child(bind)


def _in_network_namespace(path: str, action: Callable[[], object]) -> None:
    def enter_and_act() -> None:
        with Path(path).open() as namespace:
            syscalls.enter(namespace.fileno(), syscalls.NEW_NET)
        action()

    _in_child(enter_and_act)


def _in_child(action: Callable[[], object]) -> None:
    """Run `action` in a forked process, so that what it unshares is its own; OSError with its words."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the words go to the parent; nothing may unwind past this fork
            os.write(write_end, str(error).encode())
            os._exit(1)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        words = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if status:
        raise OSError(words or f"a helper process ended with status {status}")


def set_latency(sites: list[PlacedSite], namespaces: Mapping[str, str]) -> str:
    """Delay each way between the sites' bridges and the router; a kernel without netem is told, not fatal."""
    if not sites:
        return "none"
    try:
        for site in sites:
            _delay(router_port(site), site.latency_ms)
            _in_network_namespace(namespaces[site.name], lambda site=site: _delay(UPLINK, site.latency_ms))  # type: ignore[misc]
    except OSError as error:
        return f"unsupported: no sch_netem ({error})"
    return "netem"


def _delay(interface: str, milliseconds: int) -> None:
    command = ["tc", "qdisc", "add", "dev", interface, "root", "netem", "delay", f"{milliseconds}ms"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())


def spawn(layout: Layout, machine: Machine, lock: int) -> tuple[int, socket.socket]:
    """Fork the holder into its own namespaces; return the pid of the fork, which ends, and our socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        ours.close()
        os.setsid()
        _enter_own_namespaces(rootless=machine.rootless)
        if os.fork():
            os._exit(0)
        _main(Holder(layout, machine, theirs), lock)
    except BaseException as error:  # noqa: BLE001 - a forked process: its words must reach `up`, nothing may unwind
        _tell(theirs, error)
    os._exit(1)


def _tell(up: socket.socket, error: BaseException) -> None:
    with contextlib.suppress(OSError):  # `up` may be gone; then nobody needs to know
        up.send(json.dumps({"event": "error", "text": str(error)}).encode())


def _enter_own_namespaces(*, rootless: bool) -> None:
    uid, gid = os.getuid(), os.getgid()
    if rootless:
        syscalls.unshare(syscalls.NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    syscalls.unshare(syscalls.HOST_NAMESPACES)
    syscalls.mount("none", "/", "", syscalls.PRIVATE | syscalls.RECURSIVE)


def _main(holder: Holder, lock: int) -> NoReturn:
    """Process 1: build, wait for the word, then become a shell that reaps; or take all away and end."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(null, target)
    os.chdir("/")
    try:
        holder.run()
        if holder.up.recv(64) == b"commit":
            os.set_inheritable(lock, True)
            os.execve("/bin/sh", ["blackstart-lab", "-c", KEEP], {"PATH": "/usr/bin:/bin"})  # noqa: S606
    except Exception as error:  # noqa: BLE001 - process 1 has no caller; its words must reach `up`
        _tell(holder.up, error)
    _leave(holder.machine.state)


def _leave(state: Path) -> NoReturn:
    """The kernel takes everything away when process 1 ends, all but the state directory."""
    with contextlib.suppress(OSError):
        syscalls.detach(state / "ns")
    shutil.rmtree(state, ignore_errors=True)
    os._exit(1)
