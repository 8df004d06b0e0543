"""The door to other people's servers: who is refused is never connected to, and no answer can do harm."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from blackstart_controller.errors import UsageError
from blackstart_controller.outside.http import HttpOutside
from blackstart_controller.outside.ports import MAX_ANSWER_BYTES, Unreadable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-odd: 1\r\n\r\nok"
CANARY = "canary-4711"
SPELLINGS = (
    "2130706433",
    "0x7f000001",
    "017700000001",
    "127.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "0",
    "localhost.",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "[::1%25lo]",
)


@dataclass
class Server:
    """Answers every request with `answer`, byte for byte, and remembers what it was asked."""

    answer: bytes = OK
    part_every_s: float = 0.0  # send it byte by byte
    port: int = 0
    connects: int = 0
    heard: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            for part in self._parts():
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(self.part_every_s)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _parts(self) -> Sequence[bytes]:
        return [bytes([byte]) for byte in self.answer] if self.part_every_s else [self.answer]


@asynccontextmanager
async def listening(
    server: Server, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The server's address, as `HOST:PORT`."""
    listener = await asyncio.start_server(server.handle, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield f"{host}:{server.port}"
    finally:
        listener.close()


@dataclass
class Resolver:
    """Each question gets the next answer; the last one for ever."""

    answers: list[list[str]]
    asked: int = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


async def test_an_allowed_origin_is_asked_and_its_answer_handed_on() -> None:
    server = Server()
    async with listening(server) as address:
        outside = HttpOutside([f"http://{address}"])
        reply = await outside.post(f"http://{address}/a?b=c", b"body", timeout_s=5, headers={"X-Mine": "1"})
        assert (reply.status, reply.body, reply.headers["x-odd"]) == (200, b"ok", "1")
        head = server.heard[0].decode().lower()
        assert head.startswith("post /a?b=c http/1.1\r\n")
        assert f"host: {address}\r\n" in head
        assert "x-mine: 1\r\n" in head


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_an_address_gets_past_the_list(spelling: str) -> None:
    server = Server()
    async with listening(server):
        outside = HttpOutside([f"http://prometheus:{server.port}", f"http://127.0.0.1:{server.port + 1}"])
        url = f"http://{spelling}:{server.port}/"
        assert outside.refusal(url)
        with pytest.raises(Unreadable):
            await outside.get(url, timeout_s=5)
        assert server.connects == 0


@pytest.mark.parametrize("spelling", [one for one in SPELLINGS if one not in ("localhost.", "127。0。0。1")])
def test_no_unusual_spelling_can_be_put_on_the_list(spelling: str) -> None:
    with pytest.raises(UsageError, match="--allow-url"):
        HttpOutside([f"http://{spelling}:9090"])


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1%lo", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("::127.0.0.1", "reserved"),
    ],
)
async def test_a_name_that_leads_to_a_forbidden_address_is_not_followed(address: str, why: str) -> None:
    server = Server()
    async with listening(server):
        url = f"http://prometheus.example:{server.port}"
        outside = HttpOutside([url], resolver=Resolver([["10.255.255.1", address]]))
        with pytest.raises(Unreadable, match=why):
            await outside.get(url, timeout_s=5)
        assert server.connects == 0


async def test_metadata_is_refused_even_when_its_address_is_on_the_list() -> None:
    outside = HttpOutside(["http://169.254.169.254"])
    with pytest.raises(Unreadable, match="link-local"):
        await outside.get("http://169.254.169.254/latest/meta-data", timeout_s=5)


async def test_a_name_that_is_rebound_between_check_and_connect_gains_nothing() -> None:
    """One question is asked, and what it said is what is connected to."""
    ours, victim = Server(), Server()
    async with listening(ours, host="127.0.0.2"), listening(victim) as address:
        resolver = Resolver([["127.0.0.2"], ["127.0.0.1"]])
        port = address.rpartition(":")[2]
        outside = HttpOutside([f"http://localhost:{port}"], resolver=resolver)
        with pytest.raises(Unreadable):  # nobody listens at 127.0.0.2 on the victim's port
            await outside.get(f"http://localhost:{port}", timeout_s=5)
        assert (resolver.asked, victim.connects) == (1, 0)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    victim, middle = Server(), Server()
    async with listening(victim) as target, listening(middle) as address:
        middle.answer = (
            f"HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n".encode()
        )
        outside = HttpOutside([f"http://{address}", f"http://{target}"])
        assert (await outside.get(f"http://{address}", timeout_s=5)).status == 302
        assert (middle.connects, victim.connects) == (1, 0)


