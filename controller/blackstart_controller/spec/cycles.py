"""Circles among names that refer to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


def find_cycle(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return one circle, each name once, the first in `needs`' order at the front; () when there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        # graphlib gives [a, b, a] where b needs a; turned round it reads "a needs b"
        names = list(reversed(error.args[1]))[:-1]
        first = min(names, key=list(needs).index)
        start = names.index(first)
        return (*names[start:], *names[:start])
    return ()
