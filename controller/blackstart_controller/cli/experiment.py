"""`blackstart experiment …`: documents alone, no controller needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackstart_controller.cli.documents import FILE, found, set_option
from blackstart_controller.cli.output import columns, output_option, write, write_json
from blackstart_controller.errors import InvalidDocument, NotFound, UsageError

if TYPE_CHECKING:  # heavy: only the commands that read documents load it
    from blackstart_controller.spec.experiment import Experiment


@click.group()
def experiment() -> None:
    """Experiment documents, and a library of ready ones."""


@experiment.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@set_option
@output_option
def validate(files: tuple[Path, ...], parameters: dict[str, str], form: str) -> int:
    """Check documents; every error is printed as FILE:LINE:COLUMN, and the exit code is 2 if there is one."""
    errors = {path: _errors(path, parameters) for path in files}
    if form == "json":
        write_json([{"file": str(path), "valid": not told, "errors": told} for path, told in errors.items()])
    else:
        for path, told in errors.items():
            if told:
                click.echo("\n".join(told), err=True)
            else:
                write(f"{path}: valid")
    return InvalidDocument.exit_code if any(errors.values()) else 0


def _errors(path: Path, parameters: dict[str, str]) -> list[str]:
    from blackstart_controller.spec.load import load_experiment, read_document

    try:
        load_experiment(read_document(path, parameters))
    except InvalidDocument as error:
        return str(error).splitlines()
    return []


@experiment.command()
def schema() -> None:
    """Print the JSON Schema of experiments, for editors."""
    from blackstart_controller.spec.schema import experiment_schema

    write_json(experiment_schema())


@experiment.command("list")
@output_option
def list_library(form: str) -> None:
    """List the ready experiments, and the parameters that each takes."""
    from blackstart_controller import library
    from blackstart_controller.spec.document import Document
    from blackstart_controller.spec.load import load_experiment

    known = [load_experiment(Document(library.text(name), f"{name}.yaml")) for name in library.NAMES]
    if form == "json":
        write_json([_entry(one) for one in known])
    else:
        write(columns(("NAME", "WHAT"), [(one.name, one.description) for one in known]))


def _entry(one: Experiment) -> dict[str, Any]:
    parameters = {name: parameter.model_dump() for name, parameter in one.parameters.items()}
    return {"name": one.name, "description": one.description, "tags": one.tags, "parameters": parameters}


@experiment.command()
@click.argument("name")
@output_option
def show(name: str, form: str) -> None:
    """Print a ready experiment's document."""
    from blackstart_controller import library
    from blackstart_controller.spec.errors import one_of

    if name not in library.NAMES:
        raise NotFound(f"experiment {name}: not in the library; {one_of(library.NAMES, name)}")
    text = library.text(name)
    if form == "json":
        write_json({"name": name, "document": text})
    else:
        write(text.rstrip())


@experiment.command()
@click.argument("name", required=False)
@click.option("--from", "template", metavar="TEMPLATE", help="A ready experiment; see `experiment list`.")
@set_option
def init(name: str | None, template: str | None, parameters: dict[str, str]) -> None:
    """Write a new document, NAME.yaml, with every key explained or from a template; nothing is overwritten.

    --set gives the template's parameters other defaults.
    """
    from blackstart_controller import library
    from blackstart_controller.spec.errors import one_of
    from blackstart_controller.spec.template import renewed

    if template is not None and template not in library.NAMES:
        raise UsageError(f"--from {template}: not in the library; {one_of(library.NAMES, template)}")
    path = Path(name or template or library.STARTER)
    path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
    text = renewed(library.text(template or library.STARTER), name=path.stem, defaults=parameters)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already and is left as it is; choose another name") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    write(str(path))


@experiment.command()
@click.argument("source", metavar="FILE|NAME")
@set_option
@output_option
def explain(source: str, parameters: dict[str, str], form: str) -> None:
    """Say in one paragraph what an experiment in a file, or of the library, will do. Needs no controller."""
    from blackstart_controller.plan.words import in_words
    from blackstart_controller.spec.load import load_experiment

    loaded = load_experiment(found(source, parameters))
    if form == "json":
        write_json({"experiment": loaded.name, "text": in_words(loaded)})
    else:
        write(in_words(loaded))


@experiment.command()
@click.argument("source", metavar="FILE|NAME")
@set_option
@click.option(
    "-o",
    "--output-format",
    "form",
    type=click.Choice(["json", "yaml", "ctk"]),
    default="yaml",
    help="json, yaml, or an experiment of the Chaos Toolkit that calls `blackstart gate FILE`.",
)
def export(source: str, parameters: dict[str, str], form: str) -> None:
    """Print a document in its normal form: parameters filled in, defaults left out."""
    from blackstart_controller.spec.export import chaos_toolkit, normal_form, yaml_text
    from blackstart_controller.spec.load import load_experiment

    document = found(source, parameters)
    loaded = load_experiment(document)
    if form == "ctk":
        write_json(chaos_toolkit(loaded, document))
    elif form == "json":
        write_json(normal_form(loaded))
    else:
        write(yaml_text(normal_form(loaded)).rstrip())
