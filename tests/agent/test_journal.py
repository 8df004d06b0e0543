from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blackstart_agent.guardian.journal import Contents, Journal, Progress, Record

ID = "6f1f9f3e-7c58-4a1c-9f0c-0d6f6f1b8a11"
RECORD = Record(
    ID,
    "run",
    "process.pause",
    "tethered",
    "boot",
    {"stopped": [[12, 99, "x"]], "é": "\n"},
    ("kill -CONT 12",),
)
ARMED = Progress("armed", 5, 6)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    Journal(tmp_path).open(RECORD, ARMED)
    (entry,) = Journal(tmp_path).load().entries
    assert (entry.record, entry.progress) == (RECORD, ARMED)
    assert (tmp_path / f"{ID}.json").stat().st_mode & 0o777 == 0o600


def test_progress_is_overwritten_in_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    before = (tmp_path / f"{ID}.json").stat()
    journal.update(ID, Progress("injecting", 2**62, 2**62))
    Journal(tmp_path).update(ID, Progress("reverting", 1, 2))
    after = (tmp_path / f"{ID}.json").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert Journal(tmp_path).load().entries[0].progress == Progress("reverting", 1, 2)


def test_removing_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    journal.remove(ID)
    journal.remove(ID)
    assert journal.load().entries == ()


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "/etc/x", ID.upper(), ID + "\0", ID[:-1], ID + "\n"])
def test_only_a_uuid_is_an_order_id(tmp_path: Path, bad: str) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(ValueError):
        journal.open(Record(bad, "r", "k", "sealed", "b", {}), ARMED)
    with pytest.raises(ValueError):
        journal.remove(bad)
    assert list(tmp_path.iterdir()) == []


def test_an_order_is_recorded_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    with pytest.raises(FileExistsError):
        journal.open(RECORD, ARMED)


@pytest.mark.parametrize("flip", [0xFF, 0x01, 0x20])
def test_no_flipped_byte_loses_the_undo_record(tmp_path: Path, flip: int) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    path = tmp_path / f"{ID}.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        (entry,) = Journal(tmp_path).load().entries
        assert entry.record == RECORD
        assert entry.progress in (ARMED, Progress())


def test_a_cut_off_file_never_crashes_and_is_set_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    path = tmp_path / f"{ID}.json"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        contents = journal.load(quarantine=True)
        assert len(contents.entries) + len(contents.quarantined) == 1
        if contents.quarantined:
            assert not path.exists()
            assert (tmp_path / f"{ID}.json.bad").exists()
    assert journal.load().quarantined == ()


def test_a_record_under_another_orders_name_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(RECORD, ARMED)
    other = ID.replace("6", "7")
    (tmp_path / f"{ID}.json").rename(tmp_path / f"{other}.json")
    assert journal.load().quarantined == (f"{other}.json",)


def test_a_symbolic_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    victim = tmp_path / "victim"
    victim.write_text("x")
    (tmp_path / "j" / f"{ID}.json").symlink_to(victim)
    assert journal.load().entries == ()
    with pytest.raises(OSError):
        journal.update(ID, ARMED)
    with pytest.raises(FileExistsError):
        journal.open(RECORD, ARMED)
    assert victim.read_text() == "x"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_full_disk_at_any_step_of_opening_leaves_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    journal = Journal(tmp_path)
    real_open = os.open

    def fail(*_args: object, **_named: object) -> int:
        raise OSError(28, "No space left on device")

    def open_fails_for_new(path: str, flags: int, *args: int, **named: int) -> int:
        return fail() if flags & os.O_CREAT else real_open(path, flags, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, open_fails_for_new if call == "open" else fail)
        with pytest.raises(OSError):
            journal.open(RECORD, ARMED)
    assert list(tmp_path.iterdir()) == []
    journal.open(RECORD, ARMED)


def test_one_process_holds_the_lock_until_it_ends(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from blackstart_agent.guardian.journal import Journal\n"
        "j = Journal(Path(sys.argv[1])); assert j.lock('first'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        journal = Journal(tmp_path)
        assert not journal.lock("second", timeout_s=0.05)
        assert journal.owner() == "first"
        child.kill()
        assert journal.lock("second", timeout_s=10)
        assert journal.owner() == "second"


def test_the_lock_is_free_after_close(tmp_path: Path) -> None:
    with Journal(tmp_path) as first:
        assert first.lock("a")
    with Journal(tmp_path) as second:
        assert second.lock("b")


def mirrored(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "disk", tmp_path / "memory")


@pytest.mark.parametrize("damage", ["lost", "overwritten", "cut"])
def test_a_record_whose_file_is_gone_is_read_from_its_copy_until_it_is_removed(
    tmp_path: Path, damage: str
) -> None:
    mirrored(tmp_path).open(RECORD, ARMED)
    path = tmp_path / "disk" / f"{ID}.json"
    path.unlink()
    if damage != "lost":
        path.write_bytes(b"" if damage == "cut" else b"\xff" * 4096)
    journal = mirrored(tmp_path)
    (entry,) = journal.load(quarantine=True).entries
    assert (entry.record, entry.progress) == (RECORD, Progress())
    journal.remove(ID)
    assert mirrored(tmp_path).load() == Contents()


def test_what_has_ended_is_not_read_from_a_copy(tmp_path: Path) -> None:
    journal = mirrored(tmp_path)
    journal.open(RECORD, ARMED)
    assert len(journal.load().entries) == 1
    journal.remove(ID)
    assert journal.load() == Contents()
    (tmp_path / "memory" / f"{ID}.json").write_bytes(b"damaged")
    assert journal.load(quarantine=True) == Contents()


def test_without_room_for_copies_the_journal_works(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file in its place")
    journal = mirrored(tmp_path)
    journal.open(RECORD, ARMED)
    assert [entry.record for entry in journal.load().entries] == [RECORD]
    journal.remove(ID)
    assert journal.load() == Contents()
