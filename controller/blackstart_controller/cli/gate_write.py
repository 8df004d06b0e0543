"""What a gate leaves behind: files, the summary on standard output, and what GitHub Actions shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from blackstart_controller.cli.output import CannotWrite, columns, harmless, progress, write
from blackstart_controller.errors import UsageError
from blackstart_controller.gate import document as json_document
from blackstart_controller.gate import markdown
from blackstart_controller.gate.annotate import workflow_commands
from blackstart_controller.gate.cases import Status, cases_of
from blackstart_controller.gate.junit import junit
from blackstart_controller.gate.model import WORDS, Gate, worst

SUMMARY_BYTES = 1024 * 1024  # GitHub refuses a longer step summary, and shows none of it
CUT = "\n\n… cut: longer than 1 MiB\n"


@dataclass(frozen=True, slots=True)
class Outputs:
    junit: Path | None = None
    markdown: Path | None = None
    json: Path | None = None
    form: str = "text"

    def check(self) -> None:
        """Every file can be written, known before anything is broken."""
        for path in (self.junit, self.markdown, self.json):
            try:
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            except OSError as error:
                raise UsageError(f"gate: {path}: cannot be written: {error.strerror}") from error

    def write(self, gate: Gate) -> Gate:
        """Everything is written that can be; the gate, with what cannot be as its trouble."""
        writers: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
            (self.junit, lambda: junit(gate)),
            (self.markdown, lambda: _bytes(markdown.text(gate))),
            (self.json, lambda: _bytes(json_document.text(gate))),
        )
        for path, content in writers:
            if path is not None:
                gate = _tried(gate, str(path), partial(path.write_bytes, content()))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            gate = _tried(gate, "the step summary", partial(tell_github, gate, os.environ))
        text = json_document.text(gate).rstrip() if self.form == "json" else summary(gate)
        return _tried(gate, "standard output", partial(write, text))


def _tried(gate: Gate, what: str, act: Callable[[], object]) -> Gate:
    try:
        act()
    except (OSError, CannotWrite) as error:
        why = error.strerror if isinstance(error, OSError) else error
        trouble = f"gate: {what}: cannot be written: {why}"
        progress(trouble)
        code = worst((gate.trouble_code, CannotWrite.exit_code))
        return replace(gate, trouble="\n".join(filter(None, (gate.trouble, trouble))), trouble_code=code)
    return gate


def summary(gate: Gate) -> str:
    """A row per attempt, what went wrong below it, and the result in the last line."""
    rows: list[tuple[object, ...]] = []
    wrong: list[str] = []
    for gated in gate.files:
        for attempt in gated.attempts:
            rows.append(
                (gated.document.file, WORDS.get(attempt.exit_code), attempt.exit_code, attempt.run_id)
            )
            cases = cases_of(gated, attempt, fail_on_regression=gate.fail_on_regression)
            shown = [one for one in cases if one.warning or one.status in (Status.FAILED, Status.ERROR)]
            wrong += [f"{gated.document.file}:{one.position}: {one.name}: {one.text}" for one in shown]
        if not gated.attempts:
            said, *more = (gated.skipped or "not run").splitlines()
            rows.append((gated.document.file, said + (f" (and {len(more)} more)" if more else ""), "", ""))
    lines = [columns(("FILE", "RESULT", "EXIT CODE", "RUN"), rows), *([""] if wrong else []), *wrong]
    lines += [gate.trouble] if gate.trouble else []
    text = "\n".join(lines)
    last = f"gate: {WORDS[gate.exit_code]}, exit code {gate.exit_code}"
    return "\n".join([*(harmless(line) for line in text.split("\n")), "", last])


def tell_github(gate: Gate, environment: Mapping[str, str]) -> None:
    """Annotations on the documents' lines, and the step summary. Paths count from the workspace."""
    root = environment.get("GITHUB_WORKSPACE", "")
    for line in workflow_commands(_from_root(gate, root) if root else gate):
        progress(line)
    if path := environment.get("GITHUB_STEP_SUMMARY"):
        text = _bytes(markdown.text(gate))
        room = SUMMARY_BYTES - len(CUT.encode())
        if len(text) > room:
            text = text[:room].decode(errors="ignore").encode() + CUT.encode()
        with Path(path).open("ab") as file:
            file.write(text)


def _bytes(text: str) -> bytes:
    """UTF-8; what a file's name had that is none is shown, and stops no report."""
    return text.encode(errors="backslashreplace")


def _from_root(gate: Gate, root: str) -> Gate:
    files = [
        replace(one, document=replace(one.document, file=os.path.relpath(one.document.file, root)))
        for one in gate.files
    ]
    return replace(gate, files=tuple(files))
