from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_agent import policy
from blackstart_agent.policy import OrderFacts

FULL = """
[allow]
faults = ["network.partition", "process.*"]
modes = ["tethered"]
max_hold_s = 60
max_faults = 2
[protect]
units = ["ssh.service", "systemd-*"]
processes = ["sshd"]
ports = [22]
[probes.commands]
check-login = ["/usr/local/bin/check-login", "--quick"]
[volumes.data]
path = "/srv/data"
keep_mib = 64
"""
KILL = OrderFacts("process.kill", "tethered", 10_000)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_what_is_allowed_has_no_reason_against_it(tmp_path: Path) -> None:
    loaded = policy.load(write(tmp_path, FULL))
    assert loaded.check(KILL) == []
    assert loaded.commands == {"check-login": ("/usr/local/bin/check-login", "--quick")}
    assert loaded.ports == (22,)
    assert loaded.volumes == {"data": policy.Volume("/srv/data", 64)}


def test_every_reason_is_listed_not_only_the_first(tmp_path: Path) -> None:
    loaded = policy.load(write(tmp_path, FULL))
    reasons = loaded.check(OrderFacts("unit.stop", "sealed", 60_001, open_faults=2))
    assert len(reasons) == 4
    assert "unit.stop is not allowed" in reasons[0]
    assert "allow.max_hold_s is 60" in reasons[2]


def test_without_a_file_everything_is_refused(tmp_path: Path) -> None:
    loaded = policy.load(tmp_path / "none.toml")
    assert "this host has not opted in" in loaded.check(KILL)[0]


def test_an_empty_file_allows_nothing(tmp_path: Path) -> None:
    assert policy.load(write(tmp_path, "")).check(KILL)


@pytest.mark.parametrize(
    "text",
    [
        "[allow]\nfaults = 'process.kill'",
        "[allow]\nfaults = [1]",
        "[volumes.data]\npath = 'srv'",
        "[volumes.data]\npath = '/srv/../etc'",
        "[volumes.data]\nkeep_mib = 1",
        "[volumes.data]\npath = '/srv'\nsize = 1",
        "[allow]\nmodes = ['loose']",
        "[allow]\nmax_hold_s = 0",
        "[allow]\nmax_faults = 1.5",
        "[allow]\nfault = []",
        "[protect]\nports = [70000]",
        "[probes.commands]\nx = ['relative']",
        "[probes.commands]\nx = []",
        "[probes]\ncommand = 1",
        "allow = 1",
        "[allow",
    ],
)
def test_a_broken_file_refuses_everything_with_its_error(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    reasons = policy.load(path).check(KILL)
    assert len(reasons) == 1
    assert str(path) in reasons[0]


def test_a_file_that_others_can_write_refuses_everything(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    path.chmod(0o666)
    assert "only root can write" in policy.load(path).check(KILL)[0]


def test_a_pattern_never_matches_by_prefix_alone(tmp_path: Path) -> None:
    loaded = policy.load(write(tmp_path, '[allow]\nfaults = ["process"]'))
    assert loaded.check(KILL)


def test_the_digest_changes_with_the_file(tmp_path: Path) -> None:
    first = policy.load(write(tmp_path, FULL)).digest
    assert first != policy.load(write(tmp_path, FULL + "\n")).digest
    assert policy.load(tmp_path / "none.toml").digest
