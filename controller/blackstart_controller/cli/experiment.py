"""`blackstart experiment validate|schema`: documents alone, no controller needed."""

from __future__ import annotations

from pathlib import Path

import click

from blackstart_controller.cli.output import write, write_json

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def experiment() -> None:
    """Experiment documents."""


@experiment.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
def validate(files: tuple[Path, ...]) -> int:
    """Check documents; every error is printed as FILE:LINE:COLUMN, and the exit code is 2 if there is one."""
    from blackstart_controller.errors import InvalidDocument

    wrong = 0
    for path in files:
        try:
            read_checked(path)
        except InvalidDocument as error:
            wrong += 1
            click.echo(str(error), err=True)
        else:
            write(f"{path}: valid")
    return 2 if wrong else 0


@experiment.command()
def schema() -> None:
    """Print the JSON Schema of experiments, for editors."""
    from blackstart_controller.spec.schema import experiment_schema

    write_json(experiment_schema())


def read_checked(path: Path) -> str:
    """The text of a valid document; else InvalidDocument, and nobody was contacted."""
    from blackstart_controller.spec.load import load_experiment, read_text

    text = read_text(path)
    load_experiment(text, str(path))
    return text
