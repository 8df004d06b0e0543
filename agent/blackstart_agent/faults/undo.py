"""Typed reading of undo records, which are JSON on disk. A record of the wrong shape raises HostError."""

from __future__ import annotations

from blackstart_agent.errors import HostError
from blackstart_agent.faults.base import Json, Undo
from blackstart_agent.host.ports import Host, Process


def text(undo: Undo, key: str) -> str:
    value = undo.get(key)
    if not isinstance(value, str):
        raise _wrong(key, "a text", value)
    return value


def flag(undo: Undo, key: str) -> bool:
    value = undo.get(key)
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value)
    return value


def number(undo: Undo, key: str) -> int:
    return _number(undo.get(key), key)


def texts(undo: Undo, key: str) -> tuple[str, ...]:
    values = _list(undo, key)
    if not all(isinstance(value, str) for value in values):
        raise _wrong(key, "a list of texts", values)
    return tuple(str(value) for value in values)


def numbers(undo: Undo, key: str) -> tuple[int, ...]:
    return tuple(_number(value, key) for value in _list(undo, key))


def processes(undo: Undo, key: str) -> tuple[Process, ...]:
    """Processes that were written with `process_rows`."""
    found: list[Process] = []
    for row in _list(undo, key):
        if not isinstance(row, list | tuple) or len(row) != 3:
            raise _wrong(key, "a list of [pid, start_ticks, name]", row)
        found.append(Process(_number(row[0], key), _number(row[1], key), str(row[2]), ""))
    return tuple(found)


def process_rows(found: tuple[Process, ...]) -> list[Json]:
    return [[process.pid, process.start_ticks, process.name] for process in found]


def of_this_boot(host: Host, undo: Undo) -> bool:
    """Whether the record was made since the host last started: a reboot ends everything that a fault does."""
    return text(undo, "boot_id") == host.clock.boot_id()


def _list(undo: Undo, key: str) -> list[Json]:
    value = undo.get(key)
    if not isinstance(value, list | tuple):
        raise _wrong(key, "a list", value)
    return list(value)


def _number(value: Json, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(key, "whole numbers", value)
    return value


def _wrong(key: str, wanted: str, got: object) -> HostError:
    return HostError(
        f"undo record: {key} must be {wanted}, got {got!r}; the record is damaged, look at the host by hand"
    )
