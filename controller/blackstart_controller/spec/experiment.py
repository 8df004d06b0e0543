"""The experiment document as frozen models. Durations are milliseconds here, text like `10s` in files.

What no single part can know (names that refer to each other, sums) is in `checks.py`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from blackstart_controller.spec.types import (
    AbsolutePath,
    Address,
    Between,
    Cidr,
    Flag,
    HostSelector,
    HttpUrl,
    Name,
    OneOf,
    Port,
    Strict,
    Text,
    UnitName,
    Whole,
    checked,
    describe,
)

MAX_HOLD: Final = "24h"
MAX_STEPS: Final = 100
MAX_SERVICES: Final = 200
MAX_PROBES: Final = 20

Seed = Annotated[int, Whole(0, 2**53)]
Count = Annotated[int, Whole(1, 100_000)]
Percent = Annotated[int, Whole(1, 100)]
Status = Annotated[int, Whole(100, 599)]
_SUBJECT_WORDS: Final = "a subject like news.probe, without spaces, * and >"


def _wrong_subject(text: str) -> str | None:
    if all(text.split(".")) and text.isprintable() and not set(text) & set(" *>") and len(text) <= 255:
        return None
    return f"{describe(text)} is no subject; use {_SUBJECT_WORDS}"


Subject = Annotated[str, BeforeValidator(checked(_wrong_subject, _SUBJECT_WORDS))]


# ---- steps ---------------------------------------------------------------------------------------


class Pick(OneOf):
    """How many of the selected hosts: chosen by the seed. A percentage is rounded up, so never none."""

    CHOICES: ClassVar = ("count", "percent")
    count: Count | None = None
    percent: Percent | None = None


class PeerSet(OneOf):
    """The other side of a partition."""

    CHOICES: ClassVar = ("site", "hosts", "cidr")
    site: Name | None = None
    hosts: HostSelector | None = None
    cidr: tuple[Cidr, ...] | None = Field(default=None, min_length=1, max_length=1000)


class Timed(Strict):
    """Every step begins `at` after T0 and ends by itself `for` later."""

    hold_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(alias="for")
    at_ms: Annotated[int, Between("0s", MAX_HOLD)] = Field(default=0, alias="at")


class Targeted(Timed):
    """A step that selects its hosts by their labels."""

    on: HostSelector
    pick: Pick | None = None


class SiteBlackout(Timed):
    """Every host of the site is cut off and its units are taken down, all at one T0."""

    fault: Literal["site.blackout"]
    site: Name
    units: Literal["kill", "freeze"] = "kill"


class HostBlackout(Targeted):
    fault: Literal["host.blackout"]
    units: Literal["kill", "freeze"] = "kill"


class Partition(Targeted):
    """The path between `on` and `from` is cut; `direction` is seen from `on`."""

    fault: Literal["network.partition"]
    peers: PeerSet = Field(alias="from")
    ports: tuple[Port, ...] = Field(default=(), max_length=1000)
    direction: Literal["both", "in", "out"] = "both"
    verdict: Literal["drop", "reject"] = "drop"


class OfProcess(Targeted, OneOf):
    """A step that hits processes, named by exactly one of these keys."""

    CHOICES: ClassVar = ("unit", "executable", "name")
    unit: UnitName | None = None
    executable: AbsolutePath | None = None
    name: Annotated[Text, Field(min_length=1, max_length=255)] | None = None


class KillProcess(OfProcess):
    """`for` is how long its effect is watched before it counts as over."""

    fault: Literal["process.kill"]


class PauseProcess(OfProcess):
    fault: Literal["process.pause"]


class StopUnits(Targeted):
    """The units are stopped, held down, and started again at the end."""

    fault: Literal["unit.stop"]
    units: tuple[UnitName, ...] = Field(min_length=1, max_length=100)


Step: TypeAlias = Annotated[
    SiteBlackout | HostBlackout | Partition | KillProcess | PauseProcess | StopUnits,
    Field(discriminator="fault"),
]


# ---- services ------------------------------------------------------------------------------------


class Http(Strict):
    url: HttpUrl
    expect_status: tuple[Status, ...] = ()
    expect_body: str = ""


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


class Objectives(Strict):
    """How fast the service must be back, and how many seconds of writes may be lost."""

    rto_ms: Annotated[int, Between("0s", MAX_HOLD)] | None = Field(default=None, alias="rto")
    rpo_ms: Annotated[int, Between("0s", MAX_HOLD)] | None = Field(default=None, alias="rpo")


class ServiceEntry(Strict):
    name: Name
    members: HostSelector
    depends_on: tuple[Name, ...] = ()
    objective: Objectives = Objectives()
    observers: HostSelector | None = None
    every_ms: Annotated[int, Between("5ms", "60s")] = Field(default=100, alias="every")
    timeout_ms: Annotated[int, Between("1ms", "60s")] = Field(default=1_000, alias="timeout")
    probes: tuple[Probe, ...] = Field(min_length=1, max_length=MAX_PROBES)


# ---- the document --------------------------------------------------------------------------------


class Limits(Strict):
    """The blast radius that this experiment may have at most. Not given: no limit, and the plan says so."""

    max_hosts: Count | None = None
    max_sites: Count | None = None
    max_skew_ms: Annotated[int, Between("1ms", "60s")] = Field(default=50, alias="max_skew")
    max_hold_ms: Annotated[int, Between("10ms", MAX_HOLD)] | None = Field(default=None, alias="max_hold")


class Experiment(Strict):
    """One experiment: what is broken, what is watched, and what is believed to happen."""

    name: Name = Field(alias="experiment")
    description: Text = ""
    hypothesis: Text = ""
    owner: Text = ""
    tags: tuple[Name, ...] = Field(default=(), max_length=100)
    seed: Seed = 0
    mode: Literal["tethered", "sealed"] = "tethered"
    lease_ms: Annotated[int, Between("2s", "60s")] = Field(default=15_000, alias="lease")
    baseline_ms: Annotated[int, Between("0s", "1h")] = Field(default=3_000, alias="baseline")
    settle_ms: Annotated[int, Between("10ms", "1h")] = Field(default=2_000, alias="settle")
    watch_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(default=60_000, alias="watch")
    limits: Limits = Limits()
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)
    services: tuple[ServiceEntry, ...] = Field(default=(), max_length=MAX_SERVICES)
