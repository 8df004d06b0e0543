"""The whole controller in one process: store, authority, agents' port, runs, API."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from starlette.types import ASGIApp

from blackstart_controller.api.admin import write_admin_context
from blackstart_controller.api.app import Parts, create_app
from blackstart_controller.api.listen import (
    api_server,
    bind,
    certificate_names,
    own_addresses,
    tls_context,
)
from blackstart_controller.api.notify import feed_watchdog, notify
from blackstart_controller.api.place import no_core_dumps, state_directory
from blackstart_controller.control.admission import Admissions
from blackstart_controller.control.lever import Lever
from blackstart_controller.control.leverfile import LeverFile
from blackstart_controller.control.service import Control
from blackstart_controller.fleet.hub import FleetHub
from blackstart_controller.fleet.receive import Reception
from blackstart_controller.fleet.server import FleetServer, tune_gc
from blackstart_controller.gameday.checks import Sources
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.notify.by_apprise import AppriseTargets
from blackstart_controller.notify.channel import Channel
from blackstart_controller.notify.model import Kind
from blackstart_controller.notify.ports import Notifier
from blackstart_controller.notify.service import Notify
from blackstart_controller.notify.webhook import Webhooks
from blackstart_controller.outside.http import HttpOutside
from blackstart_controller.plan.fleet import HostView
from blackstart_controller.runs.clock import Clock, SystemClock
from blackstart_controller.runs.service import Runs
from blackstart_controller.schedule.alarm import ApschedulerAlarms
from blackstart_controller.schedule.service import Schedules
from blackstart_controller.schedule.waker import Waker, World
from blackstart_controller.security.authority import Authority, ServerPair
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.feeds import Feeds
from blackstart_controller.security.operators import Operators
from blackstart_controller.security.tokens import Tokens
from blackstart_controller.store.control import SqlControl
from blackstart_controller.store.gamedays import SqlFeeds, SqlGameDays
from blackstart_controller.store.model import HostRow
from blackstart_controller.store.notify import SqlOutbox
from blackstart_controller.store.schedules import SqlSchedules
from blackstart_controller.store.security import SqlHosts, SqlTokens
from blackstart_controller.store.sqlite import SqliteStore

log = logging.getLogger(__name__)
Address: TypeAlias = tuple[str, int]
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  to be replaced, not to be bound
REFRESH_S = 24 * 3600
AGENTS_BACK_S = 5.0  # after a restart their next dial is at most so far


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller that is up. Ports are the real ones, also where 0 was asked for."""

    runs: Runs
    url: str
    api_port: int
    agents_port: int
    admin_file: Path


def serve(
    state: Path,
    *,
    listen: Address,
    agents_listen: Address,
    names: Sequence[str] = (),
    outside: HttpOutside | None = None,
) -> int:
    """Run the controller until SIGTERM or SIGINT; 0. Raises UsageError when it cannot start."""
    no_core_dumps()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with state_directory(state):
        asyncio.run(_serve_until_told(state, listen, agents_listen, names, outside))
    return 0


