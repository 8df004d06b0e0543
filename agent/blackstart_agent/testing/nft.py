"""nf_tables in memory: transactions are all or nothing, elements of a gate expire with the clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from blackstart_agent.errors import HostError
from blackstart_agent.testing.clock import NANOSECONDS_PER_MS, FakeClock

_HEAD = re.compile(
    r"(create table|table|delete table|add element|delete element|flush set) (\S+) (\S+)\s*(gate)?\s*"
)
_ELEMENT = re.compile(r'("[^"]+"|\w+)(?: timeout (\d+)ms)?')


@dataclass
class FakeTable:
    text: str
    gate: dict[str, int | None] = field(
        default_factory=dict
    )  # element -> expiry in monotonic ns; None: for ever


@dataclass
class FakeNft:
    """Tables by (family, name). It understands the forms that `faults/cut.py` writes, and no others."""

    clock: FakeClock = field(compare=False)
    content: dict[tuple[str, str], FakeTable] = field(default_factory=dict)
    transactions: list[str] = field(default_factory=list, compare=False)
    fail: str = field(
        default="", compare=False
    )  # when set, every transaction raises HostError with this text

    def run(self, commands: str) -> None:
        if self.fail:
            raise HostError(self.fail)
        after = {key: FakeTable(table.text, dict(table.gate)) for key, table in self.content.items()}
        for command in _commands(commands):
            self._apply(command, after)
        self.content = after
        self.transactions.append(commands)

    def tables(self, prefix: str) -> list[tuple[str, str]]:
        return [key for key in self.content if key[1].startswith(prefix)]

    def show(self, family: str, table: str) -> str | None:
        found = self.content.get((family, table))
        if found is None:
            return None
        live = ", ".join(self.open_elements(family, table))
        elements = f"\n\t\telements = {{ {live} }}" if live else ""
        return f"table {family} {table} {{\n\tset gate {{{elements}\n\t}}\n}}"

    def open_elements(self, family: str, table: str) -> list[str]:
        """The elements of the gate that have not expired."""
        gate, now_ns = self.content[family, table].gate, self.clock.now_ns
        return [element for element, expiry in gate.items() if expiry is None or expiry > now_ns]

    def _apply(self, command: str, content: dict[tuple[str, str], FakeTable]) -> None:
        head = _HEAD.match(command)
        if head is None:
            raise HostError(f"Error: syntax error, unexpected {command.splitlines()[0]}")
        verb, key = head[1], (head[2], head[3])
        if verb == "create table" and key in content:
            raise HostError(f"Error: Could not process rule: File exists\n{command}")
        if verb in ("create table", "table"):
            content.setdefault(key, FakeTable("")).text += command
            return
        if key not in content:
            raise HostError(f"Error: Could not process rule: No such file or directory\n{command}")
        if verb == "delete table":
            del content[key]
        elif verb == "flush set":
            content[key].gate.clear()
        else:
            self._elements(verb, command[head.end() :], content[key].gate)

    def _elements(self, verb: str, listed: str, gate: dict[str, int | None]) -> None:
        for element, timeout_ms in _ELEMENT.findall(listed.strip("{} \n")):
            if verb == "delete element":
                if element not in gate:
                    raise HostError("Error: Could not process rule: No such file or directory")
                del gate[element]
            elif element not in gate:  # a second add changes nothing, as on Linux 6.1
                lease_ns = int(timeout_ms) * NANOSECONDS_PER_MS if timeout_ms else None
                gate[element] = None if lease_ns is None else self.clock.now_ns + lease_ns


def _commands(text: str) -> Iterator[str]:
    """The commands of a transaction; a block in braces belongs to the line that opens it."""
    lines: list[str] = []
    depth = 0
    for line in text.splitlines():
        lines.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0 and line.strip():
            yield "\n".join(lines)
            lines = []
    if lines:
        raise HostError("Error: syntax error, unexpected end of file")
