"""Game days over fake agents: a real API on loopback, real database, a clock that the test sets."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from blackstart_controller.api import calendar_feed, gamedays
from blackstart_controller.api.guard import BodyLimit, Guard, install_errors
from blackstart_controller.api.listen import api_server, bind, tls_context
from blackstart_controller.gameday.checks import Sources
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.notify.ports import Nobody, Notice
from blackstart_controller.outside.ports import Reply, Unreadable
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.clock import SystemClock
from blackstart_controller.runs.planning import plan_document
from blackstart_controller.runs.service import Runs
from blackstart_controller.runs.settings import Settings
from blackstart_controller.schedule.alarm import ApschedulerAlarms
from blackstart_controller.schedule.service import Schedules
from blackstart_controller.schedule.waker import Waker, World
from blackstart_controller.security.authority import Authority
from blackstart_controller.security.feeds import Feeds
from blackstart_controller.security.operators import Operators
from blackstart_controller.security.roles import Role
from blackstart_controller.security.tokens import Tokens
from blackstart_controller.spec.document import Document
from blackstart_controller.store.gamedays import SqlFeeds, SqlGameDays
from blackstart_controller.store.schedules import SqlSchedules
from blackstart_controller.store.security import SqlTokens
from blackstart_controller.store.sqlite import SqliteStore
from fastapi import FastAPI

from support.fake_agent import FakeAgent
from support.fake_fleet import FakeFleet
from support.scenes import OBSERVER, order, plan_of

FAST = Settings(lead_s=0.1, first_sample_s=5.0, drain_s=1.0)
NOW = datetime(2026, 12, 1, 1, 30, tzinfo=UTC)  # half past ten in Seoul, in the window below

EXPERIMENT = """\
experiment: NAME
steps:
  - {fault: process.kill, on: "host=t1", unit: redis, for: 10s}
"""

DAY = """\
gameday: winter-drill
title: Lose the first site
description: The largest site loses power.
window: {start: 2026-12-01T10:00, end: 2026-12-01T16:00, zone: Asia/Seoul}
scope: {environment: staging, in: [messenger], out: [billing]}
roles:
  owner: ann@example.com
  abort_owner: bob@example.com
  coordinator: cho@example.com
  observers: [dee@example.com]
hypotheses:
  - {text: When one dies the shop fails over, within: 10s}
experiments:
  - {name: kill-one, file: kill-one.yaml}
  - {name: kill-two, file: kill-two.yaml}
comms: {channel: "#drill", told: [support]}
checklist:
  - {item: On-call is told}
  - {check: agents_up}
  - {check: clocks_good}
  - {check: lever_released}
"""


@dataclass
class SetClock:
    """Wall time is what the test says; monotonic time is this machine's."""

    boot_id: str
    moment: datetime = NOW

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall(self) -> datetime:
        return self.moment


@dataclass
class HeardNotices:
    """A Notifier. What has the same id is heard once, as with the real one."""

    heard: list[Notice] = field(default_factory=list)
    published: int = 0

    async def publish(self, notice: Notice) -> None:
        self.published += 1
        if not notice.id or notice.id not in {one.id for one in self.heard}:
            self.heard.append(notice)

    def types(self) -> list[str]:
        return [one.type for one in self.heard]


