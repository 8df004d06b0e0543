"""Bad documents without end: good ones with a few wounds, and documents that were made to hurt."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, pairwise
from typing import Any, Final

from blackstart_controller import library
from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.export import yaml_text
from blackstart_controller.spec.load import load_experiment
from blackstart_controller.spec.yaml_source import MAX_BYTES, Value, read_yaml
from controller.documents import EXPERIMENT, FLOW

GOOD: Final = (EXPERIMENT, FLOW, *(library.text(name) for name in (*library.NAMES, library.STARTER)))
HEAD: Final = "experiment: x\n"
LEAF: Final = "{fault: site.blackout, site: a, for: 1s}"
SPECIAL: Final = ("&a ", "*a ", "!x ", "${", "${a}", "<<: ", "? ")
SCRAPS: Final = "{}[]:,-&*!|>'\"%@`#?$\n\t \\0123456789abcxyz\x00\x07é\u2028\ufeff\U0001f4a5\ud800"


def candidates(seed: int) -> Iterator[tuple[str, str]]:
    """Yield names and texts without end: first BOMBS, then good documents with one to three wounds.

    A few wounds do no harm: `is_bad` says. The same seed gives the same documents.
    """
    yield from BOMBS.items()
    chance = random.Random(seed)
    for number in count(1):
        text = chance.choice(GOOD)
        for _ in range(chance.randint(1, 3)):
            text = chance.choice((_change_value, _change_value, _change_text))(text, chance)
        yield f"seed {seed}, number {number}", text


def is_bad(text: str) -> bool:
    try:
        load_experiment(Document(text))
    except InvalidDocument:
        return True
    return False


def _change_text(text: str, chance: random.Random) -> str:
    where = chance.randrange(len(text) + 1)
    match chance.randrange(4):
        case 0:
            return text[:where] + chance.choice(SCRAPS) * chance.choice((1, 1, 2, 40)) + text[where:]
        case 1:
            return text[:where] + text[where + chance.randint(1, 60) :] + "\n"
        case 2:
            return (
                text[:where] + chance.choice(("&a ", "*a ", "!x ", "${", "${a}", "<<: ", "? ")) + text[where:]
            )
    lines = text.splitlines(keepends=True)
    line = chance.randrange(len(lines))
    return "".join([*lines[:line], lines[line] * chance.choice((0, 2, 50)), *lines[line + 1 :]])


def _change_value(text: str, chance: random.Random) -> str:
    """Another value, or another key, somewhere in the document's data. What is no YAML any more stays."""
    try:
        data = read_yaml(text, "x").data
    except InvalidDocument:
        return text + chance.choice(SCRAPS)
    _wound(_somewhere(data, chance), chance)
    return yaml_text(data if isinstance(data, dict) else {"experiment": data})


def _somewhere(data: Value, chance: random.Random) -> Value:
    """A mapping or a list in `data`, at a random depth."""
    inner = list(data.values()) if isinstance(data, dict) else data if isinstance(data, list) else []
    deeper = [one for one in inner if isinstance(one, dict | list) and one]
    return _somewhere(chance.choice(deeper), chance) if deeper and chance.random() < 0.8 else data


def _wound(holder: Value, chance: random.Random) -> None:
    if isinstance(holder, dict) and holder:
        key = chance.choice(list(holder))
        if chance.random() < 0.3:
            holder[chance.choice((key + "x", "for", "fault", "", "é", "a\nb", "x" * 500))] = holder.pop(key)
        else:
            holder[key] = chance.choice(WRONG)
    elif isinstance(holder, list) and holder:
        holder[chance.randrange(len(holder))] = chance.choice(WRONG)


def _nested(levels: int) -> Value:
    value: Value = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"sequence": value}
    return value


TEXTS: Final = ("", " ", "10", "-1s", "25h", "1.5s", "99999999999h", "0%", "101%", "on", "a=b=c", "\\", "${")
WRONG: Final[tuple[Any, ...]] = (
    *(None, True, False, -1, 0, 65_536, 10**17),
    *TEXTS,
    *("é", "\u2028", "\U0001f4a5" * 50, "a\nb", "x" * 5_000, "${nobody}"),
    *([], {}, [[]], {"a": {}}, ["a"] * 200, {str(number): number for number in range(200)}),
    *(_nested(3), _nested(12), _nested(28)),
    {"repeat": {"times": 1_000, "steps": [{"repeat": {"times": 1_000, "steps": [{"wait": "1s"}]}}]}},
)


