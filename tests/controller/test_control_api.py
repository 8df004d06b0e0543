"""Roles, operators and control over the API, with a real database that also fails."""

from __future__ import annotations

import asyncio
import itertools
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blackstart_controller.api.app import OPEN_ROUTES
from blackstart_controller.api.events import HEARTBEAT_S
from blackstart_controller.api.guard import Decision
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.security.roles import GRANTS, Permission, Role
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from support.api_scene import DOCUMENT, Api, client_of, open_api
from support.scenes import order, plan_of

ENOUGH_S = 2.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as made:
        yield made


def decisions(app: FastAPI) -> dict[tuple[str, str], list[Permission]]:
    """What every route of the application asks for, found from itself."""
    found: dict[tuple[str, str], list[Permission]] = {}

    def walk(some: Any) -> None:
        for route in some:
            if isinstance(route, APIRoute):
                asked = [
                    one.call.permission
                    for one in route.dependant.dependencies
                    if isinstance(one.call, Decision)
                ]
                found.update({(method, route.path): asked for method in route.methods or ()})
            elif (inner := getattr(route, "original_router", None)) is not None:
                walk(inner.routes)

    walk(app.routes)
    return {route: asked for route, asked in found.items() if route not in OPEN_ROUTES}


async def operator(api: Api, name: str, role: Role, **more: Any) -> httpx2.AsyncClient:
    answer = await api.client.post("/v1/operators", json={"name": name, "role": role, **more})
    assert answer.status_code == 201, answer.text
    return client_of(api.app, answer.json()["token"])


