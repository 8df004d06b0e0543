"""policy.toml: what this host's owner allows, whoever asks. Without it nothing is allowed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from blackstart_agent import tomlfile
from blackstart_agent.errors import ConfigError

MODES = ("tethered", "sealed")
MAX_HOLD_S = 86_400
MAX_FAULTS = 1_000
MAX_KEEP_MIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Volume:
    """A mounted directory that disk faults may hit; `keep_mib` stay free whatever they do."""

    path: str
    keep_mib: int = 0


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What a policy judges. `open_faults` counts the other faults that are open on this host."""

    kind: str
    mode: str
    hold_ms: int
    open_faults: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed and protected here. `refusal` is not empty when everything is refused, and says why."""

    source: str
    refusal: str = ""
    faults: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES
    max_hold_s: int = 600
    max_faults: int = 4
    units: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    digest: str = ""

    def check(self, facts: OrderFacts) -> list[str]:
        """Every reason against the order; empty when it is allowed."""
        if self.refusal:
            return [self.refusal]
        reasons: list[str] = []
        if not any(fnmatchcase(facts.kind, pattern) for pattern in self.faults):
            allowed = ", ".join(self.faults) or "nothing"
            reasons.append(f"{facts.kind} is not allowed by {self.source}; allow.faults has {allowed}")
        if facts.mode not in self.modes:
            allowed = ", ".join(self.modes) or "nothing"
            reasons.append(f"mode {facts.mode} is not allowed by {self.source}; allow.modes has {allowed}")
        if facts.hold_ms > self.max_hold_s * 1_000:
            reasons.append(
                f"held for {facts.hold_ms / 1000:g} s is longer than {self.source} allows; "
                f"allow.max_hold_s is {self.max_hold_s}"
            )
        if facts.open_faults >= self.max_faults:
            reasons.append(
                f"{facts.open_faults} faults are open here already; "
                f"allow.max_faults is {self.max_faults} in {self.source}"
            )
        return reasons


def load(path: Path) -> Policy:
    """The policy in force now. Never raises: a missing or broken file refuses everything, and says so."""
    try:
        return parse(path)
    except ConfigError as error:
        return Policy(str(path), refusal=str(error), digest=hashlib.sha256(str(error).encode()).hexdigest())


def parse(path: Path) -> Policy:
    """The policy in the file; ConfigError says what is wrong with it."""
    data = _read(path)
    table = tomlfile.parse(path, data)
    allow, protect = table.table("allow"), table.table("protect")
    probes = table.table("probes")
    policy = Policy(
        source=str(path),
        faults=allow.texts("faults", 'a list of fault kinds or patterns such as "process.*"'),
        modes=allow.choices("modes", MODES, MODES),
        max_hold_s=allow.integer("max_hold_s", 600, 1, MAX_HOLD_S),
        max_faults=allow.integer("max_faults", 4, 1, MAX_FAULTS),
        units=protect.texts("units", 'a list of unit names or patterns such as "systemd-*"'),
        processes=protect.texts("processes", "a list of process names"),
        ports=protect.integers("ports", 1, 65_535),
        commands=_commands(probes.table("commands")),
        volumes=_volumes(table.table("volumes")),
        digest=hashlib.sha256(data).hexdigest(),
    )
    for each in (table, allow, protect, probes):
        each.done()
    return policy


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ConfigError(
            f"no policy at {path}: this host has not opted in; write one that allows what may be done here"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; every fault is refused") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
            raise ConfigError(
                f"{path}: must be a regular file that only root can write (`chown root`, `chmod go-w`); "
                "every fault is refused"
            )
        return file.read()


def _volumes(table: tomlfile.Table) -> Mapping[str, Volume]:
    volumes: dict[str, Volume] = {}
    for name in table.keys():  # noqa: SIM118 - a Table is no mapping
        each = table.table(name)
        path = each.text("path", allowed="the absolute path of a mounted directory")
        if not path.startswith("/") or ".." in path.split("/"):
            each.fail("path", f'must be the absolute path of a mounted directory, not "{path}"')
        volumes[name] = Volume(path, each.integer("keep_mib", 0, 0, MAX_KEEP_MIB))
        each.done()
    return volumes


def _commands(table: tomlfile.Table) -> Mapping[str, tuple[str, ...]]:
    commands: dict[str, tuple[str, ...]] = {}
    for name in table.keys():  # noqa: SIM118 - a Table is no mapping
        argv = table.texts(name, "a list: an absolute path of a program, then its arguments")
        if not argv or not argv[0].startswith("/"):
            table.fail(name, "must be a list: an absolute path of a program, then its arguments")
        commands[name] = argv
    return commands
