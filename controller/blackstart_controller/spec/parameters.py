"""Templates: `parameters:` name values, and `${name}` in a text value stands for one of them.

Only values are filled in, never keys, and only once: a value that looks like a reference is refused, so that
nothing ever refers to itself. `$${` stands for a plain `${`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from blackstart_controller.spec.errors import Problem, invalid_document, one_of, validate
from blackstart_controller.spec.types import Strict, Text, checked, describe, invalid
from blackstart_controller.spec.yaml_source import MAX_BYTES, Path, Source, Value, plain_scalar

MAX_PARAMETERS: Final = 100
MAX_LENGTH: Final = 1_024
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_NAME_WORDS: Final = "1 to 63 of a-z 0-9 - _ (the first a letter)"
_REFERENCE: Final = re.compile(r"\$\$(?=\{)|\$\{(?P<name>[^{}$]{0,100})\}|\$\{")


def _wrong_name(text: str) -> str | None:
    return None if _NAME.fullmatch(text) else f"{describe(text)} is not allowed; use {_NAME_WORDS}"


def wrong_value(text: str) -> str | None:
    """Return what is wrong with a parameter's value, or None."""
    if len(text) > MAX_LENGTH:
        return f"{len(text)} characters; a parameter may have at most {MAX_LENGTH}"
    return "${ in the value of a parameter: it is filled in once, nothing in it is" if "${" in text else None


def _value(text: str) -> str:
    wrong = wrong_value(text)
    if wrong is not None:
        raise invalid(wrong)
    return text


ParameterName = Annotated[
    str,
    BeforeValidator(checked(_wrong_name, _NAME_WORDS)),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
ParameterValue = Annotated[Text, AfterValidator(_value)]


class Parameter(Strict):
    """Without a default, whoever runs the experiment must give a value."""

    default: ParameterValue | None = None
    description: Annotated[Text, Field(max_length=1_000)] = ""
    choices: tuple[ParameterValue, ...] = Field(default=(), max_length=100)


ParameterTable = Annotated[dict[ParameterName, Parameter], Field(max_length=MAX_PARAMETERS)]


class _Head(Strict):
    """The parameters alone: the rest of the document makes sense only when they are filled in."""

    model_config = ConfigDict(extra="ignore")
    parameters: ParameterTable = Field(default_factory=dict)


def fill_in(source: Source, given: Mapping[str, str]) -> Source:
    """Return the document with every `${name}` replaced; its parameters' defaults are the values used.

    Raises InvalidDocument for values that are missing or not allowed, and for names that do not exist.
    """
    if not isinstance(source.data, dict):
        return source
    defined = validate(_Head, source, lambda head: _wrong_choices(head.parameters)).parameters
    problems = list(_wrong_values(defined, given))
    if problems:
        raise invalid_document(source, problems)
    values = {name: given.get(name, one.default or "") for name, one in defined.items()}
    filling = _Filling(values)
    data = {
        key: _declared(node, values) if key == "parameters" else filling.node(node, (key,))
        for key, node in source.data.items()
    }
    if filling.problems:
        raise invalid_document(source, filling.problems)
    return replace(source, data=data)


def _declared(node: Value, values: Mapping[str, str]) -> Value:
    if not isinstance(node, dict):
        return node
    return {
        name: {**entry, "default": values[name]} if isinstance(entry, dict) else entry
        for name, entry in node.items()
    }


def _wrong_choices(defined: Mapping[str, Parameter]) -> Iterator[Problem]:
    for name, one in defined.items():
        if one.default is not None and one.choices and one.default not in one.choices:
            text = f"{describe(one.default)} is not allowed; {one_of(one.choices, one.default)}"
            yield Problem(("parameters", name, "default"), text)


def _wrong_values(defined: Mapping[str, Parameter], given: Mapping[str, str]) -> Iterator[Problem]:
    for name, value in given.items():
        if name not in defined:
            yield Problem(
                ("parameters",), f"no parameter {describe(name)}; {one_of(defined, name)}", key=True
            )
            continue
        choices = defined[name].choices
        wrong = wrong_value(value)
        if choices and value not in choices:
            wrong = f"{describe(value)} is not allowed; {one_of(choices, value)}"
        if wrong is not None:
            yield Problem(("parameters", name), wrong, key=True)
    for name, one in defined.items():
        if one.default is None and name not in given:
            text = f"has no default and no value was given; use --set {name}=VALUE"
            allowed = f" ({one_of(one.choices)})" if one.choices else ""
            yield Problem(("parameters", name), text + allowed, key=True)


class _Filling:
    """Fills values into nodes; gathers what is wrong, and stops filling when the document grows too large."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._left = MAX_BYTES
        self.problems: list[Problem] = []

    def node(self, node: Value, path: Path) -> Value:
        if isinstance(node, dict):
            return {key: self.node(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self.node(value, (*path, index)) for index, value in enumerate(node)]
        return self._text(node, path) if isinstance(node, str) and "${" in node else node

    def _text(self, text: str, path: Path) -> Value:
        unknown = list(self._unknown(text))
        if unknown:
            self.problems.append(Problem(path, unknown[0]))
            return text
        if self._left < 0:
            return text
        filled = _REFERENCE.sub(self._replacement, text)
        self._left -= len(filled)
        if self._left < 0:
            self.problems.append(
                Problem(path, f"filled in, the document has more than {MAX_BYTES} characters")
            )
        whole = _REFERENCE.fullmatch(text)
        return plain_scalar(filled) if whole and whole["name"] is not None else filled

    def _unknown(self, text: str) -> Iterator[str]:
        for match in _REFERENCE.finditer(text):
            name = match["name"]
            if name is None and match[0] == "${":
                yield "${ begins a parameter, like ${name}; for the characters themselves write $${"
            elif name is not None and name not in self._values:
                yield f"unknown parameter {describe(name)}; {one_of(self._values, name)}"

    def _replacement(self, match: re.Match[str]) -> str:
        return "$" if match["name"] is None else self._values[match["name"]]
