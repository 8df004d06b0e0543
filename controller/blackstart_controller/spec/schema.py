"""The published JSON Schemas: editors complete and check documents with them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from blackstart_controller.spec.experiment import Experiment


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of experiment documents, as committed in `docs/experiment.schema.json`."""
    return document_schema(Experiment, "experiment")


def document_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the JSON Schema of documents that `model` reads. `$id` counts breaking changes."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:blackstart:{name}:1",
        **schema,
        "title": f"blackstart {name}",
    }
