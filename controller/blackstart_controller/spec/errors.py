"""pydantic's findings, told to the person who wrote the document: one line each, with its place."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.types import describe
from blackstart_controller.spec.yaml_source import Path, Source, Value, shown

MAX_LINES: Final = 20
MAX_DETAILS: Final = 200  # a hostile document has ten thousand, and each costs a search
MAX_VALUES: Final = 30
Loc = tuple[int | str, ...]
Models = list[type[BaseModel]]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at `path`; with `key`, the key itself is wrong and not its value."""

    path: Path
    text: str
    key: bool = False


def validate(model: type[Model], document: Source, checks: Callable[[Model], Iterable[Problem]]) -> Model:
    """Return the document as `model`, or raise InvalidDocument with every problem, in the file's order.

    `checks` see only a document whose parts are all valid.
    """
    if document.data is None:
        raise InvalidDocument(f"{document.file}:1:1: the document is empty; it needs {_required(model)}")
    try:
        parsed = model.model_validate(document.data)
    except ValidationError as error:
        details = [detail for detail in error.errors(include_url=False) if not _follows(detail)]
        problems = [_problem(model, document, detail) for detail in details[:MAX_DETAILS]]
        raise invalid_document(document, problems, untold=len(details) - len(problems)) from error
    problems = list(checks(parsed))
    if problems:
        raise invalid_document(document, problems)
    return parsed


def invalid_document(document: Source, problems: Sequence[Problem], untold: int = 0) -> InvalidDocument:
    """Return the error that lists `problems` by place, at most 20 of them; `untold` more are only counted."""
    placed = {(document.position(one.path, key=one.key), one.path, one.text): one for one in problems}
    ordered = sorted(placed, key=lambda item: (item[0].line, item[0].column, item[2]))
    shown_first = ordered[:MAX_LINES]
    lines = [
        f"{document.file}:{place}: {_one_line(_prefix(path) + text)}" for place, path, text in shown_first
    ]
    more = len(ordered) - len(lines) + untold
    if more:
        lines.append(f"... and {more} more")
    return InvalidDocument("\n".join(lines))


def dotted(path: Path) -> str:
    """Return `steps[0].from.site` for ("steps", 0, "from", "site")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}" if text else shown(part)
    return text


def one_of(values: Iterable[str], given: str = "", *, word: str = "allowed") -> str:
    """Return the allowed values as words (the first 30), and the one that was probably meant."""
    import difflib  # only when something is wrong: a good document does not pay for it

    known = list(values)
    close = difflib.get_close_matches(given[:100], known, n=1, cutoff=0.6)
    meant = f"; did you mean {close[0]}?" if close else ""
    more = f" and {len(known) - MAX_VALUES} more" if len(known) > MAX_VALUES else ""
    return f"{word}: {', '.join(known[:MAX_VALUES]) or 'none'}{more}{meant}"


def _one_line(text: str) -> str:
    """Whatever a document says, an error stays one line that a terminal can show."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _prefix(path: Path) -> str:
    return f"{dotted(path)}: " if path else ""


def _follows(detail: ErrorDetails) -> bool:
    """pydantic counts only the valid items of a list: their own errors are told, the count would be a lie."""
    given, context = detail["input"], detail.get("ctx") or {}
    return detail["type"] == "too_short" and isinstance(given, list) and len(given) >= context["min_length"]


def _problem(model: type[BaseModel], document: Source, detail: ErrorDetails) -> Problem:
    path, owners, here = _resolve(model, document.data, detail["loc"])
    kind = detail["type"]
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        keys = [key for owner in owners for key in _keys(owner)]
        return Problem(path, f"unknown key; {one_of(keys, last)}", key=True)
    if kind == "missing":
        needed = ", ".join(_required(owner) for owner in owners)
        return Problem(path, f"is missing; {needed and f'needed: {needed}'}")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        context = detail.get("ctx") or {}
        given = str(context.get("tag", ""))
        said = f"{describe(given)} is not allowed" if "tag" in context else "is missing"
        tags = [tag for one in here for tag in _tags(one)]
        return Problem((*path, str(context["discriminator"]).strip("'")), f"{said}; {one_of(tags, given)}")
    return Problem(path, _say(kind, detail.get("ctx") or {}, detail), key=last == "[key]")


