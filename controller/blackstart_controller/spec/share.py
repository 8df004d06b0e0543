"""A share of many small things, as packets are: a number of percent, with up to three decimals."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from blackstart_controller.spec.types import describe, invalid

_WRITTEN: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?", re.ASCII)


class Share:
    """Annotates a float: a number of percent from 0.001 to 100."""

    LOW: Final = 0.001
    HIGH: Final = 100.0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "number", "minimum": self.LOW, "maximum": self.HIGH}

    def _validate(self, value: object) -> float:
        written = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
        if _WRITTEN.fullmatch(written) and self.LOW <= float(written) <= self.HIGH:
            return float(written)
        limits = f"{self.LOW:g} to {self.HIGH:g}, with three decimals at most"
        raise invalid(f"must be a number of percent from {limits}; got {describe(value)}")
