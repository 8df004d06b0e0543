"""disk.fill on a small file system in memory, mounted where only the victim sees it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import Order, Rig, VictimError, wait_until

MIB = 1 << 20
SIZE_MIB = 64


@pytest.fixture
def volume(net: Rig, tmp_path: Path) -> Path:
    """An empty tmpfs of 64 MiB, in the victim's own mount namespace; it goes with it."""
    mount = ("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,nr_inodes=5000", "none", str(tmp_path))
    pid = net.victim.ask("spawn", list(mount))
    wait_until(lambda: net.victim.ask("state", pid) == "", "mounted")
    assert free(net, tmp_path) == SIZE_MIB * MIB
    return tmp_path


def free(net: Rig, path: Path) -> int:
    return int(net.victim.ask("free", str(path)))


def arm(net: Rig, path: Path, keep_mib: int = 0, own: str = "", **amount: Any) -> Order:
    fault = pb.Fault(kind="disk.fill", disk_fill=pb.DiskFill(volume="data", **amount))
    around: dict[str, Any] = {"volumes": {"data": [str(path), keep_mib]}, "own_paths": [own] if own else []}
    return net.victim.arm(fault, **around)


def inject(net: Rig, path: Path, keep_mib: int = 0, **amount: Any) -> Order:
    order = arm(net, path, keep_mib, **amount)
    assert order.step("unproved") and free(net, path) == SIZE_MIB * MIB, "ready, without effect"
    order.fire(60_000)
    order.step("finish")
    assert order.step("unproved") == []
    return order


def test_a_full_volume_has_no_room_and_all_of_it_after_the_revert(net: Rig, volume: Path) -> None:
    order = inject(net, volume, percent=100)
    assert free(net, volume) == 0
    assert list(volume.iterdir()) == [], "the file has no name"
    order.revert()
    order.revert()
    assert free(net, volume) == SIZE_MIB * MIB


@pytest.mark.parametrize(("amount", "left_mib"), [({"bytes": 16 * MIB}, 48), ({"percent": 75}, 16)])
def test_so_much_is_taken_as_was_asked(net: Rig, volume: Path, amount: dict[str, int], left_mib: int) -> None:
    order = inject(net, volume, **amount)
    assert abs(free(net, volume) - left_mib * MIB) <= MIB
    order.revert()


def test_the_floor_of_a_volume_stays_free(net: Rig, volume: Path) -> None:
    order = inject(net, volume, keep_mib=8, percent=100)
    assert 8 * MIB <= free(net, volume) <= 9 * MIB
    order.revert()


def test_the_room_is_back_when_the_guardian_is_killed(net: Rig, volume: Path) -> None:
    inject(net, volume, percent=100)
    worker = net.victim.worker_pid()
    root = Path(f"/proc/{net.victim.keeper.pid}/root") / volume.relative_to("/")
    seen = os.open(root, os.O_PATH)
    try:
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: os.statvfs(seen).f_bavail * os.statvfs(seen).f_frsize > 60 * MIB, "room again")
    finally:
        os.close(seen)


def test_the_room_is_back_at_the_lease_with_the_guardian_frozen(net: Rig, volume: Path) -> None:
    order = inject(net, volume, percent=100)
    order.renew(500)
    os.kill(net.victim.worker_pid(), signal.SIGSTOP)
    root = Path(f"/proc/{net.victim.worker_pid()}/root") / volume.relative_to("/")
    try:
        wait_until(lambda: os.statvfs(root).f_bavail > 0, "room again")
    finally:
        os.kill(net.victim.worker_pid(), signal.SIGCONT)
    order.revert()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"bytes": 1 << 40}, "are more than the 64 MiB free but for 0 MiB"),
        ({"percent": 90, "keep_mib": 64}, "there is nothing to take"),
        ({"percent": 90, "own": "there"}, "the agent keeps its journal on the same file system"),
    ],
)
def test_what_cannot_or_must_not_be_filled_is_refused_with_the_reason(
    net: Rig, volume: Path, how: dict[str, Any], why: str
) -> None:
    own = {"own": str(volume)} if "own" in how else {}
    with pytest.raises(VictimError, match=why):
        arm(net, volume, **{**how, **own})


def test_a_volume_that_is_not_declared_is_refused_with_those_that_are(net: Rig, volume: Path) -> None:
    fault = pb.Fault(kind="disk.fill", disk_fill=pb.DiskFill(volume="logs", percent=90))
    with pytest.raises(VictimError, match="declares no volume logs; it has data"):
        net.victim.arm(fault, volumes={"data": [str(volume), 0]})


def inodes_free(path: Path, net: Rig) -> int:
    root = f"/proc/{net.victim.worker_pid()}/root"
    return os.statvfs(root + str(path)).f_favail


def test_so_many_files_less_can_be_made(net: Rig, volume: Path) -> None:
    before = inodes_free(volume, net)
    wanted = before - 100
    order = arm(net, volume, inodes=wanted)
    assert order.step("unproved") and before - inodes_free(volume, net) <= 1
    order.fire(60_000)
    order.step("finish")
    assert order.step("unproved") == [] and before - inodes_free(volume, net) >= wanted
    order.revert()
    assert inodes_free(volume, net) == before
    with pytest.raises(VictimError, match=r"\d+ are more than the \d+ free inodes but for 64"):
        arm(net, volume, inodes=before)


def test_writers_write_and_are_gone_with_their_files(net: Rig, volume: Path) -> None:
    fault = pb.ResourcesIo(volume="data", workers=3, bytes=8 * MIB)
    order = net.victim.arm(
        pb.Fault(kind="resources.io", resources_io=fault), volumes={"data": [str(volume), 0]}
    )
    order.fire(60_000)
    order.step("finish")
    assert order.step("unproved") == []
    wait_until(lambda: net.victim.ask("status", order.id)["bytes"] > 50 * MIB, "each file over and over")
    assert free(net, volume) >= (SIZE_MIB - 24) * MIB - MIB
    order.revert()
    assert free(net, volume) == SIZE_MIB * MIB
    too_much = pb.ResourcesIo(volume="data", workers=9, bytes=8 * MIB)
    with pytest.raises(VictimError, match="72 MiB are more than the 64 MiB free but for 0 MiB"):
        net.victim.prepare(
            pb.Fault(kind="resources.io", resources_io=too_much), volumes={"data": [str(volume), 0]}
        )
