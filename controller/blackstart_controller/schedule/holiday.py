"""Public holidays, by the `holidays` package. It is imported when a schedule asks for them, not before."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from blackstart_controller.errors import UsageError

if TYPE_CHECKING:
    from holidays import HolidayBase


def check_country(code: str) -> None:
    """UsageError when nobody knows the holidays of `code`, such as KR, or DE-BY for a part of a country."""
    from holidays import list_supported_countries

    known = list_supported_countries()
    country, _, part = code.partition("-")
    if country not in known:
        raise UsageError(f"holidays {code[:40]!r}: unknown country; use a code like KR, DE or DE-BY")
    if part and part not in known[country]:
        parts = ", ".join(known[country]) or "none"
        raise UsageError(f"holidays {code[:40]!r}: unknown part of {country}; known: {parts}")


def holiday_name(code: str, day: date) -> str | None:
    """The name of the holiday that `day` is, or None."""
    name: str | None = _days_of(code).get(day)
    return name


@lru_cache(maxsize=16)
def _days_of(code: str) -> HolidayBase:
    from holidays import country_holidays

    country, _, part = code.partition("-")
    return country_holidays(country, subdiv=part or None, language="en_US")
