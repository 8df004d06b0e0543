"""Reads a TOML file key by key. What is wrong is one ConfigError naming file, key and allowed values."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from blackstart_agent.errors import ConfigError

T = TypeVar("T")


def load(path: Path) -> Table:
    """The file's top-level table."""
    try:
        return parse(path, path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def parse(path: Path, data: bytes) -> Table:
    """The top-level table of `data`, which was read from `path`."""
    try:
        return Table(path, tomllib.loads(data.decode()))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


class Table:
    """One table; every read marks its key as known, `done` refuses the rest."""

    def __init__(self, path: Path, values: Mapping[str, object], prefix: str = "") -> None:
        self._path = path
        self._values = values
        self._prefix = prefix
        self._known: set[str] = set()

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ConfigError(f"{self._path}: {self._prefix}{key}: {problem}")

    def text(self, key: str, default: str | None = None, *, allowed: str = "text") -> str:
        """A string; without a default it must be there and not be empty."""
        value = self._take(key, default, allowed)
        if not isinstance(value, str) or (default is None and not value):
            self.fail(key, f"must be {allowed}, not {value!r}")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self._take(key, default, "")
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(key, f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    def texts(self, key: str, allowed: str = "a list of texts") -> tuple[str, ...]:
        return self._items(key, allowed, lambda item: isinstance(item, str) and bool(item))

    def choices(self, key: str, choices: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
        if key not in self._values:
            self._known.add(key)
            return tuple(default)
        return self._items(key, "a list of " + " and ".join(choices), lambda item: item in choices)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        def fits(item: object) -> bool:
            return isinstance(item, int) and not isinstance(item, bool) and low <= item <= high

        return self._items(key, f"a list of whole numbers from {low} to {high}", fits)

    def table(self, key: str) -> Table:
        """A table below this one; an absent one is empty."""
        value = self._take(key, {}, "a table")
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, [{self._prefix}{key}], not {value!r}")
        return Table(self._path, value, f"{self._prefix}{key}.")

    def keys(self) -> Sequence[str]:
        """Every key of a table whose keys are free."""
        return list(self._values)

    def done(self) -> None:
        """Every key was known."""
        for key in self._values:
            if key not in self._known:
                self.fail(key, f"unknown key; known are {', '.join(sorted(self._known))}")

    def _take(self, key: str, default: object, allowed: str) -> object:
        self._known.add(key)
        value = self._values.get(key, default)
        if value is None:
            self.fail(key, f"is missing; it must be {allowed}")
        return value

    def _items(self, key: str, allowed: str, fits: Callable[[object], bool]) -> tuple[T, ...]:
        value = self._take(key, [], allowed)
        if not isinstance(value, list):
            self.fail(key, f"must be {allowed}, not {value!r}")
        for item in value:
            if not fits(item):
                self.fail(key, f"must be {allowed}; {item!r} is not allowed")
        return tuple(value)
