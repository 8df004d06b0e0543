"""The ports of security in memory: for tests, simulators and benchmarks. Nothing survives the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blackstart_controller.security.ports import StoredToken


class MemoryTokens:
    """TokenStore. Between its awaits there is none, so consuming is atomic."""

    def __init__(self) -> None:
        self.tokens: dict[str, StoredToken] = {}

    async def insert_token(self, token: StoredToken) -> None:
        self.tokens[token.digest] = token

    async def find_token(self, digest: str) -> StoredToken | None:
        return self.tokens.get(digest)

    async def consume_token(self, digest: str, *, host: str, now_s: int) -> bool:
        token = self.tokens.get(digest)
        if token is None or token.kind != "join" or token.used_s is not None:
            return False
        if token.expires_s <= now_s or token.host not in ("", host):
            return False
        self.tokens[digest] = replace(token, used_s=now_s, used_by=host)
        return True

    async def operator_tokens(self) -> Sequence[StoredToken]:
        return [token for token in self.tokens.values() if token.kind == "operator"]

    async def touch_token(self, digest: str, *, now_s: int) -> None:
        self.tokens[digest] = replace(self.tokens[digest], used_s=now_s)

    async def delete_token(self, digest: str) -> bool:
        return self.tokens.pop(digest, None) is not None


class MemoryHosts:
    """HostRegistry."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = set(hosts)

    async def is_known(self, host: str) -> bool:
        return host in self.hosts

    async def host_enrolled(self, host: str, serial: str, expires_s: int) -> None:
        self.hosts.add(host)

    def revoke(self, host: str) -> None:
        self.hosts.discard(host)
