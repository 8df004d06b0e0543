"""YAML that a stranger may send: read within limits, with the line and column of every node kept.

Refused: more than 128 KiB, 10,000 values or 32 levels (so that the worst is read in half a second), anchors,
aliases, tags, a key given twice, a second document.
Scalars: `true`, `false`, `null`, plain whole numbers; all else is text exactly as it was written, so that
`1.10` stays `1.10`, `0755` stays `0755`, and `on` is never a boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from blackstart_controller.errors import InvalidDocument

MAX_BYTES: Final = 128 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 10_000
MAX_SHOWN: Final = 60  # characters of a key in an error

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | bool | None"
Path: TypeAlias = "tuple[str | int, ...]"

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


def shown(key: str) -> str:
    """Return a key as one line of an error can show it."""
    return key if key.isprintable() and len(key) <= MAX_SHOWN else repr(key[:MAX_SHOWN])


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both numbers start at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Source:
    """Plain data, and where in `file` each value and each key of it stands."""

    file: str
    data: Value
    values: dict[Path, Position] = field(repr=False)
    keys: dict[Path, Position] = field(repr=False)

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Return where the value (or its key) at `path` begins; of what is not there, its parent's."""
        while path and path not in self.values:
            path, key = path[:-1], False
        if key and path in self.keys:
            return self.keys[path]
        return self.values.get(path, Position(1, 1))


def read_yaml(text: str, file: str) -> Source:
    """Return the document's data and positions, or raise InvalidDocument with the place of what is wrong."""
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_BYTES:
        raise InvalidDocument(
            f"{file}:1:1: {size_bytes} bytes; a document may have at most {MAX_BYTES} bytes"
        )
    reader = _Reader(file)
    try:
        return reader.read(text)
    except MarkedYAMLError as error:
        raise InvalidDocument(_syntax(error, file)) from error
    except YAMLError as error:  # a character that YAML does not allow: no mark, only words
        raise InvalidDocument(f"{file}:{_unreadable(error, text)}: not YAML: {_first_line(error)}") from error


def _syntax(error: MarkedYAMLError, file: str) -> str:
    mark = error.problem_mark or error.context_mark
    place = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    words = ", ".join(part for part in (error.context, error.problem) if part)
    begun = error.context_mark
    since = f" (begun in line {begun.line + 1})" if begun and begun.line + 1 != place.line else ""
    return f"{file}:{place}: not YAML: {words}{since}"


def _first_line(error: YAMLError) -> str:
    return (str(error).strip().splitlines() or ["unreadable"])[0]


def _unreadable(error: YAMLError, text: str) -> Position:
    offset = getattr(error, "position", 0)
    before = text[: offset if isinstance(offset, int) else 0]
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Reader:
    """Builds one document out of the parser's events; refuses at the event: no bomb is ever expanded."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._values: dict[Path, Position] = {}
        self._keys: dict[Path, Position] = {}
        self._events: Iterator[Event] = iter(())

    def read(self, text: str) -> Source:
        self._events = iter(YAML(typ="safe", pure=True).parse(text))
        data: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document begins; one file holds one document")
                data = self._node(next(self._events), ())
        return Source(self._file, data, self._values, self._keys)

    def _node(self, event: Event, path: Path) -> Value:
        self._check(event, path)
        self._values[path] = _position(event)
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _check(self, event: Event, path: Path) -> None:
        if isinstance(event, AliasEvent):
            raise self._refuse(event, "aliases (*name) are not allowed; write the value out")
        if getattr(event, "anchor", None) is not None:
            raise self._refuse(event, "anchors (&name) are not allowed; remove it")
        if getattr(event, "ctag", None) is not None:
            raise self._refuse(event, "tags (!name) are not allowed; put text that begins with ! in quotes")
        if len(path) > MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
        if len(self._values) >= MAX_VALUES:
            raise self._refuse(event, f"more than {MAX_VALUES} values; split the document")

    def _sequence(self, path: Path) -> list[Value]:
        items: list[Value] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event, path)
            if key in mapping:
                first = self._keys[(*path, key)]
                raise self._refuse(event, f"{shown(key)}: given twice, first in line {first.line}; keep one")
            self._keys[(*path, key)] = _position(event)
            value = next(self._events)
            mapping[key] = self._node(value, (*path, key))
            if mapping[key] is None and value.start_mark.index == value.end_mark.index:
                self._values[(*path, key)] = _position(
                    event
                )  # nothing is there: the parser names the next line
        return mapping

    def _key(self, event: Event, path: Path) -> str:
        self._check(event, path)
        if not isinstance(event, ScalarEvent):
            raise self._refuse(
                event, "a key must be plain text, not a list or a mapping; put {{ }} in quotes"
            )
        return str(event.value)

    def _refuse(self, event: Event, what: str) -> InvalidDocument:
        return InvalidDocument(f"{self._file}:{_position(event)}: {what}")


def _position(event: Event) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: ScalarEvent) -> Value:
    text = str(event.value)
    if not event.implicit[0] or event.style in ("'", '"', "|", ">"):
        return text
    return plain_scalar(text)


def plain_scalar(text: str) -> Value:
    """Return what `text` is when it stands in a document without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _WHOLE.match(text) else text
