"""Other people's servers, without a network: each URL answers what a test says, or nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from blackstart_controller.outside.ports import Reply, Unreadable

Answer: TypeAlias = Callable[[], Reply | None]  # None: no answer ever
ANSWER_S = 0.01


def prometheus(*values: float | str) -> Reply:
    """What Prometheus answers to a query with so many series."""
    result = [{"metric": {"n": str(n)}, "value": [1.0, str(value)]} for n, value in enumerate(values)]
    told = {"status": "success", "data": {"resultType": "vector", "result": result}}
    return Reply(200, json.dumps(told).encode())


class FakeOutside:
    """Implements `outside.ports.Outside`. `servers`: origin to what it answers; others refuse connections."""

    def __init__(self) -> None:
        self.servers: dict[str, Answer] = {}
        self.forbidden: set[str] = set()
        self.asked: list[tuple[float, str]] = []  # (loop time, path and query)

    def refusal(self, url: str) -> str | None:
        origin = _origin(url)
        return f"{origin} is not allowed" if origin in self.forbidden else None

    async def get(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
        parts = urlsplit(url)
        self.asked.append((asyncio.get_running_loop().time(), f"{parts.path}?{parts.query}"))
        server = self.servers.get(_origin(url))
        if server is None:
            raise Unreadable(f"{_origin(url)}: connection refused")
        reply = server()
        await asyncio.sleep(timeout_s if reply is None else ANSWER_S)
        if reply is None:
            raise Unreadable(f"{_origin(url)}: no whole answer within {timeout_s:g} s")
        return reply

    async def post(
        self, url: str, body: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return await self.get(url, timeout_s=timeout_s, headers=headers)

    def queries(self) -> list[str]:
        return [parse_qs(asked.partition("?")[2])["query"][0] for _at, asked in self.asked]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
