"""The gate against a controller that the test scripts: attempts, order, time-outs, where it looks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blackstart_controller.cli.client import StreamEvent
from blackstart_controller.cli.context import of_environment
from blackstart_controller.cli.gate_run import Stage, Wishes
from blackstart_controller.cli.gate_stage import Place
from blackstart_controller.cli.gate_write import SUMMARY_BYTES, tell_github
from blackstart_controller.cli.interrupts import TIME_UP, Interrupted, Interrupts
from blackstart_controller.cli.root import run
from blackstart_controller.errors import NoTargets, Refused, Unreachable, UsageError
from blackstart_controller.gate.model import Attempt, Gate, Gated
from blackstart_controller.spec.document import Document
from fakecontroller import RUN, TOKEN, Fake, fake_controller

EXPERIMENT = """\
experiment: dark
steps:
  - {fault: host.blackout, on: "role=db", for: 10s}
"""
VERDICTS = {0: "pass", 1: "fail", 3: "not_steady", 4: "halted", 6: "error"}


class Controller:
    """Runs end at once, one after the other, with the codes that the test gives; an error is raised."""

    def __init__(self, *ends: int | Exception) -> None:
        self.ends = list(ends)
        self.runs: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []

    def post(self, *parts: str, body: Any, key: str = "") -> Any:
        assert parts[:2] == ("v1", "runs")
        self.bodies.append(body)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        number = len(self.runs)
        made = {"id": f"run-{number}", "exit_code": end, "verdict": VERDICTS[end], "reverted": "confirmed"}
        self.runs.append({**made, "plan_hash": "ab", "created": f"2026-11-23T12:00:{number:02}Z"})
        return self.runs[-1]

    def get(self, *parts: str) -> Any:
        match parts:
            case (_, "runs"):
                return {"runs": self.runs}
            case (_, "runs", name):
                return next(one for one in self.runs if one["id"] == name)
            case (_, "runs", name, "report.json"):
                one = next(one for one in self.runs if one["id"] == name)
                service = {"name": "web", "outcome": "came back"}
                recovery = {"seconds": 1.1, "low": 1.0, "high": 1.2, "censored": False}
                return {"verdict": one["verdict"], "services": [{**service, "recovery": recovery}]}
        raise AssertionError(parts)

    def events(self, _run: str, *, after: str) -> Iterator[StreamEvent]:
        yield StreamEvent("end", after, None)


def walked(controller: Controller, *names: str, **wishes: Any) -> tuple[Gated, ...]:
    files = [Gated(Document(EXPERIMENT, name, {"site": "x"}), "dark") for name in names or ("a.yaml",)]
    with Interrupts() as interrupts:
        return Stage(controller, interrupts, Wishes(**wishes)).walk(files)  # type: ignore[arg-type]


def codes(gated: Gated) -> list[int]:
    return [attempt.exit_code for attempt in gated.attempts]


def test_a_run_of_the_gate_says_so_and_carries_its_parameters() -> None:
    controller = Controller(0)
    walked(controller)
    assert controller.bodies[0]["trigger"] == "gate"
    assert controller.bodies[0]["parameters"] == {"site": "x"}


@pytest.mark.parametrize(
    ("ends", "seen", "worst"),
    [
        ((1, 0), [1, 0], 1),
        ((1, 1, 0), [1, 1, 0], 1),
        ((3, 0), [3, 0], 3),
        ((0,), [0], 0),
        ((4,), [4], 4),  # somebody said stop
        ((Refused("the lever is engaged"),), [7], 7),  # would only be refused again
        ((NoTargets("nobody"), 0), [6, 0], 6),
    ],
)
def test_only_what_may_end_otherwise_is_tried_again_and_every_attempt_counts(
    ends: tuple[Any, ...], seen: list[int], worst: int
) -> None:
    (gated,) = walked(Controller(*ends), retries=2)
    assert (codes(gated), gated.exit_code) == (seen, worst)


def test_a_failed_file_does_not_keep_the_next_from_running_unless_that_was_asked_for() -> None:
    assert [codes(one) for one in walked(Controller(1, 0), "a.yaml", "b.yaml")] == [[1], [0]]
    first, second = walked(Controller(1), "a.yaml", "b.yaml", fail_fast=True)
    assert (codes(first), codes(second)) == ([1], [])
    assert second.skipped == "not run: a.yaml ended with exit code 1"


def test_after_a_halt_nothing_more_begins() -> None:
    assert [codes(one) for one in walked(Controller(4), "a.yaml", "b.yaml", "c.yaml")] == [[4], [], []]


def test_no_target_may_be_skipped() -> None:
    (gated,) = walked(Controller(NoTargets("nobody")), skip_no_targets=True)
    assert (gated.exit_code, gated.skipped) == (0, "no target matched: nobody")


def test_a_start_whose_answer_was_lost_is_asked_for_again_and_acts_once() -> None:
    (gated,) = walked(Controller(Unreachable("no answer"), 0))
    assert codes(gated) == [0]


def test_a_run_is_compared_with_the_earlier_passed_runs_alone_and_never_with_itself() -> None:
    controller = Controller(*[0] * 6, 1, 0)
    files = walked(controller, *[f"{number}.yaml" for number in range(8)])
    counts = [one.attempts[0].comparisons[0].runs for one in files]
    assert counts == [0, 1, 2, 3, 4, 5, 6, 6]
    assert [
        one.attempts[0].comparisons[0].runs for one in walked(Controller(*[0] * 4), *"abcd", baseline=2)
    ] == [
        0,
        1,
        2,
        2,
    ]


# ---- over a real connection ----


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    (tmp_path / "dark.yaml").write_text(EXPERIMENT)
    with fake_controller(tmp_path) as found:
        yield found


def gate(fake: Fake, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and gate.json."""
    out = fake.context.with_name("out.json")
    file = str(fake.context.with_name("dark.yaml"))
    code = run(["--context", str(fake.context), "gate", file, "--json", str(out), *words])
    return code, json.loads(out.read_text())


