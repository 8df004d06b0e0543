"""Selectors mean what Kubernetes means, print as they are read, and are refused with the character."""

from __future__ import annotations

import pytest
from blackstart_controller.spec.selector import Operator, Requirement, Selector, SelectorError, parse_selector
from hypothesis import given
from hypothesis import strategies as st

LABELS = {"site": "pangyo", "role": "db", "empty": "", "app.example.com/tier": "1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("role=db", True),
        ("role==db", True),
        ("role = db , site = pangyo", True),
        ("role=cache", False),
        ("role!=cache", True),
        ("role!=db", False),
        ("absent!=x", True),
        ("role in (db,cache)", True),
        ("role in ( cache )", False),
        ("absent in (db)", False),
        ("role notin (cache)", True),
        ("role notin (db)", False),
        ("absent notin (db)", True),
        ("role", True),
        ("absent", False),
        ("!absent", True),
        ("! role", False),
        ("empty=", True),
        ("empty=,role=db", True),
        ("role=", False),
        ("empty in (,x)", True),
        ("app.example.com/tier=1", True),
        ("site=pangyo,role in (db,cache),!protected", True),
        ("site=pangyo,role in (db,cache),!site", False),
        ("in in (in)", False),
        ("notin", False),
    ],
)
def test_a_selector_matches_as_in_kubernetes(text: str, matches: bool) -> None:
    assert parse_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        ("   ", 1),
        (",", 1),
        ("a=b,", 5),
        ("a=b,,c", 5),
        ("=b", 1),
        ("a b", 3),
        ("a=b c", 5),
        ("a=b=c", 4),
        ("a in b", 6),
        ("a in (b", 8),
        ("a in b)", 6),
        ("a notin", 8),
        ("!", 2),
        ("!!a", 2),
        ("!a=b", 3),
        ("a(b)", 2),
        ("a=b;c=d", 3),
        ("-a=b", 1),
        ("a=-b", 3),
        ("a/b/c/=d", 1),
        ("/a=b", 1),
        (f"{'a' * 64}=b", 1),
        (f"a={'b' * 64}", 3),
        ("ä=b", 1),
    ],
)
def test_a_wrong_selector_is_refused_with_the_character(text: str, position: int) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    assert caught.value.position == position
    assert f"character {position} " in str(caught.value)


names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
prefixes = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)
keys = names | st.tuples(prefixes, names).map("/".join)
values = st.just("") | names


def requirement(operator: Operator) -> st.SearchStrategy[Requirement]:
    match operator:
        case "=" | "!=":
            return st.builds(Requirement, keys, st.just(operator), st.tuples(values))
        case "in" | "notin":
            many = st.lists(values, min_size=1, max_size=4).map(tuple)
            return st.builds(Requirement, keys, st.just(operator), many)
        case _:
            return st.builds(Requirement, keys, st.just(operator))


OPERATORS: tuple[Operator, ...] = ("=", "!=", "in", "notin", "exists", "absent")
selectors = st.lists(st.one_of(*map(requirement, OPERATORS)), min_size=1, max_size=5).map(
    lambda requirements: Selector(tuple(requirements))
)


@given(selectors)
def test_every_selector_is_read_as_it_is_printed(selector: Selector) -> None:
    assert parse_selector(str(selector)) == selector


@given(selectors, st.dictionaries(keys, values, max_size=4))
def test_a_selector_and_its_opposite_never_both_match(selector: Selector, labels: dict[str, str]) -> None:
    opposite: dict[Operator, Operator] = {
        "=": "!=",
        "!=": "=",
        "in": "notin",
        "notin": "in",
        "exists": "absent",
        "absent": "exists",
    }
    for one in selector.requirements:
        other = Requirement(one.key, opposite[one.operator], one.values)
        assert one.matches(labels) is not other.matches(labels)


@given(st.text(max_size=60))
def test_no_text_ever_crashes_the_parser(text: str) -> None:
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        assert 1 <= error.position <= len(text) + 1
    else:
        assert parse_selector(str(selector)) == selector
