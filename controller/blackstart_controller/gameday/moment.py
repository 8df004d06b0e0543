"""The moment of a zero-notice game day. Pure."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

ROOM = timedelta(hours=1)  # at the window's end, or half of a short one: people must still be there


def chosen_moment(start: datetime, end: datetime, seed: int) -> datetime:
    """The same moment for the same seed, each whole second that leaves `ROOM` before `end` equally likely.

    The seed is as secret as the moment: it is drawn when the day is planned, and is not in the document.
    """
    length = end - start
    seconds = max(1, int((length - min(ROOM, length / 2)).total_seconds()))
    return start + timedelta(seconds=random.Random(seed).randrange(seconds))  # noqa: S311  (seed: secrets)
