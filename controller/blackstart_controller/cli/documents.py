"""A document on the command line: a file, and `--set name=value` for its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackstart_controller.cli.output import Command
from blackstart_controller.errors import InvalidDocument

if TYPE_CHECKING:  # the documents' library is heavy, and --help does not need it
    from blackstart_controller.spec.document import Document

FILE = click.Path(dir_okay=False, path_type=Path)


def set_option(command: Command) -> Command:
    """Give a command `--set NAME=VALUE`, repeatable; it gets `parameters`, a mapping of texts."""
    return click.option(
        "--set",
        "parameters",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_parameters,
        help="Give one of the document's parameters a value; repeatable.",
    )(command)


def _parameters(_ctx: click.Context, _param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is no NAME=VALUE")
        if name in found:
            raise click.BadParameter(f"{name} is given twice; keep one")
        found[name] = value
    return found


def read_checked(name: str, parameters: Mapping[str, str]) -> Document:
    """The valid document of that name, as `found`; else InvalidDocument, and nobody was contacted."""
    from blackstart_controller.spec.load import load_experiment

    document = found(name, parameters)
    load_experiment(document)
    return document


def found(name: str, parameters: Mapping[str, str]) -> Document:
    """The unchecked document in the file `name`, or of the library when there is no such file."""
    from blackstart_controller import library
    from blackstart_controller.spec.document import Document
    from blackstart_controller.spec.errors import one_of
    from blackstart_controller.spec.load import read_document

    if Path(name).exists() or "/" in name or name.endswith((".yaml", ".yml")):
        return read_document(Path(name), parameters)
    if name not in library.NAMES:
        raise InvalidDocument(
            f"{name}:1:1: no such file, and not in the library; {one_of(library.NAMES, name)}"
        )
    return Document(library.text(name), f"{name}.yaml", parameters)


def body_of(document: Document) -> dict[str, Any]:
    """The document as the API takes it."""
    parameters = {"parameters": dict(document.parameters)} if document.parameters else {}
    return {"document": document.text, "file": document.file, **parameters}
