"""Wait for a run: show its progress, halt it when interrupted, and end with its result and exit code."""

from __future__ import annotations

import select
import sys
import time
from typing import Any

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.follow import Follower
from blackstart_controller.cli.interrupts import TIME_UP, Interrupted, Interrupts
from blackstart_controller.cli.output import CannotWrite, progress, write, write_json
from blackstart_controller.cli.view import View, chosen_view
from blackstart_controller.errors import BlackstartError, NotFound, Unreachable

HALT_TRIES_S = 30.0
ANSWER_POLL_S = 0.2
PROOF_S = 120.0
INTERRUPTED, UNCONFIRMED = 130, 5


def watch_to_end(client: Client, run_id: str, interrupts: Interrupts, form: str) -> int:
    """Follow the run and return its exit code. An interrupt leaves the run alone: 130."""
    view = chosen_view("Ctrl-C leaves the run alone", lambda: client.get("v1", "runs", run_id))
    try:
        with view, interrupts.allowed():
            _show_all(Follower(client, run_id, view.tell), view)
    except Interrupted:
        progress(f"not watching any more; the run goes on. To halt it: blackstart halt {run_id}")
        return INTERRUPTED
    return finish(client, run_id, form)


def follow_to_end(client: Client, run_id: str, interrupts: Interrupts, form: str) -> int:
    """Follow the run and return its exit code. An interrupt halts it (a person is asked once): 130."""
    view = chosen_view("Ctrl-C halts", lambda: client.get("v1", "runs", run_id))
    follower = Follower(client, run_id, view.tell)
    while not follower.ended:
        try:
            with view, interrupts.allowed():
                _show_all(follower, view)
        except Interrupted as signal:
            if _wants_halt(run_id, signal, interrupts):
                return _halt(client, follower, view, interrupts)
    return finish(client, run_id, form)


def finish(client: Client, run_id: str, form: str) -> int:
    """Write the result to standard output and return the run's exit code."""
    found = client.get("v1", "runs", run_id)
    result = report_of(client, run_id)
    code = BlackstartError.exit_code if found.get("exit_code") is None else int(found["exit_code"])
    try:
        _write_result(result, found, form)
    except CannotWrite as error:  # how the run ended matters more
        progress(f"blackstart: {error}; it is kept: blackstart run show {run_id}")
        code = code or error.exit_code
    progress(_last_words(found, why=form == "json" or not result))
    return code


def _write_result(result: Any, found: Any, form: str) -> None:
    if form == "json":
        write_json(result or found)
    elif result:
        from blackstart_controller.report.terminal import summary_lines

        write("\n".join(summary_lines(result)))


def _show_all(follower: Follower, view: View) -> None:
    for event in follower.to_end():
        view.show(event)


def _wants_halt(run_id: str, signal: Interrupted, interrupts: Interrupts) -> bool:
    """Whether to halt: without a person at a terminal, and on anything but Ctrl-C, always."""
    if signal.name != "SIGINT" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    try:
        with interrupts.allowed():
            return not ask(f"halt the run {run_id}? Every fault is reverted [Y/n] ").startswith(("n", "N"))
    except Interrupted:  # a second Ctrl-C is a yes, and so is the end of input
        return True


def ask(question: str) -> str:
    """The line that the person types. Short waits: a signal just before a long one would be slept over."""
    sys.stderr.write(question)
    sys.stderr.flush()
    while not select.select([sys.stdin], [], [], ANSWER_POLL_S)[0]:
        pass
    return sys.stdin.readline().strip()


def _halt(client: Client, follower: Follower, view: View, interrupts: Interrupts) -> int:
    """Halt and wait for the proof that everything is reverted: 130, or 5 when there is no proof."""
    run_id = follower.run_id
    try:
        post_halt(client, run_id, "interrupted at the command line")
        progress(f"halting {run_id}; waiting for every host's proof (interrupt again to leave without it)")
        with view, interrupts.allowed(PROOF_S):
            _show_all(follower, view)
        found = client.get("v1", "runs", run_id)
    except (Unreachable, Interrupted) as error:
        late = isinstance(error, Interrupted) and error.name == TIME_UP
        why = f"no proof within {PROOF_S:g} s" if late else error
        progress(
            f"blackstart: run {run_id}: the revert is not confirmed ({why}). "
            f"Every fault ends at its lease; look with: blackstart run show {run_id}"
        )
        return UNCONFIRMED
    progress(_last_words(found))
    return INTERRUPTED if found.get("reverted") == "confirmed" else UNCONFIRMED


def post_halt(client: Client, run_id: str, reason: str) -> None:
    """The halt is accepted. A controller that is restarting is asked again; halting twice is harmless."""
    until_s = time.monotonic() + HALT_TRIES_S
    while True:
        try:
            client.post("v1", "runs", run_id, "halt", body={"reason": reason})
        except Unreachable:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.5)
        else:
            return


def report_of(client: Client, run_id: str) -> Any:
    """The run's report.json, or None for a run that ended before there was anything to report."""
    try:
        return client.get("v1", "runs", run_id, "report.json")
    except NotFound:
        return None


def _last_words(found: Any, *, why: bool = True) -> str:
    """How it ended; `why`: with the reason, where no summary has given it."""
    reason = f" ({found['reason']})" if why and found.get("reason") else ""
    verdict, reverted = found.get("verdict") or found.get("state"), found.get("reverted") or "unknown"
    return f"run {found['id']}: {verdict}, revert {reverted}{reason}"
