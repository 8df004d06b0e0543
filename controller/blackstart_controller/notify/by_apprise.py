"""Slack, Teams, e-mail and the rest, through Apprise (an extra). Its own HTTP does not use our door."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from blackstart_controller.notify.model import LOUD, Delivery, Outcome, Target
from blackstart_controller.outside.aside import in_a_thread

if TYPE_CHECKING:
    from apprise import AppriseAsset

# Only what is meant for people on call. Others act on this machine (dbus, syslog) or are of no use here.
# fmt: off
SCHEMAS = frozenset((
    "slack", "workflows", "workflow", "discord", "tgram", "matrix", "matrixs", "mmost", "mmosts", "rocket",
    "rockets", "zulip", "gchat", "webex", "wxteams", "lark", "feishu", "dingtalk", "wecombot", "line",
    "kakaotalk", "mailto", "mailtos", "sendgrid", "mailgun", "ses", "postmark", "brevo", "twilio", "signal",
    "signals", "sns", "pagerduty", "opsgenie", "splunk", "victorops", "squadcast", "ilert", "incidentio",
    "betterstack", "goalert", "goalerts", "ntfy", "ntfys", "gotify", "gotifys", "pover",
    "json", "jsons", "xml", "xmls",
))
# fmt: on
NOT_INSTALLED = "Apprise is not installed on the controller; run there: pip install 'blackstart[notify]'"
SEND_S = 30.0
ANSWER_S = SEND_S + 5.0  # Apprise ends by itself; this is for when it does not
SECRET_PIECES = re.compile(r"[/:@?&=,#+]+")
SHORTEST_SECRET = 4


class AppriseTargets:
    """Implements `notify.channel.Channel`. Apprise is imported when the first such target is used."""

    def refusal(self, url: str) -> str | None:
        schema = _schema(url)
        if schema not in SCHEMAS:
            return (
                f"an Apprise URL must start with one of: {', '.join(f'{one}://' for one in sorted(SCHEMAS))}"
            )
        if re.search(r"[?&]\s*template\s*=", unquote(url), re.IGNORECASE):
            return "an Apprise URL must not name a template: it would be read from the controller's files"
        try:
            from apprise import Apprise

            asset = _asset()
        except ModuleNotFoundError:
            return NOT_INSTALLED
        if Apprise.instantiate(url, asset=asset, suppress_exceptions=True) is None:
            return f"this is no {schema}:// URL that Apprise understands; see its documentation of {schema}"
        return None

    def shown(self, url: str) -> str:
        return f"{_schema(url)}://…"

    async def send(self, target: Target, delivery: Delivery) -> Outcome:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await in_a_thread(lambda: _send(target.url, delivery))
        except TimeoutError:
            return Outcome(f"{self.shown(target.url)}: no answer within {ANSWER_S:g} s")


def _send(url: str, delivery: Delivery) -> Outcome:
    """One attempt, in a thread of its own."""
    try:
        from apprise import Apprise, NotifyType
    except ModuleNotFoundError:
        return Outcome(NOT_INSTALLED)
    apprise = Apprise(asset=_asset())
    if not apprise.add(url):
        return Outcome(f"{_schema(url)}://…: the URL is not understood any more")
    result = apprise.notify(
        body=delivery.text,
        title=f"blackstart: {delivery.type}",
        notify_type=NotifyType.FAILURE if delivery.type in LOUD else NotifyType.INFO,
        timeout=SEND_S,
    )
    if result:
        return Outcome()
    said = "; ".join(entry.message for entry in result.logs()) or "it did not take the message"
    return Outcome(f"{_schema(url)}://…: {scrubbed(said, url)}"[:500])


def _asset() -> AppriseAsset:
    """One thread, no redirects, nothing in our log, nothing on disk."""
    from apprise import AppriseAsset

    logging.getLogger("apprise").propagate = False  # what it says is in the outcome, without secrets
    asset = AppriseAsset(async_mode=False, secure_logging=True, app_id="blackstart", app_desc="blackstart")
    asset.http_redirects = False
    return asset


def scrubbed(text: str, url: str) -> str:
    """The text without any piece of the URL that may be a secret."""
    rest = url.partition("://")[2]
    found = SECRET_PIECES.split(rest)
    pieces = {*found, *map(unquote, found), *SECRET_PIECES.split(unquote(rest))}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= SHORTEST_SECRET:
            text = text.replace(piece, "…")
    return text


def _schema(url: str) -> str:
    return url.partition("://")[0].strip().lower()
