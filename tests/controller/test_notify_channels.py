"""Notices at real servers on loopback: signed, verified independently, over TLS, and through Apprise."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from blackstart_controller.notify import by_apprise
from blackstart_controller.notify.by_apprise import AppriseTargets, scrubbed
from blackstart_controller.notify.channel import Channel
from blackstart_controller.notify.model import Kind, State
from blackstart_controller.notify.ports import Notice
from blackstart_controller.notify.service import NewTarget, Notify
from blackstart_controller.notify.webhook import Webhooks, key_of, new_secret, outcome_of
from blackstart_controller.outside.http import HttpOutside
from blackstart_controller.outside.ports import Reply
from blackstart_controller.runs.clock import SystemClock
from blackstart_controller.store.notify import SqlOutbox
from blackstart_controller.store.sqlite import SqliteStore
from support.receivers import Receiver, receiving, status

SOURCE = "https://controller:8470"
PAGE = Path(__file__).parents[2] / "docs" / "notifications.md"
CANARY = "canary4711"
ENDED = Notice("run.ended", "run/1", "dark has ended: pass — grün", {"verdict": "pass"})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "controller.db")
    yield opened
    await opened.close()


async def begin(store: SqliteStore, outside: HttpOutside) -> Notify:
    channels: dict[str, Channel] = {Kind.WEBHOOK: Webhooks(outside, SOURCE), Kind.APPRISE: AppriseTargets()}
    notify = Notify(SqlOutbox(store), channels, SystemClock("boot-1"))
    await notify.start()
    return notify


async def until(notify: Notify, state: State, count: int = 1) -> None:
    """So many deliveries are in this state. A database has no event to wait for."""
    async with asyncio.timeout(20):
        while sum(one.state == state for one in await notify.log(100)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def verifier() -> Callable[[str, dict[str, str], bytes], bool]:
    """The receiver's eight lines, as the documentation gives them."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    verified: Callable[[str, dict[str, str], bytes], bool] = found["verified"]
    return verified


async def test_a_webhook_is_a_cloud_event_that_the_documented_receiver_accepts(store: SqliteStore) -> None:
    receiver = Receiver()
    async with receiving(receiver) as origin:
        notify = await begin(store, HttpOutside([origin]))
        target = await notify.add(NewTarget("ops", Kind.WEBHOOK, f"{origin}/hook?x=1"), "alice")
        await notify.publish(ENDED)
        (heard,) = await receiver.wait(1)
        await notify.close()
    assert heard.head == "POST /hook?x=1 HTTP/1.1"
    assert heard.headers["content-type"] == "application/cloudevents+json"
    event = json.loads(heard.body)
    datetime.fromisoformat(event.pop("time"))
    assert event == {
        "specversion": "1.0",
        "id": heard.headers["webhook-id"],
        "source": SOURCE,
        "type": "blackstart.run.ended",
        "subject": "run/1",
        "datacontenttype": "application/json",
        "data": {"text": ENDED.text, "verdict": "pass"},
    }
    verified = verifier()
    assert verified(target.secret, heard.headers, heard.body)
    assert not verified(new_secret(), heard.headers, heard.body)
    assert not verified(target.secret, heard.headers, heard.body + b" ")
    old = heard.headers | {"webhook-timestamp": str(int(time.time()) - 301)}
    assert not verified(target.secret, old, heard.body)


async def test_a_receiver_that_fails_gets_the_same_event_again_and_then_the_next(store: SqliteStore) -> None:
    answers = [status("500 No"), status("429 Slow", "retry-after: 1"), status("200 OK")]
    receiver = Receiver(answers)
    async with receiving(receiver) as origin:
        notify = await begin(store, HttpOutside([origin]))
        await notify.add(NewTarget("ops", Kind.WEBHOOK, origin), "alice")
        await notify.publish(ENDED)
        await notify.publish(Notice("run.ended", "run/2", "second"))
        heard = await receiver.wait(4)
        await until(notify, State.DELIVERED, 2)
        log = await notify.log(10)
        await notify.close()
    ids = [one.headers["webhook-id"] for one in heard]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [one.attempts for one in log] == [1, 3]
    assert int(heard[2].headers["webhook-timestamp"]) >= int(heard[1].headers["webhook-timestamp"]) + 1


