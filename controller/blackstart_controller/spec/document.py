"""A document as somebody handed it in: its text, where it came from, and the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """`file` is only shown in errors. `parameters` fill the `${name}` of a template; "" is a value too."""

    text: str
    file: str = "experiment.yaml"
    parameters: Mapping[str, str] = field(default_factory=dict)
