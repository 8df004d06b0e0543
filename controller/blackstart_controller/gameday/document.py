"""The game-day document as frozen models. Durations are milliseconds here, text like `24h` in files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from blackstart_controller.errors import UsageError
from blackstart_controller.schedule.zones import instant, zone_of
from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.errors import Problem, validate
from blackstart_controller.spec.schema import document_schema
from blackstart_controller.spec.types import (
    Between,
    DnsLabel,
    Flag,
    HttpUrl,
    Name,
    OneOf,
    Strict,
    Text,
    checked,
    describe,
    invalid,
)
from blackstart_controller.spec.yaml_source import read_yaml

MAX_EXPERIMENTS: Final = 50
MAX_ITEMS: Final = 200
MAX_LINE: Final = 1000
MAX_WINDOW: Final = timedelta(days=31)
DEFAULT_REMINDERS_MS: Final = (86_400_000, 3_600_000, 600_000)
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_LOCAL_WORDS: Final = "a local date and time like 2026-12-01T10:00, without an offset"


def _local_time(value: object) -> datetime:
    if isinstance(value, str) and _LOCAL.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise invalid(f"{value} is no date: {error}") from error
    raise invalid(f"must be {_LOCAL_WORDS}; got {describe(value)}")


def _wrong_zone(text: str) -> str | None:
    try:
        zone_of(text)
    except UsageError as error:
        return str(error)
    return None


def _wrong_line(text: str) -> str | None:
    if not text.strip():
        return "may not be empty"
    return None if len(text) <= MAX_LINE else f"must have at most {MAX_LINE} characters"


LocalTime = Annotated[
    datetime,
    PlainValidator(_local_time),
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_LOCAL.pattern}$", "description": _LOCAL_WORDS}),
]
Zone = Annotated[str, BeforeValidator(checked(_wrong_zone, "a time zone like Asia/Seoul"))]
Line = Annotated[str, BeforeValidator(checked(_wrong_line, "at most 1000 characters"))]
Prose = Annotated[Text, Field(max_length=20_000)]


class Window(Strict):
    """The people are there from `start` to `end`, on the clocks of `zone`."""

    start: LocalTime
    end: LocalTime
    zone: Zone


class Scope(Strict):
    """What is meant to be hit, and what must not be. For people; the experiments say it to machines."""

    environment: Text = ""
    inside: tuple[Line, ...] = Field(default=(), alias="in", max_length=MAX_ITEMS)
    outside: tuple[Line, ...] = Field(default=(), alias="out", max_length=MAX_ITEMS)


class Roles(Strict):
    """Who does what. Whoever owns the abort decides alone, and needs no reason that others accept."""

    owner: Line
    abort_owner: Line
    coordinator: Text = ""
    scribe: Text = ""
    observers: tuple[Line, ...] = Field(default=(), max_length=MAX_ITEMS)


class Hypothesis(Strict):
    """What is believed: when X, then Y, within this."""

    text: Line
    within: Text = ""


class ExperimentEntry(OneOf):
    """One experiment. With `hold`, somebody has to say go before it begins."""

    CHOICES: ClassVar = ("file", "document")
    name: DnsLabel
    file: Line | None = None
    document: Annotated[Text, Field(min_length=1)] | None = None
    values: dict[str, Text] = Field(default={}, alias="set", max_length=100)
    hold: Flag = True


class Comms(Strict):
    channel: Text = ""
    told: tuple[Line, ...] = Field(default=(), max_length=MAX_ITEMS)


class Item(OneOf):
    """A line of the pre-flight checklist: for people (`item`), or one that checks itself (`check`).

    `check: url` asks `url`: 2xx is ok. `label` says what that stands for, such as backup_recent.
    """

    CHOICES: ClassVar = ("item", "check")
    item: Line | None = None
    check: (
        Literal[
            "agents_up", "clocks_good", "lever_released", "plans_valid", "stop_conditions_readable", "url"
        ]
        | None
    ) = None
    url: HttpUrl | None = None
    label: Text = ""


class GameDayDocument(Strict):
    """A game day as it is planned."""

    name: DnsLabel = Field(alias="gameday")
    title: Line
    description: Prose = ""
    window: Window
    zero_notice: Flag = False
    scope: Scope = Scope()
    roles: Roles
    hypotheses: tuple[Hypothesis, ...] = Field(default=(), max_length=MAX_ITEMS)
    experiments: tuple[ExperimentEntry, ...] = Field(min_length=1, max_length=MAX_EXPERIMENTS)
    comms: Comms = Comms()
    checklist: tuple[Item, ...] = Field(default=(), max_length=MAX_ITEMS)
    reminders_ms: tuple[Annotated[int, Between("1m", "720h")], ...] = Field(
        default=DEFAULT_REMINDERS_MS, alias="reminders", max_length=10
    )
    tags: tuple[Name, ...] = Field(default=(), max_length=100)


def load_gameday(text: str, file: str) -> GameDayDocument:
    """Return the game day that `text` describes, or raise InvalidDocument, whose lines name `file`."""
    return validate(GameDayDocument, read_yaml(text, file), _check)


def gameday_schema() -> dict[str, Any]:
    """Return the JSON Schema of game-day documents, as committed in `docs/gameday.schema.json`."""
    return document_schema(GameDayDocument, "gameday")


def window_of(document: GameDayDocument) -> tuple[datetime, datetime]:
    """Return when the window opens and closes, in UTC."""
    zone = zone_of(document.window.zone)
    return instant(document.window.start, zone), instant(document.window.end, zone)


def _check(document: GameDayDocument) -> Iterator[Problem]:
    yield from _times(document)
    yield from _repeated("experiments", [one.name for one in document.experiments])
    yield from _repeated("reminders", [format_duration(ms) for ms in document.reminders_ms])
    for number, item in enumerate(document.checklist):
        if (item.check == "url") != (item.url is not None):
            text = "check: url needs url: https://…" if item.url is None else "url belongs to check: url"
            yield Problem(("checklist", number), text)


def _times(document: GameDayDocument) -> Iterator[Problem]:
    window = document.window
    zone = zone_of(window.zone)
    for key, local in (("start", window.start), ("end", window.end)):
        if instant(local, zone).astimezone(zone).replace(tzinfo=None) != local:
            yield Problem(("window", key), f"does not exist in {window.zone}: clocks jump over it")
    start, end = window_of(document)
    if end <= start:
        yield Problem(("window", "end"), f"must be after start, {window.start.isoformat()}")
    elif end - start > MAX_WINDOW:
        yield Problem(("window", "end"), f"a window may last at most {MAX_WINDOW.days} days")


def _repeated(key: str, names: Sequence[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name in names[:number]:
            text = f"{name} is {key}[{names.index(name)}] already; each once"
            yield Problem((key, number), text)
