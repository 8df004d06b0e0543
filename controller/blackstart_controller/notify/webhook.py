"""Signed webhooks: CloudEvents 1.0 in JSON, signed as Standard Webhooks does it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from blackstart_controller.errors import UsageError
from blackstart_controller.notify.model import Delivery, Outcome, Target
from blackstart_controller.outside.addresses import NoOrigin, Origin, parse_url
from blackstart_controller.outside.ports import Outside, Reply, Unreadable

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)  # as Standard Webhooks has it
TIMEOUT_S = 15.0
GONE = 410


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key in `whsec_BASE64`. Raises UsageError, which does not repeat it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise UsageError(
            f"notify secret: must be {PREFIX} and base64 of 24 to 64 bytes; "
            "without --secret-file a good one is made"
        )
    return key


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `Webhook-Signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def event_body(delivery: Delivery, source: str) -> bytes:
    """The notice as a CloudEvent. The same notice is the same event at every attempt and for every target."""
    event = {
        "specversion": "1.0",
        "id": delivery.notice_id,
        "source": source,
        "type": f"blackstart.{delivery.type}",
        "subject": delivery.subject,
        "time": delivery.at,
        "datacontenttype": "application/json",
        "data": {"text": delivery.text} | dict(delivery.data),
    }
    return json.dumps(event, separators=(",", ":")).encode()


class Webhooks:
    """Implements `notify.channel.Channel` over the one door to other people's servers."""

    def __init__(self, outside: Outside, source: str, *, unix_s: Callable[[], float] = time.time) -> None:
        self._outside = outside
        self._source = source
        self._unix_s = unix_s

    def refusal(self, url: str) -> str | None:
        return self._outside.refusal(url)

    def shown(self, url: str) -> str:
        try:
            return f"{Origin.of(parse_url(url))}/…"
        except NoOrigin:
            return "…"

    async def send(self, target: Target, delivery: Delivery) -> Outcome:
        body, now_s = event_body(delivery, self._source), int(self._unix_s())
        headers = {
            "Content-Type": "application/cloudevents+json",
            "Webhook-Id": delivery.notice_id,
            "Webhook-Timestamp": str(now_s),
            "Webhook-Signature": signature(target.secret, delivery.notice_id, now_s, body),
        }
        try:
            reply = await self._outside.post(target.url, body, timeout_s=TIMEOUT_S, headers=headers)
        except Unreadable as error:
            return Outcome(str(error))
        return outcome_of(reply, self._unix_s())


def outcome_of(reply: Reply, now_s: float) -> Outcome:
    """Only 2xx means that it was taken; 410 means that it is not wanted any more."""
    if 200 <= reply.status < 300:
        return Outcome()
    return Outcome(
        f"HTTP {reply.status}",
        retry_after_s=_retry_after_s(reply.headers, now_s),
        final=reply.status == GONE,
    )


def _retry_after_s(headers: Mapping[str, str], now_s: float) -> float:
    """Seconds, or until a date; 0 when the other side says nothing of use."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.fromtimestamp(now_s, UTC)).total_seconds())
