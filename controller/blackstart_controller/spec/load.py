"""The door for experiments: text or a file in, a checked `Experiment` out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.checks import check_experiment
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.errors import validate
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.parameters import fill_in
from blackstart_controller.spec.yaml_source import MAX_BYTES, read_yaml


def load_experiment(document: Document) -> Experiment:
    """Return the experiment that the document describes, its parameters filled in, or raise InvalidDocument.

    `parameters` of the experiment have the values that were used as their defaults.
    """
    source = read_yaml(document.text, document.file)
    return validate(Experiment, fill_in(source, document.parameters), check_experiment)


def read_document(path: Path, parameters: Mapping[str, str] | None = None) -> Document:
    """Return what the file at `path` says, unchecked, or raise InvalidDocument when it is no text."""
    return Document(read_text(path), str(path), parameters or {})


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
