"""Pure: may this schedule run at this moment? Windows, blackout calendars, holidays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from blackstart_controller.schedule.blackout import read_calendar
from blackstart_controller.schedule.holiday import holiday_name
from blackstart_controller.schedule.model import Calendar, Spec
from blackstart_controller.schedule.windows import is_open


def forbidden(spec: Spec, calendars: Mapping[str, Calendar], moment: datetime) -> str | None:
    """The first reason why not, such as `window: …`; None when it may."""
    zone = ZoneInfo(spec.zone)
    local = moment.astimezone(zone)
    if not is_open(spec.windows, zone, moment):
        allowed = " or ".join(window.text for window in spec.windows)
        return f"window: {local:%a %Y-%m-%d %H:%M} is not within {allowed} ({spec.zone})"
    for name in spec.calendars:
        if (why := _blacked_out(name, calendars.get(name), moment, zone)) is not None:
            return why
    for code in spec.holidays:
        if (holiday := holiday_name(code, local.date())) is not None:
            return f"holiday: {local:%Y-%m-%d} is {holiday} ({code})"
    return None


def _blacked_out(name: str, calendar: Calendar | None, moment: datetime, zone: ZoneInfo) -> str | None:
    if calendar is None:  # cannot be: one that is in use cannot be removed. Unknown is not allowed
        return f"calendar: there is no {name} any more; import it again"
    for event in read_calendar(name, calendar.text):
        if (held := event.holds(moment, zone)) is not None:
            return f"calendar: {event.summary} until {held[1].astimezone(zone):%Y-%m-%d %H:%M} ({name})"
    return None