async def _serve_until_told(
    state: Path, listen: Address, agents_listen: Address, names: Sequence[str], outside: HttpOutside | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with controller(state, listen, agents_listen, names, outside) as up:
        tune_gc()
        watchdog = asyncio.create_task(feed_watchdog())
        notify("READY=1")
        log.info("serving %s, agents on port %d; context in %s", up.url, up.agents_port, up.admin_file)
        await stop.wait()
        notify("STOPPING=1")
        watchdog.cancel()


@asynccontextmanager
async def controller(
    state: Path,
    listen: Address,
    agents_listen: Address,
    names: Sequence[str] = (),
    outside: HttpOutside | None = None,
) -> AsyncIterator[Controller]:
    """A controller that serves while the block runs. Runs that were under way before are already being ended.

    At the end tethered agents lose their streams, and revert by themselves; nothing has to be sent.
    """
    outside = outside or HttpOutside()  # without a list, nobody is spoken to
    async with AsyncExitStack() as stack:
        sock = stack.enter_context(bind(*listen))
        store = await SqliteStore.open(state / "controller.db")
        stack.push_async_callback(store.close)
        authority = Authority.open(state)
        tokens = Tokens(SqlTokens(store), authority.pin)
        enrolment = Enrolment(authority, tokens, SqlHosts(store))
        pair = authority.issue_server(certificate_names(names))
        hub = FleetHub(
            known=[view_of(row) for row in await store.hosts()], controller_addresses=own_addresses()
        )
        clock = SystemClock.of_this_boot()
        name = names[0] if names else WILDCARDS.get(listen[0], listen[0])
        api_port = int(sock.getsockname()[1])
        notices = await _start_notify(stack, store, clock, outside, f"https://{_bracketed(name)}:{api_port}")
        lever = await _open_lever(stack, state, store, clock, notices)
        admission = Admissions(SqlControl(store), lever, clock)
        runs = Runs(hub, store, clock, admission=admission, notifier=notices, outside=outside)
        await _recover(stack, runs, lever)
        agents_port = await _start_fleet(stack, hub, runs, enrolment, pair, authority, agents_listen)
        parts = Parts(
            runs=runs,
            fleet=hub,
            store=store,
            tokens=tokens,
            enrolment=enrolment,
            authority_pem=authority.certificate_pem,
            agents_port=agents_port,
            name=name,
            schedules=await _start_schedules(stack, store, runs, clock, notices),
            notify=notices,
            control=Control(Operators(tokens), lever, SqlControl(store), tokens, runs, clock),
            gamedays=await _start_gamedays(stack, store, Sources(runs, hub, outside, lever), clock, notices),
            feeds=Feeds(SqlFeeds(store), tokens),
        )
        await _start_api(stack, create_app(parts), pair, sock)
        url = f"https://{_bracketed(WILDCARDS.get(listen[0], listen[0]))}:{api_port}"
        admin_file = state / "admin.json"
        await _keep_admin_context(stack, admin_file, url, parts)
        yield Controller(runs, url, api_port, agents_port, admin_file)


async def _recover(stack: AsyncExitStack, runs: Runs, lever: Lever) -> None:
    """What an earlier controller left under way is being ended, and the lever reaches every run."""
    lever.attach(runs.halt_all)
    await runs.recover()
    stack.push_async_callback(runs.close)


async def _open_lever(
    stack: AsyncExitStack, state: Path, store: SqliteStore, clock: Clock, notifier: Notifier
) -> Lever:
    lever = await Lever.open(LeverFile(state / "lever"), SqlControl(store), clock, notifier)
    stack.push_async_callback(lever.close)
    if (engaged := lever.engaged()) is not None:
        log.warning("%s", engaged.sentence())
    return lever


async def _start_notify(
    stack: AsyncExitStack, store: SqliteStore, clock: SystemClock, outside: HttpOutside, source: str
) -> Notify:
    channels: dict[str, Channel] = {Kind.WEBHOOK: Webhooks(outside, source), Kind.APPRISE: AppriseTargets()}
    notices = Notify(SqlOutbox(store), channels, clock)
    await notices.start()
    stack.push_async_callback(notices.close)
    return notices


async def _start_fleet(
    stack: AsyncExitStack,
    hub: FleetHub,
    runs: Runs,
    enrolment: Enrolment,
    pair: ServerPair,
    authority: Authority,
    listen: Address,
) -> int:
    await hub.start(runs.listener)
    server = FleetServer(
        Reception(hub, enrolment, version=version("blackstart")), pair, authority.certificate_pem
    )
    stack.push_async_callback(server.stop, 0.0)
    stack.push_async_callback(hub.stop)
    return await server.start(f"{_bracketed(listen[0])}:{listen[1]}")


async def _start_schedules(
    stack: AsyncExitStack, store: SqliteStore, runs: Runs, clock: Clock, notifier: Notifier
) -> Schedules:
    """What was due meanwhile is dealt with; from now on due times start runs, until the stack is left."""
    kept = SqlSchedules(store)
    waker = Waker(World(kept, store, runs, clock, notifier, ApschedulerAlarms()), agents_back_s=AGENTS_BACK_S)
    await waker.start()
    stack.push_async_callback(waker.close)
    return Schedules(kept, runs, clock, waker)


async def _start_gamedays(
    stack: AsyncExitStack, store: SqliteStore, sources: Sources, clock: Clock, notifier: Notifier
) -> GameDays:
    """Days that were running go on; reminders and zero-notice days come by themselves."""
    gamedays = GameDays(SqlGameDays(store), store, sources, clock, notifier)
    stack.push_async_callback(gamedays.close)
    await gamedays.recover(AGENTS_BACK_S)
    return gamedays


async def _start_api(stack: AsyncExitStack, app: ASGIApp, pair: ServerPair, sock: socket.socket) -> None:
    server = api_server(app, tls_context(pair))
    serving = asyncio.create_task(server.serve(sockets=[sock]), name="api")

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    while not server.started:  # uvicorn has no event for it; this is a few turns of the loop
        if serving.done():
            await serving
        await asyncio.sleep(0.001)


async def _keep_admin_context(stack: AsyncExitStack, path: Path, url: str, parts: Parts) -> None:
    """Written now, and again whenever the token in it becomes old; it is known before it is ever used."""

    async def keep() -> None:
        await write_admin_context(path, url, parts.tokens, parts.authority_pem)
        await parts.control.operators.load()

    async def refresh() -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await keep()

    await keep()

    task = asyncio.create_task(refresh(), name="admin-context")
    stack.callback(task.cancel)


def view_of(row: HostRow) -> HostView:
    """A host that was seen before and has not connected yet."""
    labels = {**row.labels, "host": row.name, "site": row.site}
    return HostView(row.name, row.site, labels, row.addresses, connected=False)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
