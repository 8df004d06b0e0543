from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from blackstart_agent.guardian.events import EventLog
from blackstart_agent.guardian.journal import Journal
from blackstart_agent.guardian.recovery import Recovered, Recovery
from blackstart_agent.host.ports import Host
from blackstart_agent.spool import Spool
from guardian_world import BROKEN, FAULTS, World, WorldHost, order_id


def nothing_left(_: Host) -> list[str]:
    return []


def recover(
    world: World, *, sweep: Callable[[Host], list[str]] = nothing_left, timeout_s: float = 0
) -> Recovered:
    recovery = Recovery(world.host, FAULTS, sweep, world.journal, EventLog(world.spool))
    return recovery.run("guardian died", timeout_s)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.inject(1, kind="test.stop")
    made.inject(2)
    made.arm(3)
    return made.crash()


def test_everything_in_the_journal_is_reverted_and_said(world: World) -> None:
    done = recover(world)
    assert set(done.reverted) == {order_id(1), order_id(2), order_id(3)}
    assert done.clean
    world.assert_clean()
    assert world.events(1)[-2:] == ["REVERTING", "REVERTED"]
    assert world.events(3) == ["ARMED", "DISARMED"]


def test_one_that_cannot_be_reverted_keeps_no_other_and_keeps_its_record(world: World) -> None:
    (first, *_) = world.journal.load().entries
    object.__setattr__(first.record, "kind", "test.newer")
    world.journal.remove(first.record.order_id)
    world.journal.open(first.record, first.progress)
    done = recover(world)
    assert list(done.stayed) == [first.record.order_id]
    assert not done.clean
    assert world.records() == {first.record.order_id}
    assert world.details("REVERT_FAILED") == [
        "this agent does not know test.newer; install the version that injected it"
    ]


def test_it_tries_again_until_its_time_is_up(world: World) -> None:
    attempts = 0

    class Mending(dict[str, Exception]):
        def __contains__(self, step: object) -> bool:
            nonlocal attempts
            attempts += step == "revert"
            return step == "revert" and attempts < 7

    world.host.broken = Mending(revert=BROKEN)
    assert recover(world, timeout_s=20).clean
    world.assert_clean()


def test_what_the_sweep_cannot_take_away_is_not_clean(world: World) -> None:
    assert recover(world, sweep=lambda _: ["table inet blackstart_x stays"]).stayed == {
        "sweep": ("table inet blackstart_x stays",)
    }


def test_a_blind_sweep_is_not_clean(world: World) -> None:
    def blind(_: Host) -> list[str]:
        raise BROKEN

    assert "cannot tell what is left" in recover(world, sweep=blind).stayed["sweep"][0]


def test_a_record_that_cannot_be_read_is_set_aside_and_swept(world: World) -> None:
    path = world.directory / "journal" / f"{order_id(2)}.json"
    path.write_bytes(b"\0" * 500)
    swept: list[str] = []

    def sweep(host: Host) -> list[str]:
        assert isinstance(host, WorldHost)
        swept.extend(host.effects)
        host.effects.clear()
        host.staged.clear()
        return []

    done = recover(world, sweep=sweep)
    assert done.quarantined == (path.name,)
    assert swept == [order_id(2)]
    world.assert_clean()


def test_a_full_disk_reverts_and_keeps_the_record_for_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append_many", full)
        assert recover(world).clean
    assert not world.host.active()
    assert len(world.records()) == 3
    assert recover(world).clean
    assert world.records() == set()


@pytest.mark.parametrize("flip", range(0, 700, 7))
def test_no_flipped_byte_of_a_record_keeps_a_fault(tmp_path: Path, flip: int) -> None:
    world = World(tmp_path)
    world.inject(1, kind="test.stop")
    path = tmp_path / "journal" / f"{order_id(1)}.json"
    data = bytearray(path.read_bytes())
    data[flip % len(data)] ^= 0x55
    path.write_bytes(data)
    assert recover(world.crash()).clean
    assert not world.host.active()
    assert Journal(tmp_path / "journal").load().entries == ()
