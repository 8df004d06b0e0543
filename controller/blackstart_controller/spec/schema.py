"""The published JSON Schemas: editors complete and check documents with them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from blackstart_controller.spec.experiment import Experiment

_REFERENCE: Final = {
    "type": "string",
    "pattern": r"\$\{[a-z][a-z0-9_-]{0,62}\}",
    "description": "a text with a ${parameter} in it",
}
_NARROW: Final = ("pattern", "enum")  # what a reference would not satisfy


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of experiment documents, as committed in `docs/experiment.schema.json`."""
    schema = document_schema(Experiment, "experiment")
    definitions = {
        name: _with_references(one) for name, one in schema["$defs"].items() if name != "Parameter"
    }
    definitions |= {"Parameter": schema["$defs"]["Parameter"], "Reference": _REFERENCE}
    return {**_with_references(schema, skip=("$defs",)), "$defs": dict(sorted(definitions.items()))}


def document_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """Return the JSON Schema of documents that `model` reads. `$id` counts breaking changes."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:blackstart:{name}:1",
        **schema,
        "title": f"blackstart {name}",
    }


def _with_references(schema: dict[str, Any], *, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `schema` so that where one value may stand, a text with a parameter in it may stand too."""
    inner = {key: _inside(key, value) if key not in skip else value for key, value in schema.items()}
    if not _is_narrow(schema):
        return inner
    outer: dict[str, Any] = {
        key: inner.pop(key) for key in ("title", "description", "default") if key in inner
    }
    return {**outer, "anyOf": [inner, {"$ref": "#/$defs/Reference"}]}


def _inside(key: str, value: Any) -> Any:
    match key, value:
        case "properties", dict():
            return {name: _with_references(one) for name, one in value.items()}
        case (("items" | "additionalProperties"), dict()):
            return _with_references(value)
        case (("anyOf" | "oneOf" | "allOf"), list()):
            return [_with_references(one) for one in value]
    return value


def _is_narrow(schema: dict[str, Any]) -> bool:
    """One value that a reference would not satisfy. A fixed word (`const`) tells models apart: it stays."""
    kind = schema.get("type")
    return kind in ("integer", "number", "boolean") or (
        kind == "string" and any(key in schema for key in _NARROW)
    )
