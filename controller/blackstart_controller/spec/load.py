"""The door for experiments: text or a file in, a checked `Experiment` out."""

from __future__ import annotations

from pathlib import Path

from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.checks import check_experiment
from blackstart_controller.spec.errors import validate
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.yaml_source import MAX_BYTES, read_yaml


def load_experiment(text: str, file: str) -> Experiment:
    """Return the experiment that `text` describes, or raise InvalidDocument, whose lines name `file`."""
    return validate(Experiment, read_yaml(text, file), check_experiment)


def load_file(path: Path) -> Experiment:
    """Return the experiment in the file at `path`, or raise InvalidDocument."""
    return load_experiment(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return a document's text without ever holding more than the limit, or raise InvalidDocument."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidDocument(f"{path}:1:1: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise InvalidDocument(f"{path}:1:1: a document may have at most {MAX_BYTES} bytes; split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"not UTF-8 text: {error.reason}; save it as UTF-8"
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        raise InvalidDocument(f"{path}:{line}:{column}: {why}") from error
