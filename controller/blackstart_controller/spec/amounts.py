"""Amounts other than durations and whole numbers: shares of hosts, sizes of waves, thresholds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from blackstart_controller.spec.types import describe, invalid

MAX_HOSTS: Final = 100_000
_PERCENT: Final = re.compile(r"([0-9]{1,2}|100)%", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_PERCENT_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": "^([1-9][0-9]?|100)%$"}


@dataclass(frozen=True, slots=True)
class Size:
    """So many hosts, or so many percent of them."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Return how many of `total` hosts it is: percentages are rounded up, never more than there are."""
        wanted = -(-total * self.number // 100) if self.percent else self.number
        return min(wanted, total)

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


@dataclass(frozen=True, slots=True)
class Bare:
    """Annotates a model of which one key may stand alone: `wait: 30s` for `wait: {for: 30s}`."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._whole, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        inner = handler(schema)
        return {"anyOf": [handler.resolve_ref_schema(inner)["properties"][self.key], inner]}

    def _whole(self, value: object) -> object:
        return {self.key: value} if isinstance(value, str | int) and not isinstance(value, bool) else value


def _percent(value: object) -> int | None:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match and int(match[1]) else None


def _share(value: object) -> int:
    percent = _percent(value)
    if percent is None:
        raise invalid(f"must be a share from 1% to 100%, like 50%; got {describe(value)}")
    return percent


def _size(value: object) -> Size:
    percent = _percent(value)
    if percent is not None:
        return Size(percent, percent=True)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_HOSTS:
        return Size(value)
    words = f"a number of hosts from 1 to {MAX_HOSTS}, or a share from 1% to 100%"
    raise invalid(f"must be {words}; got {describe(value)}")


def _number(value: object) -> float:
    if isinstance(value, int | str) and not isinstance(value, bool) and _NUMBER.fullmatch(str(value)):
        number = float(value)
        if math.isfinite(number):
            return number
    raise invalid(f"must be a number like 5, 0.05 or 1e-3; got {describe(value)}")


Share = Annotated[
    int,
    BeforeValidator(_share),
    PlainSerializer(lambda share: f"{share}%", return_type=str),
    WithJsonSchema(_PERCENT_SCHEMA),
]
HostSize = Annotated[
    Size,
    PlainValidator(_size),
    PlainSerializer(lambda size: str(size) if size.percent else size.number, return_type=str | int),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_HOSTS}, _PERCENT_SCHEMA]}),
]
Number = Annotated[float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
