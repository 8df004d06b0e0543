"""No body and no path makes a defect of a route: what is wrong with it is said, with a status below 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from fastapi.routing import APIRoute
from pydantic import BaseModel
from support.api_scene import Api, open_api

BODIES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b"[" * 5000,
    b"[" * 3000 + b"]" * 3000,
    b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"a": ' * 2000,
    b"1e999",
    b"NaN",
    json.dumps({"document": "experiment: x\nsteps: []"}).encode(),
)
VALUES: tuple[Any, ...] = (
    "",
    "\x00",
    "\ud800",
    "../../etc/passwd",
    "x" * 5000,
    "${x}",
    "9999-99-99T99:99",
    "0001-01-01T00:00",
    "9999-12-31T23:59",
    "* * * * *",
    "99999999999999999999h",
    -1,
    2**70,
    1e308,
    True,
    [],
    {},
    [None],
    ["\x00"],
    {"\x00": {}},
    {"cron": "* * 31 2 *", "zone": "UTC"},
    {"at": "9999-12-31T23:59", "zone": "Asia/Seoul"},
    {"cron": "0 0 * * *", "zone": "../UTC", "jitter": "9999h"},
    {"random": True, "mean": "1s", "min_gap": "9h", "zone": "UTC", "windows": ["mon 00:00-00:00"]},
)
PLAIN: dict[str, Any] = {"name": "x", "document": "experiment: x", "file": "x.yaml", "reason": "x"}
PATHS = ("x", "%00", "..%2f..", "x" * 300, "%f0%9f%98%80", "-1")


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as found:
        yield found


def api_routes(some: Any) -> Iterator[APIRoute]:
    for route in some:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from api_routes(inner.routes)


def bodies(route: APIRoute) -> Iterator[bytes]:
    yield from BODIES
    annotation = route.body_field.field_info.annotation if route.body_field else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        usual = {
            name: PLAIN.get(name, "x") for name, one in annotation.model_fields.items() if one.is_required()
        }
        for name in annotation.model_fields:
            yield from (json.dumps(usual | {name: value}).encode() for value in VALUES)


async def test_no_body_and_no_path_makes_a_defect_of_any_route(api: Api) -> None:
    sent, defects = 0, []
    for route in api_routes(api.app.routes):
        if route.path.endswith("/events"):
            continue  # a stream: it has no body and its own tests
        for method in sorted((route.methods or set()) - {"HEAD"}):
            places = PATHS if "{" in route.path else ("",)
            for number, body in enumerate(bodies(route) if method != "GET" else (b"",)):
                for place in places if number < 3 else places[:1]:
                    path = route.path
                    for part in [name for name in path.split("/") if name.startswith("{")]:
                        path = path.replace(part, place)
                    answer = await api.client.request(
                        method, path, content=body, headers={"content-type": "application/json"}
                    )
                    sent += 1
                    if answer.status_code >= 500:
                        defects.append((method, path, body[:200], answer.text[:500]))
    assert not defects
    assert sent > 1000