def _say(kind: str, context: Mapping[str, Any], detail: ErrorDetails) -> str:
    given = detail["input"]
    say = _WORDS.get(kind)
    return say(context, given) if say else f"{detail['msg']}; got {describe(given)}"


def _literal(context: Mapping[str, Any], given: object) -> str:
    allowed = [part.strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
    return f"{describe(given)} is not allowed; {one_of(allowed, str(given))}"


def _size(given: object) -> int:
    return len(given) if isinstance(given, list | dict) else 0


def _expects(what: str) -> Callable[[Mapping[str, Any], object], str]:
    return lambda context, given: f"must be {what}; got {describe(given)}"


_LIST: Final = _expects("a list, like [a, b]")
_MAPPING: Final = _expects("a mapping, like {key: value}")
_FLAG: Final = _expects("true or false")
_WORDS: Final[dict[str, Callable[[Mapping[str, Any], object], str]]] = {
    "invalid": lambda context, given: str(context["what"]),
    "literal_error": _literal,
    "enum": _literal,
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "string_type": _expects("text"),
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "too_short": lambda context, given: (
        f"must have {context['min_length']} or more items; got {_size(given)}"
    ),
    "too_long": lambda context, given: f"must have at most {context['max_length']} items; got {_size(given)}",
    "string_too_long": lambda context, given: f"must have at most {context['max_length']} characters",
    "string_too_short": lambda context, given: f"must have {context['min_length']} or more characters",
}


# ---- from pydantic's path to the document's: union tags and validators' names are not in the document ----


def _resolve(model: type[BaseModel], data: Value, loc: Loc) -> tuple[Path, Models, Models]:
    """Return the path in the document, the models of the mapping around its end, and those of its end."""
    here: list[object] = [model]
    path: list[str | int] = []
    owners: Models = []
    for number, part in enumerate(loc):
        if _is_form(part):
            here = [one for one in here if _is_model(one) and part[1:-1] in _needed(one)]
            continue
        tagged = [one for one in here if _is_model(one) and part in tuple(_tags(one))]
        inside = isinstance(data, dict) and part in data
        if tagged and not (inside and number + 1 == len(loc)):
            here = [*tagged]
            continue
        if isinstance(data, dict) and (inside or number + 1 == len(loc)) and part != "[key]":
            owners = [one for one in here if _is_model(one)]
            data = data.get(str(part))
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(part)
        here = [inner for one in here for inner in _step(one, part)]
    return tuple(path), owners, [one for one in here if _is_model(one)]


def _is_form(part: str | int) -> TypeGuard[str]:
    """Unions of models told apart by a key that must be there have its name in brackets as their tag."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _tags(model: type[BaseModel]) -> Iterator[str]:
    """Yield what a discriminator can say to choose `model`: the one value of a required literal."""
    for info in model.model_fields.values():
        if _is_tag(info):
            yield from get_args(info.annotation)


def _is_tag(info: FieldInfo) -> bool:
    one_value = get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1
    return info.is_required() and one_value


def _step(annotation: object, part: str | int) -> Iterator[object]:
    """Yield the types that the value at `part` of a value of type `annotation` may have."""
    if _is_model(annotation):
        for name, info in annotation.model_fields.items():
            if part == (info.alias or name):
                yield from _plain(info.annotation)
        return
    for inner in get_args(annotation)[-1:] if get_origin(annotation) is dict else get_args(annotation)[:1]:
        yield from _plain(inner)


def _plain(annotation: object) -> Iterator[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _plain(member)
    else:
        yield annotation


def _keys(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in _fields(model)]


def _required(model: type[BaseModel]) -> str:
    return ", ".join(_needed(model))


def _needed(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in _fields(model) if info.is_required()]


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The field that says which model it is comes first, as people write it."""
    return sorted(model.model_fields.items(), key=lambda item: not _is_tag(item[1]))
