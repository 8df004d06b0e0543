"""Stop conditions: what ends a run early. An unreadable source counts as tripped."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from blackstart_controller.spec.amounts import Number
from blackstart_controller.spec.faults.base import MAX_HOLD
from blackstart_controller.spec.services import Probe, Watched
from blackstart_controller.spec.types import Between, HttpUrl, Name, OneOf, Strict, Text

MAX_STOPS: Final = 50

Failing = Annotated[int, Between("10ms", MAX_HOLD)]
Every = Annotated[int, Between("100ms", "5m")]


class FailingService(Strict):
    """`name` is a watched service's; it has failed `failing_for` without a break."""

    name: Name
    failing_ms: Failing = Field(alias="failing_for")


class Threshold(OneOf):
    """A PromQL query's value is above or below a number."""

    CHOICES: ClassVar = ("above", "below")
    name: Name
    prometheus: HttpUrl
    query: Annotated[Text, Field(min_length=1, max_length=4096)]
    above: Number | None = None
    below: Number | None = None
    for_ms: Annotated[int, Between("0s", "1h")] = Field(default=0, alias="for")
    every_ms: Every = Field(default=5_000, alias="every")


class Webhook(Strict):
    """2xx means go on; anything else means stop."""

    name: Name
    url: HttpUrl
    every_ms: Every = Field(default=5_000, alias="every")


class FailingProbe(Watched, Probe):
    """A probe of its own has failed `failing_for` without a break."""

    failing_ms: Failing = Field(alias="failing_for")


class StopEntry(OneOf):
    CHOICES: ClassVar = ("service", "metric", "webhook", "probe")
    service: FailingService | None = None
    metric: Threshold | None = None
    webhook: Webhook | None = None
    probe: FailingProbe | None = None

    @property
    def kind(self) -> str:
        return next(kind for kind in self.CHOICES if getattr(self, kind) is not None)

    @property
    def condition(self) -> FailingService | Threshold | Webhook | FailingProbe:
        found = self.service or self.metric or self.webhook or self.probe
        assert found is not None, "OneOf has exactly one"
        return found
