"""Each kind of probe against a real server, and against ones that lie, hang or break off."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from agent.probe_servers import free_port, redis, running, saying, serving, silent, until
from blackstart_agent.probes.base import CannotLook, Down, Surroundings, build
from blackstart_agent.probes.net import Candidates, Target
from blackstart_agent.probes.sample import answer_of, outcome_of
from blackstart_proto.v1 import agent_pb2 as pb

OK, FAIL, UNKNOWN = pb.OUTCOME_OK, pb.OUTCOME_FAIL, pb.OUTCOME_UNKNOWN
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!"


async def look(probe: pb.Probe, commands: dict[str, list[str]] | None = None) -> tuple[int, str]:
    """One answer, as the sampler would get it."""
    probe.timeout_ms = probe.timeout_ms or 2000
    made = build(probe, Surroundings(commands or {}))
    await made.prepare()
    return await answer_of(made, time.monotonic_ns(), probe.timeout_ms * 1_000_000)


def http(port: int, **more: object) -> pb.Probe:
    return pb.Probe(id="s/0", http=pb.HttpProbe(url=f"http://127.0.0.1:{port}/health?a=b", **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "expected", "detail"),
    [
        (BODY, OK, ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", OK, ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", OK, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + BODY, OK, ""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok!\r\n0\r\n\r\n",
            OK,
            "",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nok until the end", OK, ""),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", FAIL, "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nok!", FAIL, "ended early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", FAIL, "bad chunk size"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n", FAIL, "not HTTP"),
        (b"", FAIL, "ended early"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, FAIL, "too long"),
    ],
)
async def test_http_reads_every_shape_of_answer(answer: bytes, expected: int, detail: str) -> None:
    async with serving(saying(answer)) as port:
        outcome, text = await look(http(port))
    assert (outcome, detail in text) == (expected, True), text


async def test_http_holds_status_and_body_to_what_is_expected() -> None:
    async with serving(saying(BODY)) as port:
        assert (await look(http(port, expect_status=[200], expect_body="ok")))[0] == OK
        assert await look(http(port, expect_status=[204])) == (FAIL, "status 200")
        assert await look(http(port, expect_body="ready")) == (FAIL, "status 200, but the body lacks 'ready'")


async def test_http_reads_no_more_than_its_limit() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        except ConnectionError:
            writer.close()

    async with serving(endless) as port:
        assert (await look(http(port)))[0] == OK


@pytest.mark.parametrize(
    "url", ["ftp://h/", "http://", "http://h/\r\nX: y", "file:///etc/passwd", "http://h/ x"]
)
def test_http_looks_at_nothing_but_web_addresses(url: str) -> None:
    with pytest.raises(CannotLook, match="no http or https URL"):
        build(pb.Probe(http=pb.HttpProbe(url=url)), Surroundings())


async def test_a_closed_port_is_down_and_a_hung_server_times_out() -> None:
    port = free_port()
    assert await look(pb.Probe(tcp=pb.TcpProbe(address=f"127.0.0.1:{port}"))) == (FAIL, "Connection refused")
    async with serving(silent) as port:
        assert (await look(pb.Probe(tcp=pb.TcpProbe(address=f"127.0.0.1:{port}"))))[0] == OK
        hung = http(port)
        hung.timeout_ms = 150
        assert await look(hung) == (FAIL, "no answer in 0.15 s")


@pytest.mark.parametrize("address", ["h", "h:", "h:0", "h:99999", ":80", "h:٣"])
async def test_a_wrong_address_says_nothing_of_the_service(address: str) -> None:
    made = build(pb.Probe(tcp=pb.TcpProbe(address=address)), Surroundings())
    with pytest.raises(CannotLook, match="write host:port"):
        await made.prepare()


@asynccontextmanager
async def redis_with_replica(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    master, replica = free_port(), free_port()
    follow = ("--replicaof", f"127.0.0.1 {master}", "--replica-serve-stale-data", "yes")
    async with (
        running(*redis(master, tmp_path), port=master),
        running(*redis(replica, tmp_path, *follow), port=replica),
    ):
        yield master, replica


def redis_probe(*ports: int, **more: object) -> pb.Probe:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return pb.Probe(id="s/0@o", redis=pb.RedisProbe(addresses=addresses, **more))  # type: ignore[arg-type]


async def test_redis_answers_ping_takes_writes_and_a_replica_refuses_them(tmp_path: Path) -> None:
    async with redis_with_replica(tmp_path) as (master, replica):
        assert await look(redis_probe(master)) == (OK, "")
        assert await look(redis_probe(master, write=True)) == (OK, "")
        assert (await look(redis_probe(replica)))[0] == OK
        outcome, text = await look(redis_probe(replica, write=True))
        assert outcome == FAIL and text.startswith("READONLY")
        assert await look(redis_probe(replica, master, write=True)) == (OK, "")
        assert await look(redis_probe(free_port(), master)) == (OK, "")


async def test_redis_finds_the_master_through_a_sentinel_though_another_hangs(tmp_path: Path) -> None:
    async with redis_with_replica(tmp_path) as (master, _), serving(silent) as hung:
        port = free_port()
        config = tmp_path / "sentinel.conf"
        config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor messenger 127.0.0.1 {master} 1\n")
        async with running("redis-server", str(config), "--sentinel", port=port):
            probe = redis_probe(hung, port, sentinel_master="messenger", write=True)
            probe.timeout_ms = 1000
            began = time.monotonic()
            assert await look(probe) == (OK, "")
            assert time.monotonic() - began < 0.75  # the hung one costs a quarter of the time-out
            outcome, text = await look(redis_probe(port, sentinel_master="nobody"))
            assert outcome == FAIL and "knows no master 'nobody'" in text


@pytest.mark.parametrize("answer", [b"$999999999\r\n", b"*100000\r\n", b"?\r\n", b":x\r\n", b"*1\r\n" * 9])
async def test_redis_believes_no_liar(answer: bytes) -> None:
    async with serving(saying(answer)) as port:
        assert (await look(redis_probe(port)))[0] == FAIL


def nats_probe(*ports: int, publish: str = "") -> pb.Probe:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return pb.Probe(id="n/0", nats=pb.NatsProbe(addresses=addresses, publish=publish))


async def test_nats_answers_ping_and_acknowledges_only_what_a_stream_stored(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path))
    async with running("nats-server", *arguments, port=port):
        assert await look(nats_probe(port)) == (OK, "")
        outcome, text = await look(nats_probe(port, publish="news.probe"))
        assert (outcome, "503" in text) == (FAIL, True), text
        await create_stream(port)
        assert await look(nats_probe(port, publish="news.probe")) == (OK, "")
        assert await look(nats_probe(free_port(), port, publish="news.probe")) == (OK, "")


async def create_stream(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"name":"NEWS","subjects":["news.*"],"storage":"memory"}'
    writer.write(b'CONNECT {"verbose":false}\r\nSUB r 1\r\n')
    writer.write(b"PUB $JS.API.STREAM.CREATE.NEWS r %d\r\n%s\r\n" % (len(body), body))
    while not (await reader.readline()).startswith(b"MSG r"):
        continue
    writer.close()


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"-ERR 'Authorization Violation'\r\n", "Authorization"),
        (b"HTTP/1.1 400\r\n", "not NATS"),
        (b"INFO {}\r\nPONG\r\nMSG x 1 2\r\n{}\r\n", "not an acknowledgement"),
        (b'INFO {}\r\nPONG\r\nMSG x 1 25\r\n{"error":{"code":10077}}  \r\n', "not stored"),
        (b"INFO {}\r\nPONG\r\nMSG x 1 99999999\r\n", "not NATS"),
    ],
)
async def test_nats_believes_no_liar(answer: bytes, detail: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    async with serving(handle) as port:
        outcome, text = await look(nats_probe(port, publish="a"))
    assert (outcome, detail in text) == (FAIL, True), text


async def test_a_command_passes_by_its_exit_code_and_only_when_the_policy_names_it(tmp_path: Path) -> None:
    commands = {"yes": ["true"], "no": [sys.executable, "-c", "exit(3)"], "gone": [str(tmp_path / "gone")]}
    assert await look(pb.Probe(command=pb.CommandProbe(name="yes")), commands) == (OK, "")
    assert await look(pb.Probe(command=pb.CommandProbe(name="no")), commands) == (FAIL, "exit 3")
    outcome, text = await look(pb.Probe(command=pb.CommandProbe(name="gone")), commands)
    assert outcome == UNKNOWN and "cannot start" in text
    with pytest.raises(CannotLook, match=r"'rm -rf' is not in .* allowed: gone, no, yes"):
        build(pb.Probe(command=pb.CommandProbe(name="rm -rf")), Surroundings(commands))


async def test_https_verifies_the_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server = await asyncio.start_server(saying(BODY), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    outcome, text = await look(pb.Probe(http=pb.HttpProbe(url=f"https://127.0.0.1:{port}/")))
    assert (outcome, "CERTIFICATE_VERIFY_FAILED" in text) == (FAIL, True), text
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert await look(pb.Probe(http=pb.HttpProbe(url=f"https://127.0.0.1:{port}/"))) == (OK, "")
    server.close()


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    probe = pb.Probe(command=pb.CommandProbe(name="hang"), timeout_ms=700)
    outcome, _ = await look(probe, {"hang": ["/bin/sh", "-c", script]})
    assert outcome == FAIL
    async with asyncio.timeout(5):
        for pid in map(int, pids.read_text().split()):
            await until(lambda pid=pid: not _runs(pid))  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_trouble_of_this_host_is_never_an_outage() -> None:
    for number in (24, 23, 12, 105, 99, 1):
        assert outcome_of(OSError(number, os.strerror(number)))[0] == UNKNOWN
    for number in (111, 113, 104, 110, 101):
        assert outcome_of(OSError(number, os.strerror(number)))[0] == FAIL
    assert outcome_of(KeyError("x"))[0] == UNKNOWN
    assert outcome_of(Down("x"))[0] == FAIL


def test_a_kind_from_the_future_is_refused_by_name() -> None:
    with pytest.raises(CannotLook, match="this agent knows http, tcp, redis, nats, command"):
        build(pb.Probe(id="x"), Surroundings())


async def test_the_address_that_answered_last_is_asked_first_the_next_time() -> None:
    asked: list[str] = []
    candidates = Candidates(timeout_ms=2000)
    candidates.set([Target("127.0.0.1", 1, "dead"), Target("127.0.0.1", 2, "alive")])

    async def attempt(target: Target) -> str:
        asked.append(target.name)
        if target.name == "dead":
            raise Down("dead")
        return target.name

    assert [await candidates.first(attempt) for _ in range(2)] == ["alive", "alive"]
    assert asked == ["dead", "alive", "alive"]
