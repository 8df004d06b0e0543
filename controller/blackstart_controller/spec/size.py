"""Sizes as people write them: `512MiB`, `2GB`, `100B`. Kept as whole bytes."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from blackstart_controller.spec.types import describe, invalid

_UNITS: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
_PATTERN: Final = re.compile(rf"(\d{{1,9}})({'|'.join(_UNITS)})", re.ASCII)
EXAMPLES: Final = "512MiB, 2GB, 100B"


class Size:
    """Annotates an int: text like `512MiB` in documents, whole bytes in models, from 1 B to 1024 TiB."""

    LOW: Final = 1
    HIGH: Final = 1 << 50

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(format_size),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": f"^{_PATTERN.pattern}$",
            "description": f"a size, like {EXAMPLES}",
        }

    def _validate(self, value: object) -> int:
        match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise invalid(f"must be a size, like {EXAMPLES}; got {describe(value)}")
        size = int(match[1]) * _UNITS[match[2]]
        if not self.LOW <= size <= self.HIGH:
            raise invalid(f"must be 1B to 1024TiB; got {value}")
        return size


def format_size(size: int) -> str:
    """Return the text with the largest unit that says exactly `size` (1 byte or more)."""
    unit = max((unit for unit, count in _UNITS.items() if size % count == 0), key=lambda unit: _UNITS[unit])
    return f"{size // _UNITS[unit]}{unit}"