def test_a_time_out_halts_though_the_controller_keeps_saying_that_it_is_there(fake: Fake) -> None:
    code, told = gate(fake, "--timeout", "1500ms")
    assert (code, told["files"][0]["attempts"][0]["reason"]) == (4, "no end within 1.5 s (--timeout)")
    assert [path for path, _body, _key in fake.script.posts if path.endswith("/halt")] == [
        f"/v1/runs/{RUN}/halt"
    ]


def test_a_token_that_is_not_known_is_7_with_every_report_written(fake: Fake) -> None:
    fake.script.error = (401, "unauthorised", "unknown token")
    code, told = gate(fake)
    assert (code, told["exit_code"]) == (7, 7)


def test_a_report_that_cannot_be_written_is_told_before_anything_is_run(fake: Fake) -> None:
    (fake.context.with_name("file")).touch()
    code = run(["--context", str(fake.context), "gate", "dark.yaml", "--junit", f"{fake.context}/out.xml"])
    assert (code, fake.script.posts) == (2, [])


def test_a_report_that_no_longer_can_be_written_keeps_the_others_and_is_trouble(fake: Fake) -> None:
    fake.script.end("pass", 0)
    code, told = gate(fake, "--junit", "/dev/full")
    assert (code, told["files"][0]["exit_code"]) == (6, 0)


def test_one_invalid_document_keeps_all_from_running(fake: Fake) -> None:
    wrong = fake.context.with_name("wrong.yaml")
    wrong.write_text("experiment: [")
    code, told = gate(fake, str(wrong))
    assert (code, fake.script.posts) == (2, [])
    assert [one["result"] for one in told["files"]] == ["not run", "invalid"]


def test_the_environment_names_a_controller_with_the_authority_as_text_or_file(fake: Fake) -> None:
    for authority in (fake.ca_pem, str(fake.context.with_name("ca.pem"))):
        fake.context.with_name("ca.pem").write_text(fake.ca_pem)
        names = {
            "BLACKSTART_URL": f"{fake.url}/",
            "BLACKSTART_TOKEN": f"{TOKEN}.pin",
            "BLACKSTART_CA": authority,
        }
        context = of_environment(names)
        assert (context.url, context.token, context.ca_pem) == (fake.url, TOKEN, fake.ca_pem)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"BLACKSTART_URL": "http://x"}, "must be https://HOST:PORT"),
        ({"BLACKSTART_URL": "https://x"}, "BLACKSTART_TOKEN must hold an operator's token"),
        (
            {"BLACKSTART_URL": "https://x", "BLACKSTART_TOKEN": "t", "BLACKSTART_CA": "/no"},
            "BLACKSTART_CA: /no",
        ),
    ],
)
def test_an_environment_that_is_wrong_says_which_variable(names: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        of_environment(names)


@pytest.mark.parametrize(
    ("lab", "local", "policy"),
    [(Path("lab"), True, Path("policy")), (None, True, None), (None, False, Path("policy"))],
)
def test_places_that_do_not_go_together_are_usage_errors(lab: Any, local: bool, policy: Any) -> None:
    with pytest.raises(UsageError):
        Place.chosen(lab, local=local, policy=policy, context=None)


def test_time_that_is_up_interrupts_once_and_not_after_the_block() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted, match=TIME_UP), interrupts.allowed(0.01):
            while True:
                pass
        with interrupts.allowed(60):
            pass
        with interrupts.allowed():
            pass


def test_a_step_summary_stays_below_what_github_takes(tmp_path: Path) -> None:
    attempt = Attempt(1, 6, reason="é" * SUMMARY_BYTES)
    path = tmp_path / "summary.md"
    tell_github(Gate((Gated(Document("", "a"), "a", (attempt,)),)), {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.stat().st_size <= SUMMARY_BYTES
    assert path.read_text().endswith("longer than 1 MiB\n")
