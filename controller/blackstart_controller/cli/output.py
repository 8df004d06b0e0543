"""How commands speak: data on standard output, progress on standard error, `-o json` for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from blackstart_controller.errors import BlackstartError

Json = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


class CannotWrite(BlackstartError):
    """Standard output or a file of the person's does not take what was to be written."""

    code = "cannot_write"


def output_option(command: Command) -> Command:
    """Give a command `-o text|json`."""
    return click.option(
        "-o",
        "--output-format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Form of the output.",
    )(command)


def write(text: str) -> None:
    """Write `text` and a newline to standard output; a reader that has gone is no error, a full disk is."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)  # else Python tries once more at its end, and exits with a code of its own
        if not isinstance(error, BrokenPipeError):
            raise CannotWrite(f"standard output cannot be written: {error.strerror}") from error


def write_json(document: object) -> None:
    write(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def progress(text: str) -> None:
    """Write one line to standard error; nobody listening is no reason to stop a run."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def harmless(text: object) -> str:
    """`text` with its control characters shown, not obeyed: no name or reason moves a terminal's cursor."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text in left-aligned columns, two spaces apart, without trailing blanks."""
    table = [
        tuple(header),
        *(tuple("-" if cell in (None, "") else str(cell) for cell in row) for row in rows),
    ]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def labels_text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key not in ("host", "site"))
