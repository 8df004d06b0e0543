"""People leave suffixes out and use aliases; what is recorded, shown and protected is the unit itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from blackstart_agent.errors import Refused
from blackstart_agent.faults.base import Surroundings
from blackstart_agent.faults.process import ProcessKill, ProcessPause
from blackstart_agent.faults.select import Selector, protected
from blackstart_agent.faults.unit import UnitStop
from blackstart_agent.host.units_systemd import complete
from blackstart_agent.testing import FakeHost

AROUND = Surroundings(
    order_id="0c9d6c1e-6f43-4d0a-9a50-0d5e1f1f6b52", sealed=False, controller=("10.9.0.1", 8471)
)
REDIS = "redis-server.service"


def host() -> FakeHost:
    made = FakeHost()
    made.units.add(REDIS)
    made.units.aliases = {"redis": REDIS, "redis.service": REDIS}
    return made


def test_a_unit_that_is_called_by_its_alias_is_stopped_under_its_own_name() -> None:
    prepared = UnitStop(("redis", "redis.service")).prepare(host(), AROUND)
    assert prepared.undo["units"] == [REDIS]
    assert [hit.target for hit in prepared.hits] == [REDIS]


@pytest.mark.parametrize("fault", [ProcessKill(Selector(unit="redis")), ProcessPause(Selector(unit="redis"))])
def test_processes_of_an_alias_are_found_and_recorded_by_the_unit(fault: ProcessKill | ProcessPause) -> None:
    prepared = fault.prepare(host(), AROUND)
    assert prepared.undo["select"]["unit"] == REDIS  # type: ignore[call-overload,index]
    assert len(prepared.hits) == 1


@pytest.mark.parametrize("pattern", ["redis-server", "redis-server.service", "redis-*"])
def test_an_alias_does_not_get_around_protection(pattern: str) -> None:
    around = replace(AROUND, protected_units=frozenset({pattern}))
    with pytest.raises(Refused, match=f"policy.toml protects unit {REDIS}"):
        UnitStop(("redis",)).prepare(host(), around)
    with pytest.raises(Refused, match="protected unit"):
        ProcessKill(Selector(unit="redis")).prepare(host(), around)


def test_a_protected_name_without_its_suffix_protects_that_unit_alone() -> None:
    assert protected("ssh.service", ["ssh"])
    assert not protected("sshd.service", ["ssh"])


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("redis", "redis.service"),
        ("redis.service", "redis.service"),
        ("redis.v2", "redis.v2.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("ssh.socket", "ssh.socket"),
    ],
)
def test_a_name_is_completed_as_systemctl_does(name: str, full: str) -> None:
    assert complete(name) == full
