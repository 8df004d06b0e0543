"""Real kernel, own namespaces. Everything here needs root, and touches nothing outside what it made."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.rig import Rig, rig, wait_until

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]
    why = "needs root" if os.geteuid() else f"needs {', '.join(missing)}" if missing else ""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def services(tmp_path: Path) -> Path:
    """A directory of runit services, still empty. Start `runsvdir` on it inside the victim."""
    directory = tmp_path / "service"
    directory.mkdir()
    return directory


@pytest.fixture
def supervised(services: Path) -> Iterator[Rig]:
    """A rig whose victim keeps units: `web` (TCP 7100, forks), `db` (TCP 7150, ignores SIGTERM) and `ssh`."""
    if shutil.which("runsvdir") is None:
        pytest.skip("needs the package runit")
    for name, program in UNITS.items():
        _service(services, name, program)
    (services / ".hidden").mkdir()
    with rig(f"runit:{services}") as made:
        made.victim.ask("spawn", ["runsvdir", str(services)])
        wait_until(lambda: _all_up(made, services), "every unit runs")
        yield made


UNITS = {
    "web": """
        import os, socket, time
        listening = socket.create_server(("0.0.0.0", 7100))
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:  # an orphan: its parent ends at once
                time.sleep(600)
            os._exit(0)
        os.wait()
        while True:
            listening.accept()[0].close()
    """,
    "db": """
        import signal, socket
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        listening = socket.create_server(("0.0.0.0", 7150))
        print("ready", flush=True)
        kept = []
        while True:
            kept.append(listening.accept()[0])
    """,
    "ssh": "import time; time.sleep(600)",
}


def _service(services: Path, name: str, program: str) -> None:
    directory = services / name
    directory.mkdir()
    (directory / "main.py").write_text(textwrap.dedent(program), encoding="utf-8")
    run = directory / "run"
    command = (
        f"BLACKSTART_UNIT={name} exec {sys.executable} -S {directory / 'main.py'} >>{directory}/log 2>&1"
    )
    run.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    run.chmod(0o755)


def _all_up(made: Rig, services: Path) -> bool:
    """The orphan of `web` is born after its socket; `db` says it when it ignores signals and listens."""
    expected = {"web": 2, "db": 1, "ssh": 1}
    said = services / "db" / "log"
    if not said.exists() or "ready" not in said.read_text(encoding="utf-8"):
        return False
    return {unit["name"]: len(unit["pids"]) for unit in made.victim.ask("units")} == expected


@pytest.fixture
def control_group() -> Iterator[Path]:
    """An empty control group of our own, below that of the tests, in the first hierarchy that lets us."""
    made = next((group for group in _possible_groups() if _made(group)), None)
    if made is None:
        pytest.skip("no hierarchy of control groups is writable here")
    yield made
    for pid in (made / "cgroup.procs").read_text(encoding="ascii").split():
        (made.parent / "cgroup.procs").write_text(pid, encoding="ascii")
    wait_until(lambda: _removed(made), "it is gone")


def _possible_groups() -> Iterator[Path]:
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", f"/sys/fs/cgroup/{controllers}"):
            parent = Path(root) / path.lstrip("/")
            if controllers != "cpuset" and (parent / "cgroup.procs").exists():  # a new cpuset has no cpus
                yield parent / f"blackstart-test-{os.getpid()}"


def _made(group: Path) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    return True


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def net() -> Iterator[Rig]:
    with rig() as made:
        yield made
