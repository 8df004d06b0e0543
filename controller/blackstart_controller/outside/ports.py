"""What the rest of the controller asks of other people's servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

MAX_ANSWER_BYTES = 1024 * 1024


class Unreadable(Exception):
    """There is no answer, or none that may be used. The text says from where and why, without secrets."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers`: names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Outside(Protocol):
    """One request, one answer. No redirect is followed; only allowed addresses are spoken to."""

    def refusal(self, url: str) -> str | None:
        """Why this URL will not be asked (scheme, origin that is not allowed), or None. Asks nobody."""
        ...

    async def get(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
        """Raises Unreadable."""
        ...

    async def post(
        self, url: str, body: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Raises Unreadable: then it is not known whether the other side has acted."""
        ...
