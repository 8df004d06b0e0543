"""What works on this host: what was looked at, what was found, and the next step where it is not well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blackstart_agent import config as agent_config
from blackstart_agent import policy as agent_policy
from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import AgentError, ConfigError


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    detail: str


def findings(path: Path) -> Iterator[Finding]:
    """One after the other; nothing is changed."""
    yield _root()
    try:
        config = agent_config.load(path)
    except ConfigError as error:
        yield Finding("agent.toml", False, str(error))
        return
    yield Finding("agent.toml", True, f"{path}: host {config.name}, controller {_address(config)}")
    yield _policy(config)
    yield _user(config)
    yield _identity(config)
    yield from _faults(config)
    yield from _open(config)


def _root() -> Finding:
    root = os.geteuid() == 0
    return Finding("privileges", root, "root" if root else "not root; run it as root")


def _address(config: AgentConfig) -> str:
    return "{}:{}".format(*config.controller)


def _policy(config: AgentConfig) -> Finding:
    try:
        found = agent_policy.parse(config.policy)
    except ConfigError as error:
        return Finding("policy.toml", False, str(error))
    allowed = ", ".join(found.faults) or "nothing; list fault kinds under [allow] faults"
    return Finding("policy.toml", bool(found.faults), f"allows {allowed}")


def _user(config: AgentConfig) -> Finding:
    try:
        agent_config.user_ids(config.link_user)
    except ConfigError as error:
        return Finding("link user", False, str(error))
    return Finding("link user", True, config.link_user or "keeps the guardian's user")


def _identity(config: AgentConfig) -> Finding:
    missing = [name for name in ("key.pem", "cert.pem", "ca.pem") if not (config.link_dir / name).exists()]
    if missing:
        return Finding("identity", False, f"no {', '.join(missing)} in {config.link_dir}; run `enroll`")
    return Finding("identity", True, str(config.link_dir))


def _faults(config: AgentConfig) -> Iterator[Finding]:
    from blackstart_agent.faults import capabilities
    from blackstart_agent.host import LinuxHost

    try:
        kinds, unsupported = capabilities(LinuxHost(config.supervisor))
    except AgentError as error:
        yield Finding("faults", False, str(error))
        return
    for kind in kinds:
        yield Finding(kind, True, "works here")
    for kind, why in unsupported.items():
        yield Finding(kind, False, why)


def _open(config: AgentConfig) -> Iterator[Finding]:
    from blackstart_agent.offline import open_faults

    if not config.journal_dir.is_dir():
        return
    count = len(open_faults(config))
    detail = (
        f"{count} open; `blackstart-agent status` lists them, `blackstart-agent revert --all` ends them"
        if count
        else "none"
    )
    yield Finding("open faults", not count, detail)
