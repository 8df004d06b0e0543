"""The files of a gate, one after the other: each is started, followed to its end, and compared."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.documents import body_of
from blackstart_controller.cli.follow import Follower
from blackstart_controller.cli.interrupts import TIME_UP, Interrupted, Interrupts
from blackstart_controller.cli.output import progress
from blackstart_controller.cli.plain import PlainView
from blackstart_controller.cli.wait import PROOF_S, post_halt, report_of
from blackstart_controller.errors import BlackstartError, NoTargets, NotFound, Refused, Unreachable
from blackstart_controller.gate.history import compare
from blackstart_controller.gate.model import (
    HALTED,
    INTERRUPTED,
    LAST,
    MISSED,
    PASSED,
    RETRIED,
    UNCONFIRMED,
    Attempt,
    Gated,
    Json,
)

START_TRIES_S = 30.0
LOCAL_KINDS = ("process.", "unit.")
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a gate is to be walked. `margin` is 0.2 for 20 %; `timeout_s` is for each run, None: no limit."""

    retries: int = 0
    baseline: int = 10
    margin: float = 0.2
    timeout_s: float | None = None
    fail_fast: bool = False
    skip_no_targets: bool = False
    local: bool = False  # this very host is the target: nothing that would cut the job off


@dataclass(frozen=True, slots=True)
class Stage:
    """Runs files against one controller. A signal halts the run under way, and nothing begins after it."""

    client: Client
    interrupts: Interrupts
    wishes: Wishes

    def walk(self, files: Sequence[Gated]) -> tuple[Gated, ...]:
        """Every file with its attempts; after an end that says stop, the rest has none and says why."""
        done: list[Gated] = []
        for gated in files:
            why = self._why_not(done)
            done.append(replace(gated, skipped=why) if why else self._all_attempts(gated))
        return tuple(done)

    def _why_not(self, done: Sequence[Gated]) -> str:
        for before in done:
            if before.exit_code in LAST or (self.wishes.fail_fast and before.exit_code != PASSED):
                return f"not run: {before.document.file} ended with exit code {before.exit_code}"
        return ""

    def _all_attempts(self, gated: Gated) -> Gated:
        attempts: list[Attempt] = []
        for number in range(1, self.wishes.retries + 2):
            try:
                attempt = self._attempt(gated, number)
            except NoTargets as error:
                if self.wishes.skip_no_targets:
                    return replace(gated, skipped=f"no target matched: {error}")
                attempt = _not_started(number, error)
            except BlackstartError as error:
                attempt = _not_started(number, error)
            attempts.append(self._compared(attempt))
            progress(f"gate: {gated.document.file}: attempt {number}: exit code {attempt.exit_code}")
            if attempt.exit_code not in RETRIED:
                break
        return replace(gated, attempts=tuple(attempts))

    def _attempt(self, gated: Gated, number: int) -> Attempt:
        try:
            with self.interrupts.allowed():
                pass  # a signal that came between two runs: none begins
        except Interrupted as signal:
            return Attempt(number, INTERRUPTED, reason=f"interrupted by {signal.name}; nothing was started")
        body = body_of(gated.document)
        if self.wishes.local:
            self._check_local(body)
        run_id = self._start({**body, "trigger": "gate"})
        progress(f"gate: {gated.document.file}: run {run_id}")
        return self._follow(run_id, number)

    def _start(self, body: Body) -> str:
        """The id of the one run that was started, also when the answer was lost on its way."""
        key, until_s = str(uuid.uuid4()), time.monotonic() + START_TRIES_S
        while True:
            try:
                return str(self.client.post("v1", "runs", body=body, key=key)["id"])
            except Unreachable:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.5)

    def _check_local(self, body: Body) -> None:
        """Refused when the plan would cut the network of the job's own host, or its units all at once."""
        orders = self.client.post("v1", "plans", body=body)["plan"]["orders"]
        kinds = sorted({str(order["fault"]["kind"]) for order in orders})
        wrong = [kind for kind in kinds if not kind.startswith(LOCAL_KINDS)]
        if wrong:
            raise Refused(
                f"--local: {', '.join(wrong)} would cut this job off from its own controller and CI system; "
                "only process.* and unit.* faults are allowed here, for the rest use --lab FILE"
            )

    def _follow(self, run_id: str, number: int) -> Attempt:
        view = PlainView()
        follower = Follower(self.client, run_id, view.tell)
        try:
            with view, self.interrupts.allowed(self.wishes.timeout_s):
                _show(follower, view)
        except Interrupted as signal:
            if signal.name == TIME_UP:
                why = f"no end within {self.wishes.timeout_s:g} s (--timeout)"
                return self._halted(follower, view, number, HALTED, why)
            return self._halted(follower, view, number, INTERRUPTED, f"interrupted by {signal.name}")
        run = self.client.get("v1", "runs", run_id)
        return Attempt(number, int(run["exit_code"]), run, report_of(self.client, run_id))

    def _halted(self, follower: Follower, view: PlainView, number: int, code: int, why: str) -> Attempt:
        """Halted, and waited for the proof that every fault is gone; without it the code is 5."""
        run_id = follower.run_id
        run: Json = {"id": run_id}
        report = None
        try:
            post_halt(self.client, run_id, f"gate: {why}")
            progress(f"gate: {why}: halting {run_id}; interrupt again to leave without every host's proof")
            with view, self.interrupts.allowed(PROOF_S):
                _show(follower, view)
            run = self.client.get("v1", "runs", run_id)
            report = report_of(self.client, run_id)
        except (Unreachable, Interrupted) as error:
            why = f"{why}; no proof of the revert ({error}); look with: blackstart run show {run_id}"
        confirmed = run.get("reverted") == "confirmed"
        return Attempt(number, code if confirmed else UNCONFIRMED, run, report, why)

    # ---- compared with before ----

    def _compared(self, attempt: Attempt) -> Attempt:
        if attempt.exit_code not in (PASSED, MISSED) or not (attempt.run and attempt.report):
            return attempt
        earlier = list(self._earlier(attempt.run))
        return replace(attempt, comparisons=compare(attempt.report, earlier, margin=self.wishes.margin))

    def _earlier(self, run: Json) -> Iterator[Json]:
        """The reports of the newest passed runs of the same plan that were there before this one."""
        listed = self.client.get("v1", "runs")["runs"]
        same = [one for one in listed if one.get("plan_hash") == run.get("plan_hash")]
        passed = [one for one in same if one.get("verdict") == "pass" and one["created"] < run["created"]]
        newest = sorted(passed, key=lambda one: str(one["created"]), reverse=True)
        for one in newest[: self.wishes.baseline]:
            try:
                yield self.client.get("v1", "runs", str(one["id"]), "report.json")
            except NotFound:  # its report was removed meanwhile
                continue


def _show(follower: Follower, view: PlainView) -> None:
    for event in follower.to_end():
        view.show(event)


def _not_started(number: int, error: BlackstartError) -> Attempt:
    progress(f"gate: {error}")
    return Attempt(number, error.exit_code, reason=str(error))