async def test_a_controller_that_dies_under_a_delivery_delivers_again_in_its_next_life(
    store: SqliteStore,
) -> None:
    receiver = Receiver()
    async with receiving(receiver, held=True) as origin:
        notify = await begin(store, HttpOutside([origin]))
        await notify.add(NewTarget("ops", Kind.WEBHOOK, origin), "alice")
        for number in range(3):
            await notify.publish(Notice("run.ended", f"run/{number}", str(number)))
        await receiver.wait(1)
        await notify.close()  # the answer never came: it is not known whether the receiver has acted
        receiver.gate.set()
        notify = await begin(store, HttpOutside([origin]))
        heard = await receiver.wait(4)
        await until(notify, State.DELIVERED, 3)
        await notify.close()
    subjects = [json.loads(one.body)["subject"] for one in heard]
    assert subjects == ["run/0", "run/0", "run/1", "run/2"]
    assert heard[0].headers["webhook-id"] == heard[1].headers["webhook-id"]


async def test_a_webhook_is_sent_over_tls_to_whom_the_given_authority_vouches_for(
    store: SqliteStore, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    receiver = Receiver()
    async with receiving(receiver, tls=tls) as origin:
        notify = await begin(store, HttpOutside([origin], ca_file=tmp_path / "ca.pem"))
        await notify.add(NewTarget("ops", Kind.WEBHOOK, origin), "alice")
        assert (await notify.test("ops", "alice")).error == ""
        await notify.close()
        notify = await begin(store, HttpOutside([origin]))
        assert "certificate verify failed" in (await notify.test("ops", "alice")).error
        await notify.close()
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    ("reply", "error", "retry_after_s", "final"),
    [
        (Reply(200, b""), "", 0, False),
        (Reply(302, b""), "HTTP 302", 0, False),
        (Reply(410, b""), "HTTP 410", 0, True),
        (Reply(503, b"", {"retry-after": "120"}), "HTTP 503", 120, False),
        (Reply(503, b"", {"retry-after": "soon"}), "HTTP 503", 0, False),
        (Reply(503, b"", {"retry-after": "-5"}), "HTTP 503", 0, False),
        (Reply(503, b"", {"retry-after": "9" * 99}), "HTTP 503", 0, False),
        (Reply(503, b"", {"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}), "HTTP 503", 30, False),
        (Reply(503, b"", {"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}), "HTTP 503", 30, False),
    ],
)
def test_an_answer_says_whether_it_was_taken_and_when_to_come_back(
    reply: Reply, error: str, retry_after_s: float, final: bool
) -> None:
    now_s = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
    outcome = outcome_of(reply, now_s)
    assert (outcome.error, outcome.retry_after_s, outcome.final) == (error, retry_after_s, final)


def test_a_date_in_the_past_asks_for_no_patience() -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(days=1))
    assert outcome_of(Reply(503, b"", {"retry-after": past}), time.time()).retry_after_s == 0


def test_every_new_secret_is_another_and_long_enough() -> None:
    secrets = {new_secret() for _ in range(10)}
    assert len(secrets) == 10
    assert all(len(key_of(secret)) == 32 for secret in secrets)


# ---- Apprise ----


async def test_apprise_delivers_to_a_real_endpoint_and_its_failure_is_tried_again(store: SqliteStore) -> None:
    receiver = Receiver([status("500 No"), status("200 OK")])
    async with receiving(receiver) as origin:
        url = f"json://user:{CANARY}@{origin.removeprefix('http://')}/{CANARY}"
        notify = await begin(store, HttpOutside())
        await notify.add(NewTarget("chat", Kind.APPRISE, url), "alice")
        await notify.publish(ENDED)
        heard = await receiver.wait(2)
        await until(notify, State.DELIVERED)
        await notify.close()
    told = json.loads(heard[1].body)
    assert (told["title"], told["message"]) == ("blackstart: run.ended", ENDED.text)


async def test_e_mail_goes_through_apprise_to_a_mail_server(store: SqliteStore) -> None:
    mails: list[bytes] = []
    done = asyncio.Event()

    async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                mails.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
            if line.upper().startswith(b"QUIT"):
                break
        writer.close()
        done.set()

    server = await asyncio.start_server(smtp, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    notify = await begin(store, HttpOutside())
    url = f"mailto://127.0.0.1:{port}?from=blackstart@example.com&to=sre@example.com&mode=insecure"
    await notify.add(NewTarget("mail", Kind.APPRISE, url), "alice")
    assert (await notify.test("mail", "alice")).error == ""
    async with asyncio.timeout(10):
        await done.wait()
    await notify.close()
    server.close()
    mail = message_from_bytes(mails[0].removesuffix(b"\r\n.\r\n"), policy=policy.default)
    assert (mail["Subject"], "sre@example.com" in mail["To"]) == ("blackstart: notify.test", True)
    assert b"This is a test of the target mail" in mails[0]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"dbus://{CANARY}", "must start with"),
        (f"syslog://{CANARY}", "must start with"),
        (f"https://{CANARY}", "must start with"),
        (CANARY, "must start with"),
        (f"slack://a/b/c?template=/etc/{CANARY}", "template"),
        (f"slack://a/b/c?%74emplate=/etc/{CANARY}", "template"),
        (f"slack://{CANARY}", "this is no slack"),
    ],
)
def test_an_apprise_url_that_may_not_be_is_refused_without_repeating_it(url: str, why: str) -> None:
    refusal = AppriseTargets().refusal(url)
    assert refusal is not None
    assert why in refusal
    assert CANARY not in refusal


def test_without_apprise_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "pip install 'blackstart[notify]'" in str(AppriseTargets().refusal("json://localhost"))


async def test_a_target_whose_library_is_gone_says_so_and_waits(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify = await begin(store, HttpOutside())
    await notify.add(NewTarget("chat", Kind.APPRISE, "json://localhost:9"), "alice")
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "pip install" in (await notify.test("chat", "alice")).error
    await notify.close()


async def test_an_apprise_target_that_hangs_is_left_and_holds_nothing_up(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_apprise, "ANSWER_S", 0.2)
    receiver = Receiver()
    async with receiving(receiver, held=True) as origin:
        notify = await begin(store, HttpOutside())
        url = f"json://{origin.removeprefix('http://')}"
        await notify.add(NewTarget("chat", Kind.APPRISE, url), "alice")
        assert (await notify.test("chat", "alice")).error == "json://…: no answer within 0.2 s"
        await notify.close()


def test_a_library_s_words_are_cleared_of_every_piece_of_the_url() -> None:
    url = f"slack://tok-{CANARY}%2Fmore/B123/xyz9?to=%23{CANARY}x"
    said = f"failed to send to tok-{CANARY}/more with xyz9 and {CANARY}x, error=404"
    assert scrubbed(said, url) == "failed to send to … with … and …, error=404"


# ---- secrets ----


async def test_no_secret_is_in_the_log_in_an_error_or_in_what_is_shown(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG", logger="blackstart_controller")
    caplog.set_level("INFO")
    receiver = Receiver([status("500 No")])
    async with receiving(receiver) as origin:
        address = origin.removeprefix("http://")
        notify = await begin(store, HttpOutside([origin]))
        urls = {
            "hook": (Kind.WEBHOOK, f"{origin}/{CANARY}?token={CANARY}"),
            "chat": (Kind.APPRISE, f"json://user:{CANARY}@{address}/{CANARY}?+X-Token={CANARY}"),
            "dead": (Kind.APPRISE, f"json://user:{CANARY}@127.0.0.1:9/{CANARY}"),
            "mail": (Kind.APPRISE, f"mailto://u:{CANARY}@127.0.0.1:9?from=a@b.example&to={CANARY}@b.example"),
        }
        said = []
        for name, (kind, url) in urls.items():
            target = await notify.add(NewTarget(name, kind, url), "alice")
            outcome = await notify.test(name, "alice")
            assert outcome.error
            said += [outcome.error, notify.shown(target), repr(target), target.secret and repr(outcome)]
        await notify.publish(ENDED)
        async with asyncio.timeout(20):
            while not all(one.error for one in await notify.log(10)):  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.05)
        said += [repr(await notify.log(10)), repr(await notify.targets())]
        await notify.close()
    out, err = capfd.readouterr()
    assert CANARY not in "".join([*said, caplog.text, out, err])
