"""What a person sees of a run stays readable, however many hosts say something."""

from __future__ import annotations

from typing import Any

from blackstart_controller.cli.plain import Clock
from blackstart_controller.cli.story import Story

S = 1_000_000_000


def event(kind: str, host: str = "", at_s: float = 0.0, **data: Any) -> dict[str, Any]:
    return {"type": kind, "host": host, "at_ns": int(at_s * S), "data": data}


def told(*events: dict[str, Any]) -> list[str]:
    story, clock = Story(), Clock()
    lines = [line for one in events for line in story.lines(clock.mark(one), one)]
    return [*lines, *story.flush()]


def test_a_hundred_hosts_that_are_injected_are_one_line() -> None:
    hosts = [
        event("injected", f"h{n:03}", fault_kind="host.blackout", detail=f"{100 + n} us after T0")
        for n in range(100)
    ]
    assert told(event("t0", t0_ns=0, at="noon"), *hosts, event("state", state="holding")) == [
        "T+00:00 T0 is at noon",
        "T+00:00 100 hosts (h000, h001, h002, h003 …): host.blackout injected (100 to 199 us after its moment)",  # noqa: E501
        "T+00:00 holding: every fault is in effect",
    ]


def test_each_kind_of_fault_on_a_host_has_its_own_line() -> None:
    lines = told(
        event("injected", "a", fault_kind="unit.stop"), event("injected", "a", fault_kind="process.kill")
    )
    assert [line.strip() for line in lines] == [
        "00:00 a: unit.stop injected",
        "00:00 a: process.kill injected",
    ]


def test_a_reason_is_told_once() -> None:
    lines = told(
        event("refused", "a", reasons=["no unit x"]),
        event("refused", "b", reasons=["no unit x"]),
        event("state", state="reverting", reason="a: no unit x; b: no unit x"),
        event("disarmed", "c", fault_kind="unit.stop", detail="a: no unit x; b: no unit x"),
        event("ended", verdict="error", text="The run could not be carried out: a: no unit x; b: no unit x."),
    )
    assert [line.strip().removeprefix("00:00 ") for line in lines] == [
        "a, b refuse: no unit x",
        "reverting",
        "c: unit.stop disarmed",
        "ended: error",
    ]


def test_time_counts_down_to_t0_and_up_from_it() -> None:
    clock = Clock()
    assert clock.mark(event("state", at_s=10)) == "  00:00"
    assert clock.mark(event("state", at_s=12.9)) == "  00:02"
    assert clock.mark(event("t0", at_s=13, t0_ns=int(15.2 * S))) == "T-00:03"
    assert clock.mark(event("x", at_s=15.19)) == "T-00:01"
    assert clock.mark(event("x", at_s=15.21)) == "T+00:00"
