"""The operators' API over fake agents, in real time but with little patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blackstart_controller.api.app import OPEN_ROUTES
from blackstart_controller.api.events import server_sent
from blackstart_controller.api.guard import MAX_BODY_BYTES
from blackstart_controller.store.model import RunEvent
from blackstart_proto.v1 import agent_pb2
from support.api_scene import DOCUMENT, Api, open_api, routes
from support.scenes import OBSERVER, plan_of

MISSING_RUN = "00000000-0000-0000-0000-000000000000"


SCHEDULE_ROUTES = {
    *((method, f"/v1/{noun}") for method in ("GET", "POST") for noun in ("schedules", "calendars")),
    ("GET", "/v1/schedules/{name}"),
    ("GET", "/v1/schedules/{name}/next"),
    *(("POST", f"/v1/schedules/{{name}}/{verb}") for verb in ("arm", "disarm", "pause", "resume", "remove")),
    ("GET", "/v1/calendars/{name}"),
    ("POST", "/v1/calendars/{name}/remove"),
}
CONTROL_ROUTES = {
    *((method, "/v1/operators") for method in ("GET", "POST")),
    ("POST", "/v1/operators/{name}/revoke"),
    ("GET", "/v1/control/events"),
    ("GET", "/v1/environments"),
    *((method, "/v1/environments/{name}") for method in ("GET", "POST")),
    ("POST", "/v1/environments/{name}/remove"),
    *(("POST", f"/v1/runs/{{run_id}}/{verb}") for verb in ("approve", "deny")),
    ("GET", "/v1/lever"),
    *(("POST", f"/v1/lever/{verb}") for verb in ("engage", "release")),
}
NOTIFY_ROUTES = {
    *((method, "/v1/notify/targets") for method in ("GET", "POST")),
    ("GET", "/v1/notify/targets/{name}"),
    *(("POST", f"/v1/notify/targets/{{name}}/{verb}") for verb in ("remove", "test")),
    ("GET", "/v1/notify/log"),
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as made:
        yield made


async def test_every_documented_route_exists_and_no_other(api: Api) -> None:
    run, day = "/v1/runs/{run_id}", "/v1/gamedays/{gameday_id}"
    assert set(routes(api.app)) == {
        *OPEN_ROUTES,
        ("GET", "/v1/hosts"),
        ("GET", "/v1/hosts/{name}"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/plans"),
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs"),
        ("GET", run),
        ("GET", f"{run}/events"),
        ("POST", f"{run}/halt"),
        ("POST", "/v1/halt"),
        ("GET", f"{run}/report.json"),
        ("GET", f"{run}/report.html"),
        ("GET", f"{run}/report.md"),
        ("POST", "/v1/gamedays"),
        ("GET", "/v1/gamedays"),
        ("GET", day),
        *(("POST", f"{day}/{what}") for what in ("check", "start", "go", "abort", "finish")),
        *(("POST", f"{day}/{what}") for what in ("notes", "findings", "hypotheses/{number}")),
        ("POST", f"{day}/findings/{{number}}/retests"),
        *(("GET", f"{day}/report.{form}") for form in ("json", "html", "md")),
        ("POST", "/v1/feeds"),
        ("GET", "/v1/feeds"),
        ("POST", "/v1/feeds/{feed_id}/revoke"),
        *SCHEDULE_ROUTES,
        *CONTROL_ROUTES,
        *NOTIFY_ROUTES,
    }


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer bsk_wrong", "Basic YTpi", f"Bearer bsk_{'A' * 43}", "bsk_no_scheme"],
)
async def test_nobody_gets_anywhere_without_a_good_token(api: Api, authorization: str) -> None:
    for method, path in [*routes(api.app), ("GET", "/docs"), ("GET", "/openapi.json"), ("PUT", "/nope")]:
        if (method, path) in OPEN_ROUTES:
            continue
        answer = await api.client.request(
            method, path, headers={"Authorization": authorization}, content=b"{"
        )
        assert answer.status_code == 401, (method, path)
        assert answer.json()["error"]["code"] == "unauthorised"
    assert not api.fleet.calls


async def test_a_token_in_the_url_is_not_accepted(api: Api) -> None:
    token = api.client.headers["Authorization"].removeprefix("Bearer ")
    answer = await api.client.get(
        f"/v1/hosts?token={token}&access_token={token}", headers={"Authorization": ""}
    )
    assert answer.status_code == 401


async def test_a_join_token_is_no_operators_token(api: Api) -> None:
    join = (await api.tokens.create_join()).token.reveal()
    for secret in (join, join.partition(".")[0]):
        answer = await api.client.get("/v1/hosts", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 401


async def test_open_routes_answer_everyone(api: Api) -> None:
    bare = {"Authorization": ""}
    assert (await api.client.get("/livez", headers=bare)).text == "ok\n"
    assert "BEGIN CERTIFICATE" in (await api.client.get("/ca.pem", headers=bare)).text


async def test_enrolling_without_a_good_join_token_is_refused(api: Api) -> None:
    request = agent_pb2.EnrolRequest(token="bsj_wrong", host="h1", csr_pem=b"x")
    answer = await api.client.post("/v1/enrol", content=request.SerializeToString())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorised")
    answer = await api.client.post("/v1/enrol", content=b"\xff\xff\xff")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage")


async def test_a_body_over_the_limit_is_refused_announced_or_not(api: Api) -> None:
    big = b"x" * (MAX_BODY_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield big

    for content in (big, pieces()):
        answer = await api.client.post("/v1/plans", content=content)
        assert answer.status_code == 413
        assert "262144" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nope", None, 404, "not_found"),
        ("DELETE", "/v1/runs", None, 405, "usage"),
        ("GET", f"/v1/runs/{MISSING_RUN}", None, 404, "not_found"),
        ("GET", f"/v1/runs/{MISSING_RUN}/events", None, 404, "not_found"),
        ("GET", f"/v1/runs/{MISSING_RUN}/report.html", None, 404, "not_found"),
        ("POST", f"/v1/runs/{MISSING_RUN}/halt", {"reason": "x"}, 404, "not_found"),
        ("GET", "/v1/hosts/nope", None, 404, "not_found"),
        ("POST", "/v1/runs", {"document": 7}, 400, "usage"),
        ("POST", "/v1/runs", {"document": "x", "unknown": 1}, 400, "usage"),
        ("POST", "/v1/runs", {"document": "a: b", "file": "bad.yaml"}, 422, "invalid_document"),
        ("POST", "/v1/plans", {"document": "- [", "file": "bad.yaml"}, 422, "invalid_document"),
        ("POST", "/v1/tokens", {"ttl_s": 0}, 400, "usage"),
        ("POST", "/v1/tokens", {"host": "../x"}, 400, "usage"),
    ],
)
async def test_every_error_has_one_shape(
    api: Api, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await api.client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


async def test_an_invalid_document_is_answered_with_its_file_line_and_column(api: Api) -> None:
    answer = await api.client.post(
        "/v1/runs", json={"document": "experiment: x\nstep: []\n", "file": "bad.yaml"}
    )
    assert "bad.yaml:2:1" in answer.json()["error"]["message"]


async def test_a_defect_gives_nothing_away(api: Api) -> None:
    api.plan = None  # type: ignore[assignment]
    answer = await api.client.post("/v1/runs", json=DOCUMENT)
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "internal error; see the controller's log"


async def test_the_inventory_shows_what_each_host_is(api: Api) -> None:
    hosts = (await api.client.get("/v1/hosts")).json()["hosts"]
    assert [(host["name"], host["site"], host["connected"]) for host in hosts] == [
        ("t1", "dark", True),
        (OBSERVER, "bright", True),
    ]
    one = (await api.client.get("/v1/hosts/t1")).json()
    assert one == hosts[0]
    assert one["first_seen"]


async def test_a_join_token_carries_the_authoritys_pin(api: Api) -> None:
    answer = (await api.client.post("/v1/tokens", json={"host": "h1", "ttl_s": 60})).json()
    assert answer["token"].startswith("bsj_")
    assert len(answer["token"].partition(".")[2]) == 64
    assert answer["expires"].endswith("Z")


async def test_a_plan_holds_each_agents_own_answer_and_touches_nothing(api: Api) -> None:
    api.fleet.agents["t1"].refuses = ("policy.toml forbids it",)
    answer = (await api.client.post("/v1/plans", json=DOCUMENT)).json()
    assert answer["plan"]["orders"][0]["host"] == "t1"
    assert answer["answers"][0]["refusals"] == ["policy.toml forbids it"]
    assert answer["answers"][0]["hits"]
    assert len(answer["hash"]) == 64
    assert {what for what, _host in api.fleet.calls} == {"resolve"}


async def test_a_run_from_start_to_every_report(api: Api) -> None:
    run_id = await api.run_to_its_end()
    row = (await api.client.get(f"/v1/runs/{run_id}")).json()
    assert (row["state"], row["verdict"], row["reverted"], row["exit_code"]) == (
        "ended",
        "pass",
        "confirmed",
        0,
    )
    assert row["operator"] == "alice"
    assert [one["id"] for one in (await api.client.get("/v1/runs")).json()["runs"]] == [run_id]
    report = (await api.client.get(f"/v1/runs/{run_id}/report.json")).json()
    assert (report["schema"], report["run"], report["verdict"]) == (1, run_id, "pass")
    assert report["services"][0]["recovery"]["low"] <= 0.55
    html = await api.client.get(f"/v1/runs/{run_id}/report.html")
    assert html.headers["content-type"].startswith("text/html")
    assert "shop" in html.text
    markdown = await api.client.get(f"/v1/runs/{run_id}/report.md")
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert "shop" in markdown.text


async def test_one_idempotency_key_starts_one_run(api: Api) -> None:
    headers = {"Idempotency-Key": "key-1"}
    answers = await asyncio.gather(
        *(api.client.post("/v1/runs", json=DOCUMENT, headers=headers) for _ in range(4))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_second_run_on_the_same_target_is_refused_with_the_firsts_id(api: Api) -> None:
    first = (await api.client.post("/v1/runs", json=DOCUMENT)).json()["id"]
    answer = await api.client.post("/v1/runs", json=DOCUMENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refused")
    assert first in answer.json()["error"]["message"]


async def test_the_event_stream_is_the_whole_log_and_then_the_end(api: Api) -> None:
    run_id: str = (await api.client.post("/v1/runs", json=DOCUMENT)).json()["id"]
    answer = await api.client.get(f"/v1/runs/{run_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame for frame in answer.text.split("\n\n") if frame and not frame.startswith(":")]
    assert frames[-1].startswith("event: end")
    numbers = [int(frame.splitlines()[0].removeprefix("id: ")) for frame in frames[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    events = [json.loads(frame.splitlines()[1].removeprefix("data: ")) for frame in frames[:-1]]
    assert events[-1]["type"] == "ended"
    rest = (await api.client.get(f"/v1/runs/{run_id}/events?after={numbers[-2]}")).text
    assert f"id: {numbers[-1]}\n" in rest
    assert f"id: {numbers[-2]}\n" not in rest


async def nothing_to_check() -> None:
    return None


async def test_a_quiet_event_stream_sends_heartbeats() -> None:
    release = asyncio.Event()

    async def quiet() -> AsyncIterator[RunEvent]:
        await release.wait()
        yield RunEvent("r", 1, 1, "t", "b", "note", "", "", {})

    frames = server_sent(quiet(), heartbeat_s=0.001, check=nothing_to_check)
    assert [await anext(frames) for _ in range(3)] == [
        b": open\n\n",
        b": still here\n\n",
        b": still here\n\n",
    ]
    release.set()
    rest = [frame async for frame in frames]
    assert [frame for frame in rest if not frame.startswith(b":")][-1].startswith(b"event: end")


async def test_halting_through_the_api_ends_the_run_halted(api: Api) -> None:
    api.plan = plan_of(replace(api.plan.orders[0], hold_s=60.0), baseline_s=0.2, settle_s=0.2)
    run_id: str = (await api.client.post("/v1/runs", json=DOCUMENT)).json()["id"]
    answer = await api.client.post(f"/v1/runs/{run_id}/halt", json={"reason": "enough"})
    assert answer.status_code == 200
    async with asyncio.timeout(30):
        await api.runs.wait(run_id)
    row = (await api.client.get(f"/v1/runs/{run_id}")).json()
    assert (row["verdict"], row["halted_by"], row["reason"]) == ("halted", "alice", "enough")
    assert (await api.client.post(f"/v1/runs/{run_id}/halt", json={"reason": "again"})).status_code == 200


async def test_halting_everything_names_what_was_halted(api: Api) -> None:
    api.plan = plan_of(replace(api.plan.orders[0], hold_s=60.0), baseline_s=0.2, settle_s=0.2)
    run_id: str = (await api.client.post("/v1/runs", json=DOCUMENT)).json()["id"]
    assert (await api.client.post("/v1/halt", json={"reason": "fire"})).json() == {"halted": [run_id]}
    async with asyncio.timeout(30):
        await api.runs.wait(run_id)
    assert not api.fleet.agents["t1"].orders
