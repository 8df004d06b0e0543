"""`run show` and `run list` say what a person asks of a run, while it lives and after."""

from __future__ import annotations

from typing import Any

from blackstart_controller.cli.shown import list_text, show_text

RUN: dict[str, Any] = {
    "id": "6f1c0e9e-0000-4000-8000-000000000001",
    "experiment": "dark",
    "state": "holding",
    "trigger": "schedule:nightly",
    "plan_hash": "ab12cd34",
    "created": "2026-11-23T12:00:00Z",
}
ORDER = {"id": "o-1", "host": "m1", "kind": "host.blackout", "state": "injected", "at_s": 2, "hold_s": 30}
FAULT = {"host": "m1", "kind": "host.blackout", "order": "o-1", "first_s": 0.01, "last_s": 0.1, "end_s": 30.0}


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_living_run_shows_orders_services_and_stop_conditions() -> None:
    live = {
        "orders": [ORDER, ORDER | {"host": "m2", "state": "armed", "gone": True}],
        "services": {"news": False},
        "stops": [{"name": "errors", "reading": "0.01", "tripped": False}],
    }
    found = rows(show_text(RUN | {"live": live}, None))
    assert ["m1", "host.blackout", "injected", "T0+2s", "for", "30s", "o-1"] in found
    assert ["m2", "host.blackout", "reverted", "T0+2s", "for", "30s", "o-1"] in found
    assert ["news", "down"] in found
    assert ["errors", "ok", "0.01"] in found
    assert ["started", "by", "schedule:nightly"] in found
    assert ["plan", "ab12cd34"] in found


def test_a_run_that_has_ended_shows_the_same_from_its_report() -> None:
    ended = RUN | {"state": "ended", "reverted": "unconfirmed", "halted_by": "ops", "exit_code": 0}
    report = {
        "injection": {
            "faults": [FAULT, FAULT | {"host": "m2", "end_s": None}, FAULT | {"host": "m3", "last_s": None}]
        },
        "services": [{"name": "news", "outcome": "came back"}],
        "undo": [{"host": "m2", "commands": ["nft delete table x"]}],
    }
    text = show_text(ended, report)
    found = rows(text)
    assert ["m1", "host.blackout", "reverted", "T0+0.0s", "to", "T0+30.0s", "o-1"] in found
    assert ["m2", "host.blackout", "unconfirmed", "-", "o-1"] in found
    assert any(row[:4] == ["m3", "host.blackout", "not", "injected"] for row in found)
    assert ["news", "came", "back"] in found
    assert ["halted", "by", "ops"] in found
    assert ["exit", "code", "0"] in found
    assert text.endswith("REVERT NOT CONFIRMED. Undo by hand:\n  m2: nft delete table x")


def test_what_a_host_says_cannot_move_the_cursor() -> None:
    text = show_text(RUN | {"reason": "\x1b[2Jgone", "live": {"orders": [ORDER | {"host": "\rroot"}]}}, None)
    assert "\x1b" not in text
    assert "\r" not in text


def test_a_narrow_list_keeps_run_and_state() -> None:
    runs = [RUN | {"verdict": "pass", "reverted": "confirmed"}]
    assert rows(list_text(runs, width=200))[0] == [
        "RUN",
        "EXPERIMENT",
        "TRIGGER",
        "STATE",
        "VERDICT",
        "REVERTED",
        "CREATED",
    ]
    assert rows(list_text(runs, width=70))[0] == ["RUN", "STATE", "VERDICT", "REVERTED"]
    assert rows(list_text(runs, width=10)) == [["RUN", "STATE"], [RUN["id"], "holding"]]
