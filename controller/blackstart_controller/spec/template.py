"""A new document from a template: comments and order stay, the name and the defaults are new."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO

from ruamel.yaml import YAML

from blackstart_controller.errors import UsageError
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.errors import one_of
from blackstart_controller.spec.load import load_experiment


def renewed(template: str, *, name: str, defaults: Mapping[str, str]) -> str:
    """Return one of our own templates under `name`, its parameters with other defaults.

    Raises InvalidDocument when it would be no valid document then.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    data = yaml.load(template)
    data["experiment"] = name
    for parameter, value in defaults.items():
        if parameter not in data["parameters"]:
            raise UsageError(f"--set {parameter}: no such parameter; {one_of(data['parameters'], parameter)}")
        data["parameters"][parameter]["default"] = value
    text = StringIO()
    yaml.dump(data, text)
    load_experiment(Document(text.getvalue(), f"{name}.yaml"))
    return text.getvalue()
