"""What a running lab looks like, and the directory that remembers it, locked for as long as the lab lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from blackstart_lab.errors import CannotRun, LabError
from blackstart_lab.process import Process

_ROOT: Final = Path("/run/blackstart-lab")
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class UnitState:
    """`state`: run, down or finish; `since_s`: for how long; `exits`: how often it has ended so far."""

    name: str
    state: str
    pid: int
    since_s: float
    wanted: str
    exits: int


@dataclass(frozen=True, slots=True)
class SiteState:
    """`latency`: none, netem, or why the wanted latency could not be set."""

    name: str
    subnet4: str
    subnet6: str
    latency_ms: int
    latency: str


@dataclass(frozen=True, slots=True)
class HostState:
    """`pid` is the host's process 1, seen from outside; `state`: up or dark; `agent`: none, up or down."""

    name: str
    site: str
    address4: str
    address6: str
    pid: int
    start_ticks: int
    labels: Mapping[str, str] = field(default_factory=dict)
    controller: bool = False
    state: str = "up"
    agent: str = "none"
    units: Mapping[str, UnitState] = field(default_factory=dict)

    @property
    def process(self) -> Process:
        return Process(self.pid, self.start_ticks)


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab as it is now. `holder_pid`: the process whose death is the end of the lab."""

    name: str
    file: str
    started: str
    rootless: bool
    holder_pid: int
    holder_start_ticks: int
    sites: Mapping[str, SiteState]
    hosts: Mapping[str, HostState]

    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def decode(document: Mapping[str, Any]) -> LabState:
    """The reverse of `LabState.document`."""
    values = dict(document)
    values["sites"] = {name: SiteState(**site) for name, site in document["sites"].items()}
    hosts = {}
    for name, host in document["hosts"].items():
        units = {unit: UnitState(**fields) for unit, fields in host["units"].items()}
        hosts[name] = HostState(**{**host, "units": units})
    return LabState(**{**values, "hosts": hosts})


def states_root() -> Path:
    """Where this user's labs keep their state."""
    if os.geteuid() == 0:
        return _ROOT
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "blackstart-lab") if runtime else Path(f"/tmp/blackstart-lab-{os.getuid()}")  # noqa: S108


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """One lab's directory: `lock`, `holder.json` as soon as there is a holder, `lab.json` when it is up."""

    path: Path

    @classmethod
    def of(cls, name: str) -> StateDirectory:
        return cls(states_root() / name)

    def take(self, *, wait_s: float = 0.5) -> int | None:
        """A descriptor that holds the lab's lock in a fresh, empty directory; None while another has it."""
        deadline = time.monotonic() + wait_s
        while True:
            self._make()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            if _try_lock(lock) and self._is_ours(lock):
                self._empty()
                return lock
            os.close(lock)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_S)

    def _make(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.path.parent.lstat()
        if status.st_uid != os.geteuid():
            raise CannotRun(
                f"{self.path.parent} belongs to user {status.st_uid}; remove it, or set XDG_RUNTIME_DIR"
            )
        self.path.mkdir(mode=0o700, exist_ok=True)

    def _is_ours(self, lock: int) -> bool:
        """False when a dying lab removed the file between our open and our lock."""
        try:
            return os.path.samestat(os.fstat(lock), (self.path / "lock").stat())
        except FileNotFoundError:
            return False

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()

    def held(self) -> bool:
        """Whether a lab of this name lives or is just coming up."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def wait_released(self, *, wait_s: float) -> bool:
        """Whether the lock was free within `wait_s`."""
        deadline = time.monotonic() + wait_s
        while self.held():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def remove(self) -> None:
        """The directory is gone, and that of all labs too when it was the last."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # other labs are in it
            self.path.parent.rmdir()

    def write_holder(self, holder: Process) -> None:
        self._write("holder.json", asdict(holder))

    def holder(self) -> Process | None:
        """The lab's holder, as soon as it is known."""
        try:
            return Process(**json.loads((self.path / "holder.json").read_text()))
        except FileNotFoundError:
            return None

    def write_keeper(self, keeper: Process) -> None:
        """Remember for whom the lab is there; when that process has gone, it is nobody's."""
        self._write("keeper.json", asdict(keeper))

    def keeper(self) -> Process | None:
        try:
            return Process(**json.loads((self.path / "keeper.json").read_text()))
        except FileNotFoundError:
            return None

    def write(self, state: LabState) -> None:
        self._write("lab.json", state.document())

    def read(self) -> LabState | None:
        """What `up` wrote; None while it has not come so far."""
        try:
            return decode(json.loads((self.path / "lab.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{self.path}/lab.json is of another version: {error!r}; `down` and `up` again"
            ) from error

    def _write(self, name: str, document: Mapping[str, object]) -> None:
        new = self.path / f".{name}"
        new.write_text(json.dumps(document))
        new.rename(self.path / name)


def all_directories() -> Iterator[StateDirectory]:
    """Every lab of this user, living or left behind by a crash."""
    root = states_root()
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        yield StateDirectory(path)


def _try_lock(lock: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
