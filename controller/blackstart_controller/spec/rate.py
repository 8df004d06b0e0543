"""Bandwidths as people write them: `10Mbit/s`, `512kbit/s`. Kept as whole bits per second."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from blackstart_controller.spec.types import describe, invalid

_UNITS: Final = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_PATTERN: Final = re.compile(rf"([0-9]{{1,9}})({'|'.join(_UNITS)})", re.ASCII)
EXAMPLES: Final = "10Mbit/s, 512kbit/s"


class Rate:
    """Annotates an int: text like `10Mbit/s` in documents, whole bits per second, 8 kbit/s to 100 Gbit/s."""

    LOW: Final = 8_000
    HIGH: Final = 100_000_000_000

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(format_rate),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        words = f"a bandwidth, like {EXAMPLES}"
        return {"type": "string", "pattern": f"^{_PATTERN.pattern}$", "description": words}

    def _validate(self, value: object) -> int:
        match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise invalid(f"must be a bandwidth, like {EXAMPLES}; got {describe(value)}")
        rate = int(match[1]) * _UNITS[match[2]]
        if not self.LOW <= rate <= self.HIGH:
            raise invalid(f"must be 8kbit/s to 100Gbit/s; got {value}")
        return rate


def format_rate(rate: int) -> str:
    """Return the text with the largest unit that says exactly `rate` (1 bit/s or more)."""
    unit = max((unit for unit, count in _UNITS.items() if rate % count == 0), key=lambda unit: _UNITS[unit])
    return f"{rate // _UNITS[unit]}{unit}"
