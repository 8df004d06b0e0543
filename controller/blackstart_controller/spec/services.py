"""Watched services and the probes that watch them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import BeforeValidator, Field

from blackstart_controller.spec.faults.base import MAX_HOLD
from blackstart_controller.spec.types import (
    Address,
    Between,
    Flag,
    HostSelector,
    HttpUrl,
    Name,
    OneOf,
    Strict,
    Text,
    Whole,
    checked,
    describe,
)

MAX_PROBES: Final = 20

Status = Annotated[int, Whole(100, 599)]
_SUBJECT_WORDS: Final = "a subject like news.probe, without spaces, * and >"


def _wrong_subject(text: str) -> str | None:
    if all(text.split(".")) and text.isprintable() and not set(text) & set(" *>") and len(text) <= 255:
        return None
    return f"{describe(text)} is no subject; use {_SUBJECT_WORDS}"


Subject = Annotated[str, BeforeValidator(checked(_wrong_subject, _SUBJECT_WORDS))]


class Http(Strict):
    url: HttpUrl
    expect_status: tuple[Status, ...] = ()
    expect_body: Text = ""


class Tcp(Strict):
    address: Address


class Redis(Strict):
    addresses: tuple[Address, ...] = Field(min_length=1, max_length=100)
    sentinel_master: Text = ""
    write: Flag = False


class Nats(Strict):
    addresses: tuple[Address, ...] = Field(min_length=1, max_length=100)
    publish: Subject | None = None


class Command(Strict):
    """A command that the observer's own policy knows by this name; no command line ever travels."""

    name: Name


class Probe(OneOf):
    CHOICES: ClassVar = ("http", "tcp", "redis", "nats", "command")
    http: Http | None = None
    tcp: Tcp | None = None
    redis: Redis | None = None
    nats: Nats | None = None
    command: Command | None = None


class Watched(Strict):
    """Who asks how often. `observers` not given: up to three hosts that are no targets, by the seed."""

    name: Name
    observers: HostSelector | None = None
    every_ms: Annotated[int, Between("5ms", "60s")] = Field(default=100, alias="every")
    timeout_ms: Annotated[int, Between("1ms", "60s")] = Field(default=1_000, alias="timeout")


class Objectives(Strict):
    """How fast the service must be back, and how many seconds of writes may be lost."""

    rto_ms: Annotated[int, Between("0s", MAX_HOLD)] | None = Field(default=None, alias="rto")
    rpo_ms: Annotated[int, Between("0s", MAX_HOLD)] | None = Field(default=None, alias="rpo")


class ServiceEntry(Watched):
    members: HostSelector
    depends_on: tuple[Name, ...] = ()
    objective: Objectives = Objectives()
    probes: tuple[Probe, ...] = Field(min_length=1, max_length=MAX_PROBES)
