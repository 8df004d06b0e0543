"""What security needs of a store. Implemented in SQL by `store/`, and in memory by `security.memory`.

Times are Unix seconds. Secrets never reach a store: it sees the SHA-256 of a token, in hex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

TokenKind: TypeAlias = Literal["join", "operator"]


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One token as it is kept. `host` binds a join token to a name, "" to any; `name` says whose it is."""

    digest: str  # primary key
    kind: TokenKind
    created_s: int
    expires_s: int
    host: str = ""
    name: str = ""
    role: str = ""  # an operator token: what it may do
    used_s: int | None = None  # a join token: when it was consumed; an operator token: about when last
    used_by: str = ""  # ... and by which host


class TokenStore(Protocol):
    async def insert_token(self, token: StoredToken) -> None: ...

    async def find_token(self, digest: str) -> StoredToken | None: ...

    async def consume_token(self, digest: str, *, host: str, now_s: int) -> bool:
        """Mark a join token as used by `host`, in one atomic step, and say whether this call did it.

        Only a token with kind "join", no `used_s`, `expires_s` > `now_s` and `host` "" or this host changes:
        `UPDATE … SET used_s, used_by WHERE digest AND kind = 'join' AND used_s IS NULL AND …`, rowcount 1.
        """
        ...

    async def operator_tokens(self) -> Sequence[StoredToken]:
        """All of kind "operator", the oldest first."""
        ...

    async def touch_token(self, digest: str, *, now_s: int) -> None:
        """`used_s` of an operator's token is `now_s`."""
        ...

    async def delete_token(self, digest: str) -> bool:
        """Forget a token, so that it is refused from now on. False when there is none."""
        ...


class HostRegistry(Protocol):
    """Which hosts may connect. A host that is revoked is not known any more."""

    async def is_known(self, host: str) -> bool: ...

    async def host_enrolled(self, host: str, serial: str, expires_s: int) -> None:
        """`host` holds a certificate with this serial number (hex): it may connect from now on."""
        ...
