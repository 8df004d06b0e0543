"""An experiment back as a document, and as an experiment of the Chaos Toolkit."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from blackstart_controller.spec.document import Document
from blackstart_controller.spec.experiment import Experiment


def normal_form(experiment: Experiment) -> dict[str, Any]:
    """Return the document of `experiment` without parameters and without what has its default.

    Loading it again gives the same experiment.
    """
    data = experiment.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"parameters"})
    return {key: _escaped(value) for key, value in data.items()}


def _escaped(value: Any) -> Any:
    """What is filled in already must not be taken for a parameter again."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def yaml_text(data: dict[str, Any]) -> str:
    """Return `data` as YAML that `read_yaml` takes: no anchors, no tags."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # the order is the document's
    yaml.width = 100
    yaml.representer.ignore_aliases = lambda _node: True
    text = StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def chaos_toolkit(experiment: Experiment, document: Document) -> dict[str, Any]:
    """Return a Chaos Toolkit experiment that runs `document` through `blackstart gate`.

    Its hypothesis is the gate's own exit code, 0; so `chaos run` deviates when the gate says so, and
    `--hypothesis-strategy=after-method-only` keeps it to one run.
    """
    settings = [part for name, value in document.parameters.items() for part in ("--set", f"{name}={value}")]
    gate = {
        "type": "probe",
        "name": f"blackstart-gate-{experiment.name}",
        "tolerance": 0,
        "provider": {
            "type": "process",
            "path": "blackstart",
            "arguments": ["gate", document.file, *settings],
        },
    }
    title = experiment.hypothesis or f"{experiment.name} passes its gate"
    return {
        "version": "1.0.0",
        "title": experiment.name,
        "description": experiment.description or title,
        "tags": list(experiment.tags),
        "runtime": {"hypothesis": {"strategy": "after-method-only"}},
        "steady-state-hypothesis": {"title": title, "probes": [gate]},
        "method": [],
        "rollbacks": [],
    }
