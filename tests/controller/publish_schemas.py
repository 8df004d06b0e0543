"""Writes the published JSON Schemas into docs/. Run it after a change of the document models."""

from __future__ import annotations

import json
from pathlib import Path

from blackstart_controller.gameday.document import gameday_schema
from blackstart_controller.spec.schema import experiment_schema
from blackstart_lab.document import lab_schema

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    schemas = {"experiment": experiment_schema(), "gameday": gameday_schema(), "lab": lab_schema()}
    for name, schema in schemas.items():
        (DOCS / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
