"""The experiment document as frozen models. Durations are milliseconds here, text like `10s` in files.

What no single part can know (names that refer to each other, sums) is in `checks.py`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from blackstart_controller.spec.amounts import Share
from blackstart_controller.spec.faults.base import MAX_HOLD, Count
from blackstart_controller.spec.flow import MAX_STEPS, Step
from blackstart_controller.spec.parameters import ParameterTable
from blackstart_controller.spec.services import ServiceEntry
from blackstart_controller.spec.stops import MAX_STOPS, StopEntry
from blackstart_controller.spec.types import Between, Name, Strict, Text, Whole

MAX_SERVICES: Final = 200

Seed = Annotated[int, Whole(0, 2**53)]


class Limits(Strict):
    """The blast radius that this experiment may have at most. Not given: no limit, and the plan says so."""

    max_hosts: Count | None = None
    max_sites: Count | None = None
    max_service_share: Share | None = None
    max_skew_ms: Annotated[int, Between("1ms", "60s")] = Field(default=50, alias="max_skew")
    max_hold_ms: Annotated[int, Between("10ms", MAX_HOLD)] | None = Field(default=None, alias="max_hold")


class Experiment(Strict):
    """One experiment: what is broken, what is watched, what ends it early, and what is believed to happen."""

    name: Name = Field(alias="experiment")
    description: Text = ""
    hypothesis: Text = ""
    owner: Text = ""
    tags: tuple[Name, ...] = Field(default=(), max_length=100)
    parameters: ParameterTable = Field(default_factory=dict)
    seed: Seed = 0
    mode: Literal["tethered", "sealed"] = "tethered"
    lease_ms: Annotated[int, Between("2s", "60s")] = Field(default=15_000, alias="lease")
    baseline_ms: Annotated[int, Between("0s", "1h")] = Field(default=3_000, alias="baseline")
    settle_ms: Annotated[int, Between("10ms", "1h")] = Field(default=2_000, alias="settle")
    watch_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(default=60_000, alias="watch")
    limits: Limits = Limits()
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)
    services: tuple[ServiceEntry, ...] = Field(default=(), max_length=MAX_SERVICES)
    stop: tuple[StopEntry, ...] = Field(default=(), max_length=MAX_STOPS)
