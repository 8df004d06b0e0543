"""The only door to lab files: models, references and templates are all checked before there is a lab."""

from __future__ import annotations

from pathlib import Path

from blackstart_controller.spec.errors import invalid_document, validate
from blackstart_controller.spec.load import read_text
from blackstart_controller.spec.yaml_source import read_yaml

from blackstart_lab.checks import check_lab
from blackstart_lab.document import Lab
from blackstart_lab.templates import check_templates


def load_lab(text: str, file: str) -> Lab:
    """Return the lab that `text` describes, or raise InvalidDocument with every mistake and its place."""
    document = read_yaml(text, file)
    lab = validate(Lab, document, check_lab)
    problems = check_templates(lab, document)
    if problems:
        raise invalid_document(document, problems)
    return lab


def load_lab_file(path: Path) -> Lab:
    """Return the lab in the file at `path`; `source` files are looked for beside it when they are placed."""
    return load_lab(read_text(path), str(path))
