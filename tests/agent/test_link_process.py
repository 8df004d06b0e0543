"""The link as its own process, between a fake guardian and a real controller that dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blackstart_agent import config
from blackstart_agent.link import keystore, openssl
from support.control_plane import Controller, FakeGuardian, until

TESTS = Path(__file__).resolve().parent.parent
HEAVY = ("psutil", "blackstart_agent.policy", "blackstart_agent.guardian", "cryptography")


@dataclass
class Link:
    process: asyncio.subprocess.Process
    guardian: FakeGuardian


@contextlib.asynccontextmanager
async def running_link(settings: config.AgentConfig) -> AsyncIterator[Link]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings.path.write_text(config.render(settings))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "blackstart_agent.link", "--fd", str(theirs.fileno())),
        *("--config", str(settings.path)),
        pass_fds=[theirs.fileno()],
        stderr=asyncio.subprocess.PIPE,
    )
    theirs.close()
    guardian = FakeGuardian(ours)
    try:
        yield Link(process, guardian)
    finally:
        await guardian.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def enrolled(folder: Path, controller: Controller, age: timedelta = timedelta(0)) -> config.AgentConfig:
    settings = config.AgentConfig(
        name="db-1",
        controller=("127.0.0.1", controller.port or 1),
        state_dir=folder / "state",
        policy=folder / "policy.toml",
        link_user="",
        path=folder / "agent.toml",
    )
    config.make_state(settings)
    key_pem = openssl.new_key_pem()
    request = openssl.request_pem(key_pem, "db-1")
    issued = controller.authority.sign_host_csr(request, "db-1", now=datetime.now(UTC) - age)
    identity = keystore.Identity(key_pem, issued.certificate_pem, issued.authority_pem)
    keystore.store(settings.link_dir, identity, None)
    controller.hosts.hosts.add("db-1")
    return settings


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    made = Controller(tmp_path / "controller")
    await made.start()
    yield made
    await made.stop()


async def test_a_link_process_connects_and_ends_with_its_guardian(
    controller: Controller, tmp_path: Path
) -> None:
    async with running_link(enrolled(tmp_path, controller)) as link:
        await until(lambda: link.guardian.streams() == [True])
        assert controller.hub.snapshot().hosts[0].probe_kinds == ("http", "tcp", "redis", "nats", "command")
        link.process.send_signal(signal.SIGINT)  # Ctrl-C on a terminal is the guardian's business
        await controller.hub.measure_clocks(["db-1"])
        assert link.process.returncode is None
        await link.guardian.close()
        assert await asyncio.wait_for(link.process.wait(), 5) == 0


async def test_a_real_probe_is_taken_and_stored(controller: Controller, tmp_path: Path) -> None:
    from blackstart_controller.plan import model

    host, port = "127.0.0.1", controller.port
    probe = model.PlannedProbe("c/0@db-1", "c", "db-1", 20, 500, model.TcpProbe(f"{host}:{port}"))
    async with running_link(enrolled(tmp_path, controller)) as link:
        await until(lambda: link.guardian.streams() == [True])
        await controller.hub.start_probes("db-1", "run-1", [probe])
        await until(lambda: len(controller.recorder.samples) >= 2)
        await controller.hub.stop_probes("db-1", "run-1")
        stored = [sample for batch in controller.recorder.samples.values() for sample in batch.samples]
        assert [sample.k for sample in stored] == list(range(len(stored)))


async def test_the_guardian_hears_at_once_of_a_controller_that_was_killed(tmp_path: Path) -> None:
    controller = Controller(tmp_path / "controller")
    first = await start_controller(tmp_path, 0)
    controller.port = first[1]
    async with running_link(enrolled(tmp_path, controller)) as link:
        await until(lambda: link.guardian.streams() == [True])
        link.guardian.event(1)
        await until(lambda: link.guardian.acks() == [1])
        killed = time.monotonic()
        first[0].kill()
        await until(lambda: link.guardian.streams() == [True, False])
        assert time.monotonic() - killed < 0.5
        await first[0].wait()
        link.guardian.event(2)
        second = await start_controller(tmp_path, controller.port)
        try:
            await until(lambda: link.guardian.streams() == [True, False, True])
            await until(lambda: link.guardian.acks() == [1, 2])
        finally:
            second[0].kill()
            await second[0].wait()


async def start_controller(folder: Path, port: int) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.controller_process", str(folder / "controller"), str(port)),
        cwd=TESTS,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, int(await asyncio.wait_for(process.stdout.readline(), 20))


async def test_a_certificate_is_renewed_over_the_stream_and_used_at_once(
    controller: Controller, tmp_path: Path
) -> None:
    settings = enrolled(tmp_path, controller, age=timedelta(days=10))
    old = keystore.load(settings.link_dir)
    async with running_link(settings) as link:
        await until(lambda: link.guardian.streams() == [True, False, True])
        new = keystore.load(settings.link_dir)
        assert new.certificate_pem != old.certificate_pem and new.key_pem == old.key_pem
        assert openssl.validity(new.certificate_pem)[1] - datetime.now(UTC) > timedelta(days=13)
        assert controller.recorder.told == ["connected db-1 0", "lost db-1", "connected db-1 0"]


async def test_a_host_that_is_not_enrolled_is_told_so(controller: Controller, tmp_path: Path) -> None:
    settings = enrolled(tmp_path, controller)
    (settings.link_dir / "cert.pem").unlink()
    async with running_link(settings) as link:
        assert await asyncio.wait_for(link.process.wait(), 10) == 1
        assert link.process.stderr is not None
        said = (await link.process.stderr.read()).decode()
        assert "cert.pem: No such file or directory; enrol this host: blackstart-agent enroll" in said


async def test_starting_a_link_loads_nothing_that_it_does_not_need() -> None:
    code = "import sys; import blackstart_agent.link.main; print(*sys.modules, sep='\\n')"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    loaded = (await process.communicate())[0].decode().split()
    assert "grpc" in loaded
    assert [name for name in HEAVY if name in loaded] == []
