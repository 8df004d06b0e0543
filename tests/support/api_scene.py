"""The operators' API over fake agents, a real database and real time, for tests of its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from blackstart_controller.api.app import Parts, create_app
from blackstart_controller.gameday.checks import Sources
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.notify.ports import Nobody
from blackstart_controller.notify.service import Notify
from blackstart_controller.outside.http import HttpOutside
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
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.feeds import Feeds
from blackstart_controller.security.roles import Role
from blackstart_controller.security.tokens import Tokens
from blackstart_controller.spec.document import Document
from blackstart_controller.store.gamedays import SqlFeeds, SqlGameDays
from blackstart_controller.store.notify import SqlOutbox
from blackstart_controller.store.schedules import SqlSchedules
from blackstart_controller.store.security import SqlHosts, SqlTokens
from blackstart_controller.store.sqlite import SqliteStore
from fastapi import FastAPI
from fastapi.routing import APIRoute

from support.controls import open_admissions, open_control
from support.fake_agent import FakeAgent
from support.fake_fleet import FakeFleet
from support.scenes import OBSERVER, order, plan_of

FAST = Settings(lead_s=0.1, first_sample_s=5.0, drain_s=1.0)
DOCUMENT = {"document": "experiment: x", "file": "x.yaml"}


@dataclass
class Api:
    app: FastAPI
    client: httpx2.AsyncClient
    runs: Runs
    fleet: FakeFleet
    tokens: Tokens
    plan: Plan

    async def run_to_its_end(self) -> str:
        run_id: str = (await self.client.post("/v1/runs", json=DOCUMENT)).json()["id"]
        async with asyncio.timeout(30):
            await self.runs.wait(run_id)
        return run_id


@asynccontextmanager
async def open_api(folder: Path) -> AsyncIterator[Api]:
    """The whole API; its client is `alice`, an admin."""
    store = await SqliteStore.open(folder / "controller.db")
    agents = [FakeAgent("t1", "dark", offset_s=5.0), FakeAgent(OBSERVER, "bright")]
    fleet = FakeFleet(agents)
    agents[1].up = lambda _probe: not agents[0].active()
    made: list[Api] = []

    def planner(document: Document, snapshot: FleetSnapshot) -> Plan:
        return made[0].plan if document.text == DOCUMENT["document"] else plan_document(document, snapshot)

    clock = SystemClock.of_this_boot()
    lever, admission = await open_admissions(folder, store, clock)
    runs = Runs(fleet, store, clock, settings=FAST, planner=planner, admission=admission)
    await fleet.attach(runs.listener)
    authority = Authority.open(folder / "authority")
    tokens = Tokens(SqlTokens(store), authority.pin)
    enrolment = Enrolment(authority, tokens, SqlHosts(store))
    kept = SqlSchedules(store)
    waker = Waker(World(kept, store, runs, clock, Nobody(), ApschedulerAlarms()))
    await waker.start()
    schedules = Schedules(kept, runs, clock, waker)
    gamedays = GameDays(SqlGameDays(store), store, Sources(runs, fleet, HttpOutside()), clock)
    notify = Notify(SqlOutbox(store), {}, clock)
    app = create_app(
        Parts(
            runs=runs,
            fleet=fleet,
            store=store,
            tokens=tokens,
            enrolment=enrolment,
            authority_pem=authority.certificate_pem,
            agents_port=8471,
            name="localhost",
            schedules=schedules,
            control=await open_control(lever, store, tokens, runs, clock),
            notify=notify,
            gamedays=gamedays,
            feeds=Feeds(SqlFeeds(store), tokens),
        )
    )
    token = (await tokens.create_operator("alice", Role.ADMIN)).token.reveal()
    plan = plan_of(order("t1", hold_s=0.5), baseline_s=0.2, settle_s=0.2, watch_s=5.0)
    try:
        async with client_of(app, token) as client:
            made.append(Api(app, client, runs, fleet, tokens, plan))
            yield made[0]
    finally:
        await gamedays.close()
        await waker.close()
        await lever.close()
        await runs.close()
        fleet.kill()
        agents[1].stop_all_probes()
        await asyncio.sleep(0)
        await store.close()


def client_of(app: FastAPI, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
        base_url="https://ctl:8470",
        headers={"Authorization": f"Bearer {token}"},
    )


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every route of the application, found from itself: a new one cannot be forgotten here."""
    found: list[tuple[str, str]] = []

    def walk(some: Any) -> None:
        for route in some:
            if isinstance(route, APIRoute):
                found.extend((method, route.path) for method in route.methods or ())
            elif (inner := getattr(route, "original_router", None)) is not None:
                walk(inner.routes)

    walk(app.routes)
    return found
