"""Where in a document something stands, for annotations on its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.parameters import fill_in
from blackstart_controller.spec.yaml_source import Position, Source, Value, read_yaml

START = Position(1, 1)
_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")
_ERROR = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<what>.*)")


@dataclass(frozen=True, slots=True)
class Places:
    """What stands where in a document, its parameters filled in; of one that is no YAML, nothing."""

    source: Source | None

    @classmethod
    def of(cls, document: Document) -> Places:
        try:
            return cls(fill_in(read_yaml(document.text, document.file), document.parameters))
        except InvalidDocument:
            return cls(None)

    def service(self, name: str) -> Position:
        """Where the service begins, else the list of services."""
        for number, entry in enumerate(self._list("services")):
            if isinstance(entry, dict) and entry.get("name") == name:
                return self._position(("services", number))
        return self._position(("services",), key=True)

    def step(self, path: str) -> Position:
        """Where the step with a path such as `steps[0].sequence[1]` begins; "" is the list of steps."""
        parts = tuple(name or int(index) for name, index in _PART.findall(path))
        return self._position(parts) if parts else self.key("steps")

    def key(self, name: str) -> Position:
        return self._position((name,), key=True)

    def stops(self) -> list[tuple[str, Position]]:
        """The names of the stop conditions, and where each begins."""
        found = []
        for number, entry in enumerate(self._list("stop")):
            inner = next(iter(entry.values()), None) if isinstance(entry, dict) else None
            if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
                found.append((name, self._position(("stop", number))))
        return found

    def _list(self, name: str) -> list[Value]:
        data = self.source.data if self.source else None
        entries = data.get(name) if isinstance(data, dict) else None
        return entries if isinstance(entries, list) else []

    def _position(self, path: tuple[str | int, ...], *, key: bool = False) -> Position:
        return START if self.source is None else self.source.position(path, key=key)


def errors_of(text: str) -> list[tuple[Position, str]]:
    """The lines of an InvalidDocument, each with its place."""
    found = [_ERROR.fullmatch(line) for line in text.splitlines()]
    return [(Position(int(one["line"]), int(one["column"])), one["what"]) for one in found if one]
