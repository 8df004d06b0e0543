"""Selectors of hosts in the Kubernetes grammar: `site=pangyo,role in (db,cache),!protected`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

MAX_TOLD: Final = 60  # characters of a wrong selector in its error
Operator: TypeAlias = Literal["=", "!=", "in", "notin", "exists", "absent"]

_TOKEN: Final = re.compile(r"\s*(==|!=|=|!|,|\(|\)|[^\s=!,()]+)", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)

GRAMMAR: Final = "key=value, key!=value, key in (a,b), key notin (a,b), key, !key; joined by commas"
LABEL_KEY_WORDS: Final = (
    "use [prefix/]name; at most 63 of A-Z a-z 0-9 - _ ., first and last a letter or digit"
)
LABEL_VALUE_WORDS: Final = "use at most 63 of A-Z a-z 0-9 - _ ., first and last a letter or digit"


def is_label_key(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return bool(_NAME.fullmatch(name)) and (not slash or bool(_PREFIX.fullmatch(prefix)))


def is_label_value(text: str) -> bool:
    return text == "" or bool(_NAME.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `!=` and `notin` also hold where the label is missing."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "=" | "in":
                return labels.get(self.key) in self.values
            case "!=" | "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels

    def __str__(self) -> str:
        match self.operator:
            case "=" | "!=":
                return f"{self.key}{self.operator}{self.values[0]}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "exists":
                return self.key
            case "absent":
                return f"!{self.key}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. There is no empty selector: `host` selects every host."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


class SelectorError(ValueError):
    """The text is no selector. `position` is the character, counted from 1."""

    def __init__(self, text: str, position: int, what: str) -> None:
        told = repr(text) if len(text) <= MAX_TOLD else f"{text[: MAX_TOLD - 3]!r}..."
        super().__init__(f"character {position} of {told}: {what}")
        self.position = position


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` says, or raise SelectorError with the place."""
    if not text.strip():
        raise SelectorError(text, 1, f"empty; to select every host write host; allowed: {GRAMMAR}")
    return _Parser(text).selector()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [(match[1], match.start(1) + 1) for match in _TOKEN.finditer(text)]
        self._next = 0

    def selector(self) -> Selector:
        requirements = [self._requirement()]
        while self._peek():
            self._expect(",")
            requirements.append(self._requirement())
        return Selector(tuple(requirements))

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), "absent")
        key = self._key()
        match self._peek():
            case "=" | "==":
                self._take()
                return Requirement(key, "=", (self._value(),))
            case "!=":
                self._take()
                return Requirement(key, "!=", (self._value(),))
            case "in" | "notin":
                operator: Operator = "in" if self._take() == "in" else "notin"
                return Requirement(key, operator, self._values())
            case "" | ",":
                return Requirement(key, "exists")
        raise self._wrong(f"after {key} one of = == != in notin and , may stand")

    def _values(self) -> tuple[str, ...]:
        self._expect("(")
        values = [self._value()]
        while self._peek() == ",":
            self._take()
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _key(self) -> str:
        if not is_label_key(self._peek()):
            raise self._wrong(f"a label key must stand here; {LABEL_KEY_WORDS}")
        return self._take()

    def _value(self) -> str:
        """Take one value; nothing before `,` or `)` or the end is the empty value."""
        if self._peek() in ("", ",", ")"):
            return ""
        if not is_label_value(self._peek()):
            raise self._wrong(f"a label value must stand here; {LABEL_VALUE_WORDS}")
        return self._take()

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise self._wrong(f"{token} must stand here; allowed: {GRAMMAR}")
        self._take()

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][0]

    def _wrong(self, what: str) -> SelectorError:
        at_end = self._next >= len(self._tokens)
        return SelectorError(self._text, len(self._text) + 1 if at_end else self._tokens[self._next][1], what)