@dataclass
class ScriptedOutside:
    """An Outside: `answers` by URL, a status or the reason why there is none. Other URLs are not allowed."""

    answers: dict[str, int | str] = field(default_factory=dict)

    def refusal(self, url: str) -> str | None:
        return None if url in self.answers else f"{url} is not allowed; use serve --allow-url"

    async def get(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
        answer = self.answers[url]
        if isinstance(answer, str):
            raise Unreadable(answer)
        return Reply(answer, b"")

    async def post(
        self, url: str, body: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return await self.get(url, timeout_s=timeout_s)


@dataclass
class Rig:
    """One controller's life over `folder`. Make another over the same folder for its next life."""

    folder: Path
    url: str
    pem: str
    fleet: FakeFleet
    runs: Runs
    days: GameDays
    store: SqliteStore
    clock: SetClock
    notices: HeardNotices
    outside: ScriptedOutside
    tokens: Tokens
    plan: Plan
    client: httpx2.AsyncClient

    def at(self, moment: datetime) -> None:
        """Set the wall clock."""
        self.clock.moment = moment

    async def token(self, name: str, role: Role) -> str:
        return (await self.tokens.create_operator(name, role)).token.reveal()

    async def context(self, name: str = "alice", role: Role = Role.ADMIN) -> Path:
        """A context file for the command line."""
        path = self.folder / f"{name}.json"
        path.touch(mode=0o600)
        token = await self.token(name, role)
        path.write_text(json.dumps({"url": self.url, "token": token, "ca_pem": self.pem}))
        return path

    async def planned(self, document: str = DAY) -> str:
        body = {"document": document, "file": "drill.yaml", "experiments": texts(document)}
        answer = await self.client.post("/v1/gamedays", json=body)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["gameday"]["id"]
        return found

    async def post(self, day: str, what: str, body: Any = None, status: int | None = None) -> Any:
        answer = await self.client.post(f"/v1/gamedays/{day}/{what}", json=body or {})
        if status is not None:
            assert answer.status_code == status, answer.text
        return answer.json()

    async def started(self, document: str = DAY) -> str:
        day = await self.planned(document)
        await self.post(day, "check", {"done": ["1"]}, 200)
        await self.post(day, "start", status=200)
        return day

    async def day(self, day: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/v1/gamedays/{day}")).json()
        return found

    async def until(self, day: str, *kinds: str) -> dict[str, Any]:
        """The day as soon as its timeline has these kinds, each as often as it is named."""
        async with asyncio.timeout(30):
            while True:
                found = await self.day(day)
                told = [one["kind"] for one in found["timeline"]]
                if all(told.count(kind) >= kinds.count(kind) for kind in kinds):
                    return found
                await asyncio.sleep(0.02)


def texts(document: str) -> dict[str, str]:
    """The experiments that a document names, as files."""
    return {name: EXPERIMENT.replace("NAME", name[:-5]) for name in re.findall(r"file: ([\w.-]+)", document)}


@asynccontextmanager
async def rig(
    folder: Path, notices: HeardNotices | None = None, *, hold_s: float = 0.5, timers: bool = False
) -> AsyncIterator[Rig]:
    """A controller that serves. Its timers act only when the test calls them, unless `timers`."""
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(folder / "controller.db")
        stack.push_async_callback(store.close)
        agents = [FakeAgent("t1", "dark", offset_s=5.0), FakeAgent(OBSERVER, "bright")]
        fleet = FakeFleet(agents)
        agents[1].up = lambda _probe: not agents[0].active()
        stack.callback(fleet.kill)
        stack.callback(agents[1].stop_all_probes)
        made: list[Rig] = []

        def planner(document: Document, snapshot: FleetSnapshot) -> Plan:
            plan_document(document, snapshot)  # a document that is wrong stays wrong
            plan = made[0].plan
            return replace(plan, orders=tuple(replace(one, id=str(uuid.uuid4())) for one in plan.orders))

        clock = SetClock(SystemClock.of_this_boot().boot_id)
        runs = Runs(fleet, store, clock, settings=FAST, planner=planner)
        outside, heard = ScriptedOutside(), notices or HeardNotices()
        days = GameDays(SqlGameDays(store), store, Sources(runs, fleet, outside), clock, heard)
        authority = Authority.open(folder / "authority")
        tokens = Tokens(SqlTokens(store), authority.pin)
        waker = Waker(World(SqlSchedules(store), store, runs, clock, Nobody(), ApschedulerAlarms()))
        schedules = Schedules(SqlSchedules(store), runs, clock, waker)
        app = _app(days, Feeds(SqlFeeds(store), tokens), schedules, tokens)
        url = await _serve(stack, app, authority)
        pem = authority.certificate_pem.decode()
        token = (await tokens.create_operator("alice", Role.ADMIN)).token.reveal()
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
                base_url="https://ctl:8470",
                headers={"Authorization": f"Bearer {token}"},
            )
        )
        plan = plan_of(order("t1", hold_s=hold_s), baseline_s=0.2, settle_s=0.2, watch_s=5.0)
        found = Rig(folder, url, pem, fleet, runs, days, store, clock, heard, outside, tokens, plan, client)
        made.append(found)
        await runs.recover()
        stack.push_async_callback(runs.close)
        await fleet.attach(runs.listener)
        stack.push_async_callback(days.close)
        await days.recover(0.0 if timers else timedelta(days=1).total_seconds())
        yield found


def _app(days: GameDays, feeds: Feeds, schedules: Schedules, tokens: Tokens) -> FastAPI:
    app = FastAPI(openapi_url=None)
    install_errors(app)
    for router in (*gamedays.routes(days), *calendar_feed.routes(feeds, days, schedules)):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    open_routes = frozenset({calendar_feed.FEED_ROUTE})
    app.add_middleware(Guard, check=Operators(tokens).admit, open_routes=open_routes)
    return app


async def _serve(stack: AsyncExitStack, app: FastAPI, authority: Authority) -> str:
    sock = stack.enter_context(bind("127.0.0.1", 0))
    server = api_server(app, tls_context(authority.issue_server(["127.0.0.1"])))
    serving = asyncio.create_task(server.serve(sockets=[sock]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.001)
    return f"https://127.0.0.1:{sock.getsockname()[1]}"
