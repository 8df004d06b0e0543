"""What every request's body is: known fields of the right types, and text that is text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Body(BaseModel):
    """Nothing is guessed: an unknown field or another type is refused, and so is half of a character."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: Any) -> Any:
        r"""JSON can spell half of a surrogate pair (`\ud800`), which no file, database or answer can hold."""
        try:
            "".join(_texts(data)).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text in it is no Unicode: half of a surrogate pair") from error
        return data


def _texts(data: Any) -> Iterator[str]:
    """Every text in what JSON gave, keys too. A loop: nothing limits how deep a stranger nests."""
    left = [data]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as pairs:
                left += [*pairs.keys(), *pairs.values()]
            case list() as parts:
                left += parts
