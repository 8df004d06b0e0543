from __future__ import annotations

import os
from pathlib import Path

import pytest
from blackstart_agent import files
from blackstart_agent.spool import Spool, SpoolFull
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def payloads(spool: Spool, after: int = 0) -> list[tuple[int, bytes]]:
    return [(record.seq, record.payload) for record in spool.pending(after)]


def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    assert [spool.append(b"a"), spool.append(b"b")] == [1, 2]
    assert list(spool.append_many([b"c", b"d"])) == [3, 4]
    spool.close()
    again = Spool(tmp_path / "s")
    assert again.id == spool.id
    assert payloads(again) == [(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d")]
    assert again.append(b"e") == 5
    assert payloads(again, 3) == [(4, b"d"), (5, b"e")]


def test_acknowledged_records_never_come_back_and_numbers_are_never_used_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", segment_bytes=64)
    spool.append_many([b"x" * 40] * 10)
    spool.ack(10)
    spool.close()
    again = Spool(tmp_path / "s", segment_bytes=64)
    assert payloads(again) == []
    assert again.append(b"y") == 11
    assert again.dropped == 0


def test_acknowledging_deletes_whole_segments(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", segment_bytes=64)
    for _ in range(10):
        spool.append(b"x" * 50)
    spool.ack(9)
    assert len(list((tmp_path / "s").glob("*.seg"))) <= 2
    assert [record.seq for record in spool.pending()] == [10]


def test_an_acknowledgement_from_the_future_forgets_nothing_yet_unwritten(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append(b"a")
    spool.ack(1_000)
    assert spool.append(b"b") == 2
    assert payloads(spool) == [(2, b"b")]


def test_events_are_never_dropped_but_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", max_bytes=200)
    spool.append(b"x" * 100)
    with pytest.raises(SpoolFull):
        spool.append(b"x" * 100)
    assert [record.seq for record in spool.pending()] == [1]
    spool.ack(1)


def test_samples_make_room_by_dropping_the_oldest_and_count_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", max_bytes=1000, segment_bytes=100, drop_oldest=True)
    for _ in range(50):
        spool.append(b"x" * 84)
    held = [record.seq for record in spool.pending()]
    assert held[-1] == 50
    assert held == list(range(held[0], 51))
    assert spool.dropped == 50 - len(held)
    spool.close()
    assert Spool(tmp_path / "s", max_bytes=1000, drop_oldest=True).dropped == 50 - len(held)


def test_following_the_tail_sees_each_record_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", segment_bytes=100)
    seen = 0
    for number in range(1, 60):
        spool.append(b"x" * (number % 7))
        records = spool.pending(seen, limit=1)
        assert [record.seq for record in records] == [number]
        seen = number
    assert len(spool.pending(0)) == 59


@pytest.mark.parametrize("cut", range(1, 21))
def test_a_torn_tail_is_cut_off_and_its_number_given_again(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path / "s")
    spool.append_many([b"first", b"second"])
    spool.close()
    (segment,) = (tmp_path / "s").glob("*.seg")
    os.truncate(segment, segment.stat().st_size - cut)
    again = Spool(tmp_path / "s")
    assert payloads(again) == [(1, b"first")]
    assert again.append(b"third") == 2


def test_a_flipped_byte_loses_at_most_its_own_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append_many([b"one", b"two", b"three"])
    spool.close()
    (segment,) = (tmp_path / "s").glob("*.seg")
    whole = segment.read_bytes()
    for at in range(len(whole)):
        segment.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        again = Spool(tmp_path / "s")
        read = payloads(again)
        again.close()
        assert len(read) == 2
        assert set(read) < {(1, b"one"), (2, b"two"), (3, b"three")}


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "s")
    spool.append(b"a")

    def full(handle: int, data: bytes) -> None:
        os.write(handle, bytes(data[:5]))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", full)
        with pytest.raises(OSError):
            spool.append(b"b")
    assert spool.append(b"c") == 2
    spool.close()
    assert payloads(Spool(tmp_path / "s")) == [(1, b"a"), (2, b"c")]


def test_an_unreadable_id_begins_a_new_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append(b"a")
    spool.close()
    (tmp_path / "s" / "id").write_text("nonsense")
    again = Spool(tmp_path / "s")
    assert again.id != spool.id
    assert payloads(again) == []
    assert again.append(b"b") == 1


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "there")
    with pytest.raises(OSError):
        Spool(tmp_path / "s")


STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.binary(max_size=40), min_size=1, max_size=5)),
    st.tuples(st.just("ack"), st.integers(0, 60)),
    st.tuples(st.just("restart"), st.none()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30))
def test_whatever_happens_unacknowledged_records_are_all_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    directory = tmp_path_factory.mktemp("spool") / "s"
    spool, model, acked, last = Spool(directory, segment_bytes=80), dict[int, bytes](), 0, 0
    for step, argument in steps:
        if step == "append":
            assert isinstance(argument, list)
            for seq, payload in zip(spool.append_many(argument), argument, strict=True):
                assert seq == last + 1
                model[seq], last = payload, seq
        elif step == "ack":
            assert isinstance(argument, int)
            spool.ack(argument)
            acked = max(acked, min(argument, last))
        else:
            spool.close()
            spool = Spool(directory, segment_bytes=80)
        assert payloads(spool) == [(seq, model[seq]) for seq in range(acked + 1, last + 1)]
        assert spool.dropped == 0
    spool.close()
