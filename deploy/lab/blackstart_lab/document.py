"""The lab file: sites, hosts and their units, as frozen models. `load.load_lab` is the only door in.

Every mistake is told with its file, line and column, undefined template names included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from blackstart_controller.spec.schema import document_schema
from blackstart_controller.spec.selector import (
    LABEL_KEY_WORDS,
    LABEL_VALUE_WORDS,
    is_label_key,
    is_label_value,
)
from blackstart_controller.spec.types import (
    AbsolutePath,
    Between,
    Cidr,
    DnsLabel,
    Flag,
    OneOf,
    Port,
    Strict,
    Text,
    describe,
    invalid,
)
from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MAX_HOSTS: Final = 250
MAX_SITES: Final = 64
MAX_UNITS: Final = 64
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_MODE_SCHEMA: Final[dict[str, Any]] = {
    "type": ["string", "integer"],
    "pattern": "^[0-7]{3,4}$",
    "description": "an octal mode like 0644",
}


def _label_key(text: str) -> str:
    if text in ("site", "host"):
        raise invalid(f"every host has the label {text} by itself; remove it")
    if not is_label_key(text):
        raise invalid(f"{describe(text)} is no label key; {LABEL_KEY_WORDS}")
    return text


def _label_value(text: str) -> str:
    if not is_label_value(text):
        raise invalid(f"{describe(text)} is no label value; {LABEL_VALUE_WORDS}")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise invalid(f"{describe(text)} is no variable name; use A-Z a-z 0-9 _, the first no digit")
    return text


Variable = Annotated[str, AfterValidator(_variable)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[Text, AfterValidator(_label_value)]


class LabSite(Strict):
    """A bridge; `latency_ms` is one way from a host of the site to the router (0: none)."""

    latency_ms: Annotated[int, Between("0s", "10s")] = Field(default=0, alias="latency")
    subnet: Cidr | None = None


class LabFile(OneOf):
    """One file to place: `text` is a template; `source` is a path beside the lab file, copied as it is, or
    filled in as well with `template: true`."""

    CHOICES: ClassVar = ("text", "source")
    text: str | None = None
    source: str | None = None
    template: Flag = False
    mode: Annotated[int, WithJsonSchema(_MODE_SCHEMA)] = 0o644

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @field_validator("mode", mode="before")
    @classmethod
    def _octal(cls, value: object) -> int:
        digits = str(value)
        if isinstance(value, bool) or not 3 <= len(digits) <= 4 or not set(digits) <= set("01234567"):
            raise invalid(f"must be an octal mode of 3 or 4 digits like 0644 or 0755; got {describe(value)}")
        return int(digits, 8)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A bare text is a file too."""
        return {"anyOf": [{"type": "string"}, super().__get_pydantic_json_schema__(core, handler)]}


class ReadyWhen(OneOf):
    """When a unit counts as ready: a TCP port of its host accepts, or a command ends with 0."""

    CHOICES: ClassVar = ("tcp", "command")
    tcp: Port | None = None
    command: tuple[Text, ...] | None = Field(default=None, min_length=1)


class LabUnit(Strict):
    """One supervised command. `command` items, `environment` values and file texts are templates."""

    command: tuple[Text, ...] = Field(min_length=1, max_length=1000)
    user: str = ""
    environment: dict[Variable, Text] = Field(default={})
    directory: AbsolutePath | None = None
    once: Flag = False  # a command that ends: started again only when it fails, and after a blackout
    after: tuple[DnsLabel, ...] = ()
    ready: ReadyWhen | None = None
    files: dict[AbsolutePath, LabFile] = Field(default={})


class LabHost(Strict):
    """One host. `agent`: runs a blackstart agent; `controller`: runs `blackstart serve`."""

    site: DnsLabel
    labels: dict[LabelKey, LabelValue] = Field(default={})
    agent: Flag = True
    controller: Flag = False
    units: dict[DnsLabel, LabUnit] = Field(default={}, max_length=MAX_UNITS)
    files: dict[AbsolutePath, LabFile] = Field(default={})


class Lab(Strict):
    """A whole lab: 1 to 250 hosts in 1 to 64 sites, at most one of them the controller."""

    lab: DnsLabel
    description: str = ""
    sites: dict[DnsLabel, LabSite] = Field(min_length=1, max_length=MAX_SITES)
    hosts: dict[DnsLabel, LabHost] = Field(min_length=1, max_length=MAX_HOSTS)

    @field_validator("sites", mode="before")
    @classmethod
    def _bare_sites(cls, value: object) -> object:
        """`busan:` with nothing behind it is a site without settings."""
        if isinstance(value, dict):
            return {name: {} if site is None else site for name, site in value.items()}
        return value

    @property
    def controller(self) -> str | None:
        """The name of the host that runs the controller."""
        return next((name for name, host in self.hosts.items() if host.controller), None)

    def hosts_of(self, site: str) -> Mapping[str, LabHost]:
        return {name: host for name, host in self.hosts.items() if host.site == site}


def lab_schema() -> dict[str, Any]:
    """Return the JSON Schema of lab files, as committed in `docs/lab.schema.json`."""
    return document_schema(Lab, "lab")