def _filled(unit: str) -> str:
    """As many of `unit` as a document may hold."""
    return unit * ((MAX_BYTES - 500) // len(unit.encode()))


def _repeated(levels: int) -> str:
    return "{repeat: {times: 1000, steps: [" * levels + LEAF + "]}}" * levels


def _service(number: int, needs: int) -> str:
    return (
        f"  - {{name: a{number}, members: a, depends_on: [a{needs}], probes: [{{command: {{name: x}}}}]}}\n"
    )


BOMBS: Final = {
    "a megabyte": "a: " + "x" * 1_000_000,
    "billion laughs": 'a: &a ["x","x"]\n'
    + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in pairwise("abcdefgh")),
    "deep lists": "[" * 60_000,
    "deep mappings": "{a: " * 30_000,
    "deep blocks": "- " * 60_000,
    "many items": "[" + _filled("a,") + "]",
    "many pairs": "[" + _filled("a: b,") + "]",
    "many keys": "".join(f"k{number}: 1\n" for number in range(9_000)),
    "many keys in a line": "{" + ",".join(f"k{number}" for number in range(9_000)) + "}",
    "many words": "a: " + _filled("b "),
    "many lines": "a:\n" + _filled("  b\n"),
    "many comments": _filled("#\n"),
    "many directives": _filled("%a b\n"),
    "many documents": _filled("---\n"),
    "many questions": _filled("? "),
    "many tags": _filled("!a "),
    "one quote": "'" + _filled("''"),
    "escapes": 'a: "' + _filled("\\x41") + '"',
    "lines in quotes": 'a: "' + _filled("x\n") + '"',
    "folded": "a: >\n" + _filled("  x\n"),
    "blanks": _filled("\n") + "a",
    "unicode": "a: " + _filled("\U0001f4a5"),
    "binary": "\x00\x01\x02" * 1_000,
    "steps that are no steps": HEAD + "steps: [" + "a," * 9_000 + "]",
    "steps of no form": HEAD + "steps: [" + "{a: 1}," * 4_000 + "]",
    "faults of no kind": HEAD + "steps: [" + "{fault: x}," * 4_000 + "]",
    "loops in loops": HEAD + f"steps: [{_repeated(9)}]",
    "loops side by side": HEAD + f"steps: [{', '.join([_repeated(2)] * 90)}]",
    "wide sequences": HEAD + "steps: [" + ", ".join(["{sequence: [" + "{wait: 1s}," * 60 + "]}"] * 60) + "]",
    "a long selector": HEAD + f'steps: [{{fault: process.kill, name: x, for: 1s, on: "{_filled("a,")}"}}]',
    "a long name": f"experiment: {_filled('x')}",
    "a long key": _filled("x") + ": 1",
    "many wrong networks": HEAD
    + "steps: [{fault: network.partition, on: a, for: 1s, from: {cidr: ["
    + "10.0.0.1/8," * 9_000
    + "]}}]",
    "many parameters": "parameters:\n" + "".join(f"  k{number}: {{default: a}}\n" for number in range(3_000)),
    "a parameter a thousand times": HEAD
    + f"parameters: {{a: {{default: {'x' * 1_000}}}}}\ndescription: '{'${a}' * 20_000}'\n",
    "a parameter in a thousand places": HEAD
    + f"parameters: {{a: {{default: {'x' * 1_000}}}}}\n"
    + "tags: ["
    + "'${a}'," * 9_000
    + "]",
    "parameters that refer to each other": HEAD
    + "parameters:\n"
    + "".join(f"  p{number}: {{default: '${{p{number + 1}}}${{p{number + 1}}}'}}\n" for number in range(90)),
    "a thousand unknown parameters": HEAD + "tags: [" + "'x${nobody}'," * 1_000 + "]",
    "references without end": HEAD + "description: '" + _filled("${") + "'",
    "services in a circle": HEAD
    + f"steps: [{LEAF}]\nservices:\n"
    + "".join(_service(number, (number + 1) % 200) for number in range(200)),
    "dependencies on nobody": HEAD
    + f"steps: [{LEAF}]\nservices: [{{name: a, members: a, depends_on: ["
    + ", ".join(f"b{number}" for number in range(9_000))
    + "], probes: [{command: {name: x}}]}]",
}
