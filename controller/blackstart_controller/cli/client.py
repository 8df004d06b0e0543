"""The operators' API as the commands see it: routes in, JSON out, every failure one of our own errors."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from blackstart_controller import errors
from blackstart_controller.cli.context import Context

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
SILENCE_TIMEOUT_S = (
    5.0  # of an event stream: then it is opened anew, which costs little and finds a dead peer
)
OPENED, END = "opened", "end"


def _classes(base: type[errors.BlackstartError]) -> Iterator[type[errors.BlackstartError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


BY_CODE = {found.code: found for found in reversed(list(_classes(errors.BlackstartError)))}
BY_STATUS = {
    400: errors.UsageError,
    401: errors.Unauthorised,
    403: errors.Forbidden,
    404: errors.NotFound,
    422: errors.InvalidDocument,
    503: errors.Unreachable,
}


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A server-sent event: `name` is OPENED (ours, first), "message" or END; `id` is what to go on after."""

    name: str
    id: str
    data: Any


class Silent(errors.Unreachable):
    """The event stream is open, and nothing came for a while."""


class Client:
    """A connection to one controller. Only the context's authority is trusted, and no proxy is used."""

    def __init__(self, context: Context) -> None:
        self._url = context.url
        self._http = httpx2.Client(
            base_url=context.url,
            headers={"Authorization": f"Bearer {context.token}"},
            verify=_trust(context),
            timeout=httpx2.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *parts: str, query: Mapping[str, str] | None = None) -> Any:
        return _decode(self._send("GET", _path(parts), params=query))

    def text(self, *parts: str) -> str:
        return self._send("GET", _path(parts)).text

    def post(self, *parts: str, body: object, key: str = "") -> Any:
        """Post `body`. With an idempotency `key` the same call may be made again and acts once."""
        headers = {"Idempotency-Key": key} if key else {}
        return _decode(self._send("POST", _path(parts), json=body, headers=headers))

    def events(self, run: str, *, after: str) -> Iterator[StreamEvent]:
        """The run's log after `after` and then live, until END; Unreachable when the connection breaks."""
        timeout = httpx2.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        query = {"after": after} if after else {}
        path = _path(("v1", "runs", run, "events"))
        with self._translated(), self._http.stream("GET", path, params=query, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise _failure(response)
            yield StreamEvent(OPENED, "", None)
            try:
                for event in httpx2.EventSource(response):
                    yield StreamEvent(event.event, event.id, json.loads(event.data or "null"))
            except httpx2.ReadTimeout as error:
                raise Silent(f"controller {self._url}: nothing for {SILENCE_TIMEOUT_S:g} s") from error

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        with self._translated():
            response = self._http.request(method, path, **options)
        if response.is_error:
            raise _failure(response)
        return response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectTimeout as error:
            raise errors.Unreachable(
                f"controller {self._url}: no connection within {CONNECT_TIMEOUT_S:g} s; "
                "is it running, and is its port open?"
            ) from error
        except httpx2.TimeoutException as error:
            raise errors.Unreachable(
                f"controller {self._url}: no answer within {ANSWER_TIMEOUT_S:g} s; "
                "the request may have been carried out"
            ) from error
        except (httpx2.RequestError, httpx2.InvalidURL, ssl.SSLError, ValueError) as error:
            raise errors.Unreachable(f"controller {self._url}: {_cause(error)}") from error


def _trust(context: Context) -> ssl.SSLContext | bool:
    if not context.ca_pem:
        return True
    try:
        return ssl.create_default_context(cadata=context.ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise errors.UsageError(
            "context: ca_pem is no PEM certificate; run `blackstart login URL` again"
        ) from error


def _path(parts: tuple[str, ...]) -> str:
    for part in parts:
        if "/" in part or part in ("", ".", ".."):  # the controller would look for another route
            raise errors.NotFound(f"{part or 'the empty text'}: this can be no name or id, so there is none")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _decode(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise errors.Unreachable(
            f"controller {response.url}: the answer is no JSON; is this a blackstart controller?"
        ) from error


def _failure(response: httpx2.Response) -> errors.BlackstartError:
    try:
        told = response.json()["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        code, message = (
            "",
            f"controller {response.url}: HTTP {response.status_code}; is this a blackstart controller?",
        )
    known = BY_CODE.get(code) or BY_STATUS.get(response.status_code, errors.BlackstartError)
    return known(message)


def _cause(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate is not of the pinned authority ({text}); run `blackstart login URL` again"
    if "refused" in text:
        return f"{text}; is `blackstart serve` running there?"
    return text
