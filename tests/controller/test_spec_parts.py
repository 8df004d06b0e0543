"""Durations, addresses, YAML scalars and positions, and the published schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.cycles import find_cycle
from blackstart_controller.spec.duration import PATTERN, format_duration, parse_duration
from blackstart_controller.spec.schema import experiment_schema
from blackstart_controller.spec.types import split_address, url_host
from blackstart_controller.spec.yaml_source import Position, read_yaml
from blackstart_lab.document import lab_schema
from hypothesis import given
from hypothesis import strategies as st

DOCS = Path(__file__).parents[2] / "docs"


@given(st.integers(min_value=0, max_value=10**12))
def test_every_duration_is_read_as_it_is_printed(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("200ms", 200),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1m30s", 90_000),
        ("1h2m3s4ms", 3_723_004),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("10", "a unit is missing: write 10s or 10ms"),
        ("1.5s", "whole numbers only: write 1s500ms"),
        (".5m", "whole numbers only: write 30s"),
        ("1s1m", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("1s1s", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("1d", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        (" 1s", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("1 s", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("١s", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
        ("9999999999s", "write it like 200ms, 10s, 5m, 1h, 1m30s"),
    ],
)
def test_a_wrong_duration_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"{text!r} is no duration; {fix}"


@given(st.text(alphabet="0123456789hms.- ", max_size=12))
def test_the_schema_s_pattern_accepts_what_the_parser_accepts(text: str) -> None:
    import re

    try:
        parse_duration(text)
    except ValueError:
        accepted = False
    else:
        accepted = True
    assert accepted is bool(re.search(PATTERN, text))


def test_scalars_stay_as_written_unless_they_are_plain_words_or_whole_numbers() -> None:
    text = "[true, yes, on, 1, -1, 01, 0x1, 1.10, 1e3, 1_000, '1', \"true\", ~, null, 12:30, 2022-10-15]"
    expected = [True, "yes", "on", 1, -1, "01", "0x1", "1.10", "1e3", "1_000", "1", "true", None, None]
    assert read_yaml(text, "x").data == [*expected, "12:30", "2022-10-15"]


def test_every_node_knows_its_place() -> None:
    document = read_yaml("a:\n  - b: [1, x]\n  - |\n    text\nc:\nd: ''\n", "x")
    assert document.position(("a", 0, "b", 1)) == Position(2, 12)
    assert document.position(("a", 0, "b"), key=True) == Position(2, 5)
    assert document.position(("a", 1)) == Position(3, 5)
    assert document.position(("a", 0, "absent")) == Position(2, 5)
    assert document.position(("c",)) == Position(5, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3\n", "2:2"),
        ("a: 'x\n", "2:1"),
        ("a: b: c\n", "1:5"),
        ("a: &x 1\n", "1:4"),
        ("a: 1\nb: *x\n", "2:4"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4"),
        ("a: {b: 1, b: 2}\n", "1:11"),
        ("a: 1\n---\nb: 2\n", "2:1"),
        ("[" * 40, "1:34"),
        ("a: \ud800\n", "1:4"),
        ("<<: {a: 1}\n<<: {a: 2}\n", "2:1"),
    ],
)
def test_what_is_refused_is_refused_at_its_place(text: str, place: str) -> None:
    with pytest.raises(InvalidDocument, match=rf"^x:{place}: "):
        read_yaml(text, "x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("db-1:6379", ("db-1", 6379)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[fd00::1]:6379", ("fd00::1", 6379)),
        ("fd00::1:6379", None),
        ("[10.0.0.1]:80", None),
        ("db-1", None),
        (":80", None),
        ("db-1:65536", None),
        ("db-1:080", None),
        ("db 1:80", None),
        ("http://a:80", None),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, parts: tuple[str, int] | None) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://w1/", "w1"),
        ("https://[fd00::1]:8443/x", "fd00::1"),
        ("ftp://w1/", None),
        ("http://", None),
        ("http://[fd00/", None),
        ("http://w1:99999/", None),
        ("w1:80", None),
    ],
)
def test_a_url_has_a_host(url: str, host: str | None) -> None:
    assert url_host(url) == host


def test_a_circle_is_named_from_its_first_member() -> None:
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ("b", "c")
    assert find_cycle({"x": ["y"], "y": [], "z": ["x", "y"]}) == ()


@pytest.mark.parametrize("name", ["experiment", "lab"])
def test_the_published_schema_is_the_one_of_the_code(name: str) -> None:
    schema = {"experiment": experiment_schema, "lab": lab_schema}[name]()
    committed = (DOCS / f"{name}.schema.json").read_text(encoding="utf-8")
    assert committed == json.dumps(schema, indent=2) + "\n", "run: python tests/controller/publish_schemas.py"


def test_the_specification_loads_neither_grpc_nor_sqlalchemy_nor_asyncio() -> None:
    code = "import sys, blackstart_controller.spec.load; print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not loaded & {"grpc", "sqlalchemy", "asyncio", "fastapi", "jinja2", "difflib", "blackstart_proto"}