async def start(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/v1/runs", json=DOCUMENT)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def long_plan(api: Api) -> None:
    api.plan = plan_of(order("t1", hold_s=60.0), baseline_s=0.2, settle_s=0.2)


async def holding(api: Api, run_id: str) -> None:
    async with asyncio.timeout(10):
        while not api.fleet.agents["t1"].active():  # noqa: ASYNC110  an agent of another task
            await asyncio.sleep(0.01)
    assert api.runs.live(run_id) is not None


async def clean(api: Api) -> float:
    """How long it took until the agent held nothing."""
    since_s = time.monotonic()
    async with asyncio.timeout(10):
        while api.fleet.agents["t1"].orders:  # noqa: ASYNC110  an agent of another task
            await asyncio.sleep(0.01)
    return time.monotonic() - since_s


# ---- roles ----


async def test_every_route_has_exactly_one_decision(api: Api) -> None:
    asked = decisions(api.app)
    assert len(asked) > 30
    assert {route: found for route, found in asked.items() if len(found) != 1} == {}


async def test_every_route_lets_in_the_roles_that_may_and_nobody_else(api: Api) -> None:
    clients = {role: await operator(api, f"the-{role}", role) for role in Role}
    wrong: list[tuple[str, str, str, int]] = []
    for (method, path), [permission] in decisions(api.app).items():
        url = re.sub(r"\{[^}]+\}", "none", path)
        for role, client in clients.items():
            answer = await client.request(method, url, json={} if method == "POST" else None)
            forbidden = answer.status_code == 403 and answer.json()["error"]["code"] == "forbidden"
            if forbidden != (permission not in GRANTS[role]):
                wrong.append((method, path, role, answer.status_code))
        answer = await api.client.request(method, url, headers={"Authorization": ""})
        if answer.status_code != 401:
            wrong.append((method, path, "no token", answer.status_code))
    assert wrong == []


async def test_a_route_without_a_decision_lets_nobody_through(api: Api) -> None:
    router = APIRouter()

    @router.get("/v1/forgotten")
    async def forgotten() -> str:
        return "secret"

    api.app.include_router(router)
    answer = await api.client.get("/v1/forgotten")
    assert (answer.status_code, "secret" in answer.text) == (403, False)


def test_each_role_may_all_that_the_one_before_may() -> None:
    granted = [GRANTS[role] for role in Role]
    assert all(less < more for less, more in itertools.pairwise(granted))
    assert Permission.HALT in GRANTS[Role.OPERATOR]
    assert Permission.APPROVE not in GRANTS[Role.OPERATOR]


async def test_who_may_not_is_told_which_role_may(api: Api) -> None:
    viewer = await operator(api, "vera", Role.VIEWER)
    message = (await viewer.post("/v1/runs", json=DOCUMENT)).json()["error"]["message"]
    assert "needs the role operator, and vera is viewer" in message


# ---- operators ----


async def test_an_operator_is_listed_with_its_last_use_and_refused_once_revoked(api: Api) -> None:
    bob = await operator(api, "bob", Role.OPERATOR, ttl_s=3600)
    listed = {one["name"]: one for one in (await api.client.get("/v1/operators")).json()["operators"]}
    assert listed["bob"]["last_used"] is None
    assert (await bob.get("/v1/hosts")).status_code == 200
    async with asyncio.timeout(5):
        while not listed["bob"]["last_used"]:
            listed = {one["name"]: one for one in (await api.client.get("/v1/operators")).json()["operators"]}
    assert listed["bob"]["role"] == "operator"
    assert (await api.client.post("/v1/operators/bob/revoke")).status_code == 200
    assert (await bob.get("/v1/hosts")).status_code == 401
    assert (await api.client.post("/v1/operators/bob/revoke")).status_code == 404
    log = (await api.client.get("/v1/control/events")).json()["events"]
    assert [(one["type"], one["by"]) for one in log] == [
        ("operator.created", "alice"),
        ("operator.revoked", "alice"),
    ]
    assert "bsk_" not in str(log)


async def test_a_stream_that_is_open_breaks_off_when_its_reader_is_revoked(api: Api) -> None:
    long_plan(api)
    vera = await operator(api, "vera", Role.VIEWER)
    run_id = await start(api.client)
    await holding(api, run_id)
    reading = asyncio.create_task(vera.get(f"/v1/runs/{run_id}/events"))
    await asyncio.sleep(0.2)
    assert not reading.done()
    await api.client.post("/v1/operators/vera/revoke")
    async with asyncio.timeout(ENOUGH_S + HEARTBEAT_S):
        text = (await reading).text
    assert "event: end" not in text
    await api.client.post("/v1/halt", json={"reason": "done"})
    await clean(api)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "bob", "role": "root"}, "must be one of viewer, operator, approver, admin"),
        ({"name": "b b", "role": "viewer"}, "must be 1 to 63 letters"),
        ({"name": "schedule:x", "role": "viewer"}, "must be 1 to 63 letters"),
        ({"name": "admin", "role": "viewer"}, "choose another"),
        ({"name": "alice", "role": "viewer"}, "has a token already"),
        ({"name": "bob", "role": "viewer", "ttl_s": 367 * 86400}, "366 days"),
        ({"name": "bob", "role": "viewer", "ttl_s": 0}, "366 days"),
    ],
)
async def test_an_operator_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any], told: str) -> None:
    answer = await api.client.post("/v1/operators", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


# ---- environments, approval and lever, as the routes say them ----


async def test_a_second_person_over_the_api(api: Api) -> None:
    await api.client.post("/v1/environments/prod", json={"hosts": "host=t1", "second_person": True})
    bob, carol = await operator(api, "bob", Role.OPERATOR), await operator(api, "carol", Role.APPROVER)
    run_id = await start(bob)
    shown = (await bob.get(f"/v1/runs/{run_id}")).json()
    assert shown["state"] == "awaiting_approval"
    assert "an approver other than bob" in shown["waits_for"]
    assert (await bob.post(f"/v1/runs/{run_id}/approve", json={})).status_code == 403
    assert (await carol.post(f"/v1/runs/{run_id}/approve", json={})).status_code == 200
    async with asyncio.timeout(20):
        await api.runs.wait(run_id)
    assert (await bob.get(f"/v1/runs/{run_id}")).json()["verdict"] == "pass"
    api.plan = plan_of(order("t1", id="the second run's"), baseline_s=0.2)
    mine = await start(carol)
    answer = await carol.post(f"/v1/runs/{mine}/approve", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refused")
    assert (await api.client.post(f"/v1/runs/{mine}/deny", json={"reason": "no"})).status_code == 200
    types = [one["type"] for one in (await api.client.get("/v1/control/events")).json()["events"]]
    assert types[-2:] == ["run.approved", "run.denied"]


async def test_a_protected_environment_over_the_api(api: Api) -> None:
    await api.client.post("/v1/environments/vault", json={"hosts": "site=dark", "protected": True})
    answer = await api.client.post("/v1/runs", json=DOCUMENT)
    made = plan_hash(api.plan)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "plan_hash_needed")
    assert f"blackstart run x.yaml --plan {made[:8]}" in answer.json()["error"]["message"]
    answer = await api.client.post("/v1/runs", json=DOCUMENT | {"plan_hash": made[:8]})
    assert answer.status_code == 201
    assert (await api.client.get("/v1/environments")).json()["environments"][0]["name"] == "vault"
    assert (await api.client.post("/v1/environments/vault/remove")).status_code == 200
    assert (await api.client.get("/v1/environments/vault")).status_code == 404


async def test_the_lever_over_the_api(api: Api) -> None:
    bob, carol = await operator(api, "bob", Role.OPERATOR), await operator(api, "carol", Role.APPROVER)
    assert (await bob.post("/v1/lever/engage", json={"reason": ""})).status_code == 400
    engaged = (await bob.post("/v1/lever/engage", json={"reason": "fire"})).json()
    assert (engaged["engaged"], engaged["halted"], engaged["warning"]) == (True, [], "")
    answer = await carol.post("/v1/runs", json=DOCUMENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refused")
    assert "by bob: fire" in answer.json()["error"]["message"]
    assert (await bob.post("/v1/lever/release", json={"reason": "out"})).status_code == 403
    assert (await carol.post("/v1/lever/release", json={"reason": "out"})).json()["released"] is True
    assert (await bob.get("/v1/lever")).json() == {"engaged": False, "state": None}


async def test_what_is_not_there_is_told_in_our_own_words(api: Api) -> None:
    answer = await api.client.get("/v1/runs/../x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "nothing is here" in answer.json()["error"]["message"]


# ---- without the database ----


async def lose_database(folder: Path, how: str, stack: ExitStack) -> None:
    """Every read and every write fails from now on, or every write hangs."""
    database = stack.enter_context(
        closing(sqlite3.connect(folder / "controller.db", check_same_thread=False))
    )
    database.isolation_level = None
    await asyncio.to_thread(database.execute, "BEGIN IMMEDIATE")
    if how == "gone":
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (name,) in tables:
            database.execute(f"DROP TABLE {name}")
        database.execute("COMMIT")


@pytest.mark.parametrize("how", ["gone", "locked"])
@pytest.mark.parametrize("way", ["halt", "halt-all", "lever"])
async def test_without_its_database_the_controller_halts_within_two_seconds(
    api: Api, tmp_path: Path, way: str, how: str
) -> None:
    with ExitStack() as stack:
        await halt_without_database(api, tmp_path, way, how, stack)


async def halt_without_database(api: Api, folder: Path, way: str, how: str, stack: ExitStack) -> None:
    long_plan(api)
    bob = await operator(api, "bob", Role.OPERATOR)  # who has never used the token
    run_id = await start(api.client)
    await holding(api, run_id)
    await lose_database(folder, how, stack)
    if how == "gone":
        assert (await api.client.get("/v1/hosts")).status_code == 503, "everything else needs it"
    route = {"halt": f"/v1/runs/{run_id}/halt", "halt-all": "/v1/halt", "lever": "/v1/lever/engage"}[way]
    since_s = time.monotonic()
    answer = await bob.post(route, json={"reason": "fire"})
    took_s = time.monotonic() - since_s
    assert answer.status_code == 200, answer.text
    assert took_s < ENOUGH_S
    clean_s = await clean(api)
    assert took_s + clean_s < ENOUGH_S
    print(f"{way}, database {how}: acknowledged in {took_s * 1000:.0f} ms, clean {clean_s:.3f} s later")
