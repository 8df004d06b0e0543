"""The live view stays readable: every state is a word, in 40 columns, with 200 hosts, in every phase."""

from __future__ import annotations

from typing import Any

import pytest
from blackstart_controller.cli.board import named, picture
from blackstart_controller.cli.known import Known
from rich.cells import cell_len

S = 1_000_000_000


def event(kind: str, at_s: float, host: str = "", order: str = "", **data: Any) -> dict[str, Any]:
    return {
        "run_id": "r-1",
        "type": kind,
        "host": host,
        "order_id": order,
        "at_ns": int(at_s * S),
        "data": data,
    }


def order(
    host: str, state: str, *, at_s: float = 0.0, hold_s: float = 30.0, path: str = "", **more: Any
) -> Any:
    return {"id": f"{host}/{path}", "host": host, "kind": "host.blackout", "state": state, "gone": False} | {
        "at_s": at_s,
        "hold_s": hold_s,
        "path": path,
        **more,
    }


def live(*orders: Any, **more: Any) -> dict[str, Any]:
    return {"id": "r-1", "live": {"orders": list(orders), "hold_s": 30.0, **more}}


def holding(now_s: float) -> Known:
    """A run at `now_s` after T0, which this process's own clock calls 0."""
    known = Known()
    known.heard(event("t0", 95.0, t0_ns=100 * S), 0.0)
    known.heard(event("state", 100.0 + now_s, state="holding"), 0.0)
    return known


def seen(known: Known, mono_s: float = 0.0, width: int = 80, height: int = 20) -> list[str]:
    return [line.plain for line in picture(known, mono_s, "* T+00:12", width, height)]


def test_a_hold_counts_down_and_says_what_is_left_of_the_lease() -> None:
    known = holding(12.0)
    known.polled(live(order("m1", "injected", lease_left_s=9.6), order("m2", "injected")), 0.0)
    lines = seen(known)
    assert lines[0] == "* T+00:12 holding · ends in 00:18 · lease 10 s"
    assert "host.blackout  2/2 injected  ends in 00:18" in lines
    assert seen(known, 5.0)[0].startswith("* T+00:12 holding · ends in 00:13")


def test_before_t0_the_time_to_it_counts_down() -> None:
    known = holding(-2.0)
    known.heard(event("state", 98.0, state="injecting"), 0.0)
    assert seen(known)[0] == "* T+00:12 injecting · T0 in 00:02"


def test_each_host_is_named_under_its_state() -> None:
    known = holding(1.0)
    for host in ("m1", "m2", "m3"):
        known.heard(event("armed", 99.0, host, f"o-{host}", fault_kind="unit.stop"), 0.0)
    known.heard(event("injected", 100.0, "m2", "o-m2", fault_kind="unit.stop"), 0.0)
    lines = seen(known)
    assert "injected  1 host: m2" in lines
    assert "armed     2 hosts: m1 m3" in lines
    assert "unit.stop  1/3 injected" in lines


@pytest.mark.parametrize("width", [40, 80, 200])
def test_two_hundred_hosts_fit_any_terminal(width: int) -> None:
    known = holding(1.0)
    hosts = [f"host-{n:03}.example" for n in range(200)]
    known.polled(
        live(*(order(host, "injected") for host in hosts[:150]), *(order(h, "armed") for h in hosts[150:])), 0
    )
    lines = seen(known, width=width, height=10)
    assert len(lines) <= 10
    assert all(cell_len(line) <= width for line in lines)
    shown = next(line for line in lines if line.startswith("injected  150 hosts"))
    assert width == 40 or int(shown.rpartition("+")[2]) + shown.count(".example") == 150


def test_steps_to_come_count_down_and_those_that_ended_come_last() -> None:
    known = holding(12.0)
    known.polled(
        live(
            order("a", "reverted", at_s=0.0, hold_s=5.0, path="steps[0]", gone=True),
            order("a", "injected", at_s=10.0, hold_s=5.0, path="steps[1]"),
            order("b", "planned", at_s=20.0, hold_s=5.0, path="steps[2]", gone=True),
        ),
        0.0,
    )
    assert [line for line in seen(known) if line.startswith("host.blackout")] == [
        "host.blackout  1/1 injected  ends in 00:03",
        "host.blackout  1/1 waiting  begins in 00:08",
        "host.blackout  1/1 reverted",
    ]


def test_many_steps_are_counted() -> None:
    known = holding(12.0)
    known.polled(live(*(order("a", "planned", at_s=20.0 + n, path=f"steps[{n}]") for n in range(30))), 0.0)
    assert "+25 more faults: 25 to come, 0 ended" in seen(known)


def test_halting_says_how_many_hosts_have_reverted_and_who_halted() -> None:
    known = holding(12.0)
    known.polled(live(*(order(host, "injected") for host in "abc")), 0.0)
    known.heard(event("halt", 112.0, by="ops", reason="enough"), 0.0)
    known.heard(event("state", 112.0, state="halting"), 0.0)
    known.heard(event("reverted", 113.0, "b", "b/", fault_kind="host.blackout"), 0.0)
    lines = seen(known)
    assert "1 of 3 hosts reverted" in lines
    assert "halted by ops: enough" in lines


def test_a_service_that_is_down_says_since_when() -> None:
    known = holding(12.0)
    known.heard(event("service_up", 95.0, service="news"), 0.0)
    known.heard(event("service_down", 102.0, service="messenger"), 0.0)
    lines = seen(known)
    assert "down      messenger 00:10" in lines
    assert "up        news" in lines


def test_stop_conditions_and_the_next_checkpoint_are_shown() -> None:
    known = holding(12.0)
    stops = [{"name": "errors", "reading": "0.01", "tripped": False}, {"name": "freeze", "tripped": True}]
    checkpoints = [{"at_s": 5.0, "steady_s": 5.0}, {"at_s": 42.0, "steady_s": 5.0}]
    known.polled(live(order("a", "injected"), stops=stops, checkpoints=checkpoints), 0.0)
    lines = seen(known)
    assert "stop if errors: ok (0.01)" in lines
    assert "stop if freeze: tripped" in lines
    assert "checkpoint in 00:30: steady for 5 s" in lines


def test_waiting_for_approval_says_who_must_do_what() -> None:
    known = Known()
    known.heard(event("state", 1.0, state="awaiting_approval"), 0.0)
    assert seen(known)[1:] == [
        "somebody else must agree, with the role approver:",
        "  blackstart run approve r-1",
    ]


def test_news_that_comes_late_takes_nothing_back() -> None:
    known = holding(12.0)
    known.polled(live(order("a", "injected")), 0.0)
    known.heard(event("armed", 99.0, "a", "a/", fault_kind="host.blackout"), 0.0)
    assert known.hosts() == {"a": "injected"}


def test_a_watcher_who_comes_late_sees_the_time_of_now() -> None:
    known = holding(1.0)
    known.polled(live(order("a", "injected"), now_s=25.0), 0.0)
    assert seen(known)[0].startswith("* T+00:12 holding · ends in 00:05")


def test_a_name_cannot_move_the_cursor() -> None:
    known = holding(1.0)
    known.heard(event("service_down", 101.0, service="x\x1b[2Jy"), 0.0)
    assert not any("\x1b" in line for line in seen(known))


def test_names_are_cut_between_names_only() -> None:
    assert named(["alpha", "beta", "gamma"], 16) == "alpha beta gamma"
    assert named(["alpha", "beta", "gamma"], 15) == "alpha beta +1"
    assert named(["alpha", "beta", "gamma"], 3) == ""
