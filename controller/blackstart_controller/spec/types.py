"""The field types that documents are made of, each with a message that names the allowed values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from blackstart_controller.spec.duration import EXAMPLES, PATTERN, format_duration, parse_duration
from blackstart_controller.spec.selector import GRAMMAR, Selector, SelectorError, parse_selector

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?", re.ASCII)
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_UNIT: Final = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.@:\\]{0,254}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?", re.ASCII)


class Strict(BaseModel):
    """Frozen; an unknown key is an error; keys are the document's own words."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, str_max_length=65536)


def invalid(what: str) -> PydanticCustomError:
    """Return an error whose text is `what`, whatever braces it has."""
    return PydanticCustomError("invalid", "{what}", {"what": what})


def checked(check: Callable[[str], str | None], expected: str) -> Callable[[object], str]:
    """Return a validator of texts; `check` says what is wrong with one, or None."""

    def validate(value: object) -> str:
        text = _scalar_text(value, expected)
        wrong = check(text)
        if wrong is not None:
            raise invalid(wrong)
        return text

    return validate


def describe(value: object) -> str:
    """Return what a value is in the words of a document: the value itself if it is short, else its form."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (put it in quotes to make it text)"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return repr(text) if len(text) <= 60 else repr(text[:57]) + "..."


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[object], str]:
    return checked(
        lambda text: None if pattern.fullmatch(text) else f"{describe(text)} is not allowed; use {expected}",
        expected,
    )


def _published(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$"})


def _scalar_text(value: object, expected: str = "") -> str:
    """Text, or a whole number written without quotes. Booleans have lost how they were written."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value
    raise invalid(f"must be text{expected and f', {expected}'}; got {describe(value)}")


NAME_WORDS: Final = "1 to 63 of a-z 0-9 - _ . (first and last a letter or digit)"
LABEL_WORDS: Final = "1 to 63 of a-z 0-9 - (first and last a letter or digit)"
UNIT_WORDS: Final = "1 to 255 of A-Z a-z 0-9 - _ . @ :"

Name = Annotated[str, BeforeValidator(_matching(_NAME, NAME_WORDS)), _published(_NAME)]
DnsLabel = Annotated[str, BeforeValidator(_matching(_DNS_LABEL, LABEL_WORDS)), _published(_DNS_LABEL)]
UnitName = Annotated[str, BeforeValidator(_matching(_UNIT, UNIT_WORDS)), _published(_UNIT)]
Text = Annotated[
    str,
    BeforeValidator(lambda value: _scalar_text(value)),
    WithJsonSchema({"type": ["string", "integer"]}),
]
Flag = Annotated[bool, Field(strict=True)]


@dataclass(frozen=True, slots=True)
class Between:
    """Annotates an int: text like `10s` in documents, whole milliseconds in models, from `low` to `high`."""

    low: str
    high: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        words = f"a duration from {self.low} to {self.high}, like {EXAMPLES}"
        return {"type": "string", "pattern": PATTERN, "description": words}

    def _validate(self, value: object) -> int:
        limits = f"{self.low} to {self.high}"
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid(f"must be a duration of {limits}, like {EXAMPLES}; got {describe(value)}")
        try:
            ms = parse_duration(str(value))
        except ValueError as error:
            raise invalid(f"{error}; allowed: {limits}") from error
        if not parse_duration(self.low) <= ms <= parse_duration(self.high):
            raise invalid(f"must be {limits}; got {value}")
        return ms


@dataclass(frozen=True, slots=True)
class Whole:
    """Annotates an int: a whole number from `low` to `high`; digits in quotes are text and refused."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def _validate(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        quotes = " without quotes" if isinstance(value, str) else ""
        raise invalid(f"must be a whole number from {self.low} to {self.high}{quotes}; got {describe(value)}")


Port = Annotated[int, Whole(1, 65535)]


def _wrong_cidr(text: str) -> str | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{describe(text)} is no network; write an address or CIDR like 10.0.0.0/8 or fd00::/8"
    if "/" in text and text.split("/")[0] != str(network.network_address) and ":" not in text:
        return f"{text} has bits set behind its prefix; write {network}"
    return None


Cidr = Annotated[str, BeforeValidator(checked(_wrong_cidr, "an address or CIDR like 10.0.0.0/8 or fd00::/8"))]


def _wrong_ip(text: str) -> str | None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return f"{describe(text)} is no address; write it like 10.0.0.1 or fd00::1"
    return None


IpAddress = Annotated[str, BeforeValidator(checked(_wrong_ip, "an address like 10.0.0.1 or fd00::1"))]


def split_address(text: str) -> tuple[str, int] | None:
    """Return host and port of `host:port` or `[v6]:port`, or None."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[1-9][0-9]{0,4}", port, re.ASCII) or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        return (host[1:-1], int(port)) if _is_v6(host[1:-1]) else None
    return (host, int(port)) if _HOST.fullmatch(host) else None


def _is_v6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


_ADDRESS_WORDS: Final = "host:port with a port of 1 to 65535, like db-1:6379 or [fd00::1]:6379"
Address = Annotated[
    str,
    BeforeValidator(
        checked(
            lambda text: (
                None if split_address(text) else f"{describe(text)} is no address; use {_ADDRESS_WORDS}"
            ),
            _ADDRESS_WORDS,
        )
    ),
]


def url_host(url: str) -> str | None:
    """Return the host of an http or https URL, or None when it has none, or is no such URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.port == 0:
            return None
        return parts.hostname or None
    except ValueError:
        return None


def _wrong_url(text: str) -> str | None:
    if url_host(text) and text.isprintable() and " " not in text:
        return None
    return f"{describe(text)} is no URL; use http:// or https:// with a host, like http://web-1:8080/health"


HttpUrl = Annotated[str, BeforeValidator(checked(_wrong_url, "http:// or https:// with a host"))]


def _wrong_absolute(text: str) -> str | None:
    parts = text.split("/")
    if not text.startswith("/") or text.endswith("/") or ".." in parts or "\0" in text or len(text) > 4096:
        return f"{describe(text)} is no absolute file path; use one like /etc/redis/redis.conf, without .."
    return None


AbsolutePath = Annotated[str, BeforeValidator(checked(_wrong_absolute, "an absolute file path"))]


class OneOf(Strict):
    """A mapping of which exactly one of the keys `CHOICES` is given."""

    CHOICES: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [key for key in self.CHOICES if getattr(self, key) is not None]
        if len(given) != 1:
            without = [f"{key} without a value" for key in self.CHOICES if key in self.model_fields_set]
            got = " and ".join(given or without) or "none"
            raise invalid(f"needs exactly one of the keys {', '.join(self.CHOICES)}; got {got}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        schema["oneOf"] = [{"required": [key]} for key in cls.CHOICES]
        return schema


def _selector(value: object) -> Selector:
    if not isinstance(value, str):
        raise invalid(f"must be a selector; got {describe(value)}; allowed: {GRAMMAR}")
    try:
        return parse_selector(value)
    except SelectorError as error:
        raise invalid(str(error)) from error


_SELECTOR_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "description": f"a selector of hosts: {GRAMMAR}",
    "examples": ["site=pangyo,role in (db,cache),!protected"],
}
HostSelector = Annotated[
    Selector,
    PlainValidator(_selector),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_SELECTOR_SCHEMA),
]
