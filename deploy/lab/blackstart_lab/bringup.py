"""One `up`, from an empty state directory to a lab that is left alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from blackstart_lab import root
from blackstart_lab.blackstart import enrol, with_blackstart
from blackstart_lab.errors import LabError
from blackstart_lab.holder import spawn
from blackstart_lab.host import Machine, shown_paths
from blackstart_lab.layout import Layout, PlacedHost
from blackstart_lab.process import Process
from blackstart_lab.ready import Progress, await_ready, watch_units
from blackstart_lab.requirements import has_ipv6
from blackstart_lab.state import HostState, LabState, SiteState, StateDirectory

_CREDENTIALS = struct.Struct("3i")
_GONE_S = 30.0


@dataclass(slots=True)
class Heard:
    """What the holder has told so far, in our own process ids."""

    holder: Process | None = None
    hosts: dict[str, Process] = field(default_factory=dict)
    latency: str = "none"


def bring_up(
    layout: Layout, file: Path, directory: StateDirectory, lock: int, *, rootless: bool, progress: Progress
) -> LabState:
    """Build the lab and let go of it; on any error nothing is left of it. `lock` is closed in the end."""
    layout = with_blackstart(layout)
    machine = Machine(directory.path, shown_paths(file.parent), root.skeleton(), rootless, has_ipv6())
    with contextlib.ExitStack() as undo:
        undo.callback(directory.remove)
        pid, up = spawn(layout, machine, lock)
        undo.callback(_await_end, directory)
        undo.callback(up.close)
        undo.callback(os.close, lock)
        os.waitpid(pid, 0)
        heard = _listen(up, directory)
        progress(f"{len(layout.hosts)} hosts in {len(layout.sites)} sites are wired")
        _start(layout, heard, progress, rootless=rootless)
        state = _describe(layout, file, heard, rootless=rootless)
        directory.write(state)
        up.send(b"commit")
        _await_commit(up)
        undo.pop_all()
        up.close()
        os.close(lock)
    return state


def _await_end(directory: StateDirectory) -> None:
    """The end of our socket is the end of the holder, and that is the end of everything in the lab."""
    holder = directory.holder()
    if holder is not None:
        holder.kill(wait_s=_GONE_S)
    directory.wait_released(wait_s=_GONE_S)


def _await_commit(up: socket.socket) -> None:
    """The holder becomes a shell and drops its end; an answer instead says why it could not."""
    for message, _ in _messages(up):
        raise LabError(str(message.get("text", message)))


def _listen(up: socket.socket, directory: StateDirectory) -> Heard:
    heard = Heard()
    for message, sender in _messages(up):
        match message["event"]:
            case "holder":
                heard.holder = Process.of(sender)
                directory.write_holder(heard.holder)
            case "host":
                heard.hosts[str(message["name"])] = Process.of(sender)
            case "running":
                heard.latency = str(message["latency"])
                return heard
            case _:
                raise LabError(str(message["text"]))
    raise LabError("the lab was taken down while it came up")


def _messages(up: socket.socket) -> Iterator[tuple[dict[str, object], int]]:
    """Every message with the pid of its sender as this process knows it: the kernel translates it."""
    while True:
        data, ancillary, _, _ = up.recvmsg(65_536, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            return
        pid = next(
            (_CREDENTIALS.unpack(raw)[0] for _, kind, raw in ancillary if kind == socket.SCM_CREDENTIALS), 0
        )
        yield json.loads(data), pid


def _start(layout: Layout, heard: Heard, progress: Progress, *, rootless: bool) -> None:
    """Controller first, then agents, which need it; services come up meanwhile."""
    enrol(layout, heard.hosts, progress, rootless=rootless)
    await_ready(list(watch_units(layout.hosts, heard.hosts, rootless=rootless)), progress)


def _describe(layout: Layout, file: Path, heard: Heard, *, rootless: bool) -> LabState:
    if heard.holder is None:
        raise LabError("the lab's holder never spoke; run `blackstart lab up` again")
    sites = {
        site.name: SiteState(
            site.name,
            str(site.subnet4),
            str(site.subnet6),
            site.latency_ms,
            heard.latency if site.latency_ms else "none",
        )
        for site in layout.sites
    }
    hosts = {host.name: _host(host, heard.hosts[host.name]) for host in layout.hosts}
    started = datetime.now(UTC).isoformat(timespec="seconds")
    holder = heard.holder
    return LabState(layout.name, str(file), started, rootless, holder.pid, holder.start_ticks, sites, hosts)


def _host(host: PlacedHost, process: Process) -> HostState:
    state = HostState(
        host.name, host.site.name, host.address4, host.address6, process.pid, process.start_ticks,
        dict(host.labels), host.controller,
    )  # fmt: skip
    return replace(state, agent="up" if host.agent else "none")
