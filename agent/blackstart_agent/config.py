"""agent.toml: who this host is, where its controller is and where it keeps its state."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blackstart_agent import files, tomlfile
from blackstart_agent.errors import ConfigError

DEFAULT_PATH = Path("/etc/blackstart/agent.toml")
PATH_VARIABLE = "BLACKSTART_AGENT_CONFIG"
DEFAULT_STATE = Path("/var/lib/blackstart-agent")
DEFAULT_RUNTIME = Path("/run/blackstart-agent")
DEFAULT_POLICY = Path("/etc/blackstart/policy.toml")
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
RESERVED_LABELS = ("host", "site")
NAME_ALLOWED = "1 to 63 letters, digits, dots, dashes and underscores, a letter or digit at both ends"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Checked settings. `controller` is (host, port) of the agents' gRPC port.

    `runtime_dir` is in memory (a tmpfs) and takes a copy of every record of the journal; None: no copies.
    """

    name: str
    controller: tuple[str, int]
    state_dir: Path = DEFAULT_STATE
    runtime_dir: Path | None = None
    policy: Path = DEFAULT_POLICY
    supervisor: str = "systemd"
    link_user: str = "blackstart"
    site: str = ""
    stream_grace_ms: int = 1_000
    labels: Mapping[str, str] = field(default_factory=dict)
    path: Path = DEFAULT_PATH

    @property
    def guardian_dir(self) -> Path:
        return self.state_dir / "guardian"

    @property
    def journal_dir(self) -> Path:
        return self.guardian_dir / "journal"

    @property
    def mirror_dir(self) -> Path | None:
        return None if self.runtime_dir is None else self.runtime_dir / "journal"

    @property
    def events_dir(self) -> Path:
        return self.guardian_dir / "events"

    @property
    def link_dir(self) -> Path:
        return self.state_dir / "link"

    @property
    def samples_dir(self) -> Path:
        return self.link_dir / "samples"


def config_path(given: str | None = None) -> Path:
    """Where agent.toml is: what was given, else the environment, else the default."""
    return Path(given or os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load(path: Path) -> AgentConfig:
    """The settings in the file; ConfigError names the file, the key and what is allowed."""
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file; run `blackstart-agent enroll`, "
            f"or name another with --config or {PATH_VARIABLE}"
        )
    table = tomlfile.load(path)
    state_dir = _path(table, "state_dir", DEFAULT_STATE)
    config = AgentConfig(
        name=_matching(table, "name", NAME, NAME_ALLOWED),
        controller=_address(table, "controller"),
        state_dir=state_dir,
        runtime_dir=_runtime(table, state_dir),
        policy=_path(table, "policy", DEFAULT_POLICY),
        supervisor=_supervisor(table),
        link_user=table.text("link_user", "blackstart"),
        site=_matching(table, "site", LABEL_VALUE, NAME_ALLOWED, ""),
        stream_grace_ms=table.integer("stream_grace_ms", 1_000, 0, 60_000),
        labels=_labels(table.table("labels")),
        path=path.absolute(),
    )
    table.done()
    return config


def render(config: AgentConfig) -> str:
    """The text of an agent.toml that loads as `config`."""
    host, port = config.controller
    values: dict[str, str | int] = {
        "name": config.name,
        "controller": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "state_dir": str(config.state_dir),
        **({} if config.runtime_dir is None else {"runtime_dir": str(config.runtime_dir)}),
        "policy": str(config.policy),
        "supervisor": config.supervisor,
        "link_user": config.link_user,
        "site": config.site,
        "stream_grace_ms": config.stream_grace_ms,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    lines.append("[labels]")
    lines += [f"{_toml(key)} = {_toml(value)}" for key, value in sorted(config.labels.items())]
    return "\n".join(lines) + "\n"


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of `host:port` or `[v6]:port`; ValueError otherwise."""
    host, separator, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    bare_v6 = ":" in host and not address.startswith("[")
    if (
        not separator
        or not host
        or bare_v6
        or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)
    ):
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def user_ids(name: str) -> tuple[int, int, list[int]] | None:
    """uid, gid and further groups of the link's user; None for "" (it keeps the guardian's)."""
    if not name:
        return None
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(
            f"link_user: no user {name!r} on this host; create it (`useradd --system {name}`) or set another"
        ) from None
    return user.pw_uid, user.pw_gid, [group.gr_gid for group in grp.getgrall() if name in group.gr_mem]


def make_state(config: AgentConfig) -> None:
    """The state directories exist: guardian/ 0700 and ours, link/ 0700 and the link user's."""
    ids = user_ids(config.link_user)
    owner = None if ids is None else (ids[0], ids[1])
    for path, mode, theirs in (
        (config.state_dir, 0o755, None),
        (config.guardian_dir, 0o700, None),
        (config.link_dir, 0o700, owner),
    ):
        if not _is_right(path, mode, theirs):  # a sandboxed guardian may not open what is the link user's
            os.close(files.open_directory(path, mode=mode, owner=theirs))


def _is_right(path: Path, mode: int, owner: tuple[int, int] | None) -> bool:
    """Whether `path` is a directory, no link, with this mode and owner already."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    mine = owner is None or (found.st_uid, found.st_gid) == owner
    return stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == mode and mine


def _matching(
    table: tomlfile.Table, key: str, pattern: re.Pattern[str], allowed: str, default: str | None = None
) -> str:
    value = table.text(key, default, allowed=allowed)
    if not pattern.fullmatch(value):
        table.fail(key, f"must be {allowed}, not {value!r}")
    return value


def _address(table: tomlfile.Table, key: str) -> tuple[str, int]:
    allowed = 'host:port of the agents\' port, such as "10.0.0.1:8471"'
    try:
        return split_address(table.text(key, allowed=allowed))
    except ValueError:
        table.fail(key, f"must be {allowed}, not {table.text(key)!r}")


def _path(table: tomlfile.Table, key: str, default: Path) -> Path:
    value = Path(table.text(key, str(default), allowed="an absolute path"))
    if not value.is_absolute():
        table.fail(key, f"must be an absolute path, not {str(value)!r}")
    return value


def _runtime(table: tomlfile.Table, state_dir: Path) -> Path | None:
    """Two agents must not share one: only the usual state directory has the usual one beside it."""
    default = DEFAULT_RUNTIME if state_dir == DEFAULT_STATE else None
    if not table.text("runtime_dir", str(default or "")):
        return None
    return _path(table, "runtime_dir", DEFAULT_RUNTIME)


def _supervisor(table: tomlfile.Table) -> str:
    value = table.text("supervisor", "systemd")
    if value != "systemd" and not value.startswith("runit:/"):
        table.fail("supervisor", f'must be "systemd" or "runit:/DIRECTORY", not {value!r}')
    return value


def _labels(table: tomlfile.Table) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for key in table.keys():  # noqa: SIM118 - a Table is no mapping
        if not LABEL_KEY.fullmatch(key) or key in RESERVED_LABELS:
            table.fail(key, f"a label's name must be {NAME_ALLOWED}, and not {' or '.join(RESERVED_LABELS)}")
        labels[key] = _matching(table, key, LABEL_VALUE, f"empty or {NAME_ALLOWED}", "")
    return labels


def _toml(value: str | int) -> str:
    return json.dumps(value)  # a TOML basic string is a JSON string; names above have no control characters