async def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = Server(), Server()
    async with listening(proxy) as through, listening(server) as address:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{through}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await HttpOutside([f"http://{address}"]).get(f"http://{address}", timeout_s=5)).body == b"ok"
        assert (proxy.connects, server.connects) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1), "larger than"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", "compressed"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n", "http://127.0.0.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", "http://127.0.0.1"),
        (b"no HTTP at all\r\n\r\n", "http://127.0.0.1"),
        (b"", "http://127.0.0.1"),
    ],
    ids=["too large", "compressed", "endless headers", "cut short", "not HTTP", "nothing"],
)
async def test_an_answer_that_may_not_be_used_is_unreadable(answer: bytes, why: str) -> None:
    async with listening(Server(answer)) as address:
        with pytest.raises(Unreadable, match=why):
            await HttpOutside([f"http://{address}"]).get(f"http://{address}", timeout_s=5)


async def test_an_answer_of_exactly_the_limit_is_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * MAX_ANSWER_BYTES
    async with listening(Server(answer)) as address:
        reply = await HttpOutside([f"http://{address}"]).get(f"http://{address}", timeout_s=5)
        assert len(reply.body) == MAX_ANSWER_BYTES


async def test_an_answer_that_drips_is_left_at_the_time_out() -> None:
    async with listening(Server(OK, part_every_s=0.05)) as address:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unreadable, match=r"within 0\.3 s"):
            await HttpOutside([f"http://{address}"]).get(f"http://{address}", timeout_s=0.3)
        assert asyncio.get_running_loop().time() - started < 2.0


async def test_a_resolver_that_hangs_is_left_at_the_time_out() -> None:
    async def hangs(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(Unreadable, match="within"):
        await HttpOutside(["https://a.example"], resolver=hangs).get("https://a.example", timeout_s=0.05)


async def test_the_next_address_is_tried_when_nobody_listens_at_the_first() -> None:
    async with listening(Server()) as address:
        url = f"http://localhost:{address.rpartition(':')[2]}"
        outside = HttpOutside([url], resolver=Resolver([["127.0.0.3", "127.0.0.1"]]))
        assert (await outside.get(url, timeout_s=5)).body == b"ok"


async def test_tls_is_verified_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    named: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: named.append(name)
    async with listening(Server(), tls=tls) as address:
        port = address.rpartition(":")[2]
        good, bad = f"https://localhost:{port}", f"https://127.0.0.1:{port}"
        trusting = HttpOutside([good, bad], ca_file=tmp_path / "ca.pem", resolver=Resolver([["127.0.0.1"]]))
        assert (await trusting.get(good, timeout_s=5)).body == b"ok"
        assert named == ["localhost"]
        with pytest.raises(Unreadable, match="certificate verify failed"):
            await trusting.get(bad, timeout_s=5)
        with pytest.raises(Unreadable, match="certificate verify failed"):
            await HttpOutside([good], resolver=Resolver([["127.0.0.1"]])).get(good, timeout_s=5)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{CANARY}@a.example/",
        f"http://other.example/hook?token={CANARY}",
        f"http://a.example:bad{CANARY}/",
        f"http://a\n{CANARY}.example/",
        f"ftp://a.example/{CANARY}",
        f"http://a.example/{CANARY}?x={CANARY}#{CANARY}",
    ],
)
async def test_no_error_and_no_log_repeats_what_a_url_holds(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    outside = HttpOutside(["http://a.example"], resolver=Resolver([["127.0.0.1"]]))
    with pytest.raises(Unreadable) as caught:
        await outside.post(url, CANARY.encode(), timeout_s=5, headers={"authorization": CANARY})
    assert CANARY not in f"{caught.value}{outside.refusal(url)}{caplog.text}"


async def test_what_is_asked_and_answered_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with listening(Server()) as address:
        await HttpOutside([f"http://{address}"]).get(f"http://{address}/{CANARY}", timeout_s=5)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "listed",
    ["a.example", "ftp://a.example", "http://a.example/path", "http://u@a.example", "http://*.example", ""],
)
def test_only_an_origin_can_be_put_on_the_list(listed: str) -> None:
    with pytest.raises(UsageError, match="--allow-url"):
        HttpOutside([listed])


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("https://A.example:443", "https://a.EXAMPLE/x"),
        ("http://a.example", "http://a.example:80/x"),
        ("http://[fd00::1]:9090", "http://[FD00::1]:9090/x"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
    ],
)
def test_two_usual_spellings_of_one_origin_are_one(listed: str, url: str) -> None:
    assert HttpOutside([listed]).refusal(url) is None


@pytest.mark.parametrize(
    "url", ["http://a.example", "https://a.example:444", "https://b.a.example", "https://a.example."]
)
def test_scheme_port_and_host_must_all_be_the_listed_ones(url: str) -> None:
    assert "--allow-url" in str(HttpOutside(["https://a.example"]).refusal(url)) or url.endswith(".")
    assert HttpOutside(["https://a.example"]).refusal(url)


def test_a_file_that_is_no_certificate_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no")
    with pytest.raises(UsageError, match=r"--outside-ca .*ca\.pem"):
        HttpOutside(ca_file=tmp_path / "ca.pem")
