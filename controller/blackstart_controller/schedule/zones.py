"""Time zones: stretches of constant offset, and the one moment that a local time stands for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from blackstart_controller.errors import UsageError

DAY = timedelta(days=1)
STRETCH = 32 * DAY  # no longer, so that looking for the next due time does not look through years
LOOK_BACK = 2 * DAY  # longer than any gap


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` to before `end` local time is UTC + `offset`. `shift`: how far clocks jumped then."""

    start: datetime
    end: datetime
    offset: timedelta
    shift: timedelta

    @property
    def local_start(self) -> datetime:
        return (self.start + self.offset).replace(tzinfo=None)

    @property
    def local_end(self) -> datetime:
        return (self.end + self.offset).replace(tzinfo=None)


def zone_of(name: str) -> ZoneInfo:
    """The zone `name`; UsageError with a likely one when there is none."""
    try:
        return ZoneInfo(name)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ):  # ValueError: a path; OSError: a folder, such as Asia
        raise UsageError(
            f"zone {name[:80]!r}: there is none{_meant(name)}; use names like Asia/Seoul"
        ) from None


def stretches(zone: tzinfo, start: datetime, end: datetime) -> Iterator[Stretch]:
    """The time from `start` to `end`, in order and whole. Two clock changes within a day are seen as one."""
    shift = timedelta(0)
    while start < end:
        offset, stop = _offset(zone, start), min(start + STRETCH, end)
        day = start
        while day < stop:
            after = min(day + DAY, stop)
            if _offset(zone, after) != offset:
                stop = _change(zone, day, after)
                break
            day = after
        yield Stretch(start, stop, offset, shift)
        shift = _offset(zone, stop) - offset
        start = stop


def instant(local: datetime, zone: tzinfo, *, second: bool = False) -> datetime:
    """The moment at which clocks in `zone` show `local`, which has no zone itself.

    A time that does not exist is the first moment after the gap; one that comes twice, the first (`second`).
    """
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    other = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if other < first:
        return _change(zone, other, first)
    return other if second else first


def comes_twice(local: datetime, zone: tzinfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and second < first


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The first whole second after `before` at which the offset is the one of `after`."""
    offset, low, high = _offset(zone, before), 0, round((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + timedelta(seconds=middle)) == offset:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _meant(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    close = difflib.get_close_matches(name, sorted(available_timezones()), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}" if close else ""
