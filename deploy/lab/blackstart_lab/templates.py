"""Templates in a lab file: `{{ host.address }}`, `{{ hosts.db-1.address }}`, `{{ site.name }}`, loops.

Comments are `{## … ##}`, because `{#` is common in shell scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from blackstart_controller.spec.errors import Problem, one_of
from blackstart_controller.spec.yaml_source import Path, Source
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from blackstart_lab.document import Lab, LabFile

_MARKED: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_HOST_NAME: Final = re.compile(r"\bhosts\.([a-z0-9][-a-z0-9]*)(?=\.)")
V4: Final = "192.0.2.1"  # of the networks for documentation: reach nobody, whoever uses them
V6: Final = "2001:db8::1"
_NAMES: Final = ("host", "hosts", "site", "lab")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a template can ask of a host. `address` is the first of `addresses`, `address6` the IPv6 one."""

    name: str
    site: str
    address: str
    addresses: tuple[str, ...] = ()
    address6: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a template can ask of a site."""

    name: str
    subnet: str = ""


@dataclass(frozen=True, slots=True)
class LabFacts:
    name: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a template of one host can name."""

    host: HostFacts
    hosts: Mapping[str, HostFacts]
    site: SiteFacts
    lab: LabFacts


_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    comment_start_string="{##",
    comment_end_string="##}",
)


def render(text: str, facts: Facts) -> str:
    """Return `text` with its templates filled in; raise ValueError naming what is undefined."""
    if "{{" not in text and "{%" not in text and "{##" not in text:
        return text
    names = {"host": facts.host, "hosts": facts.hosts, "site": facts.site, "lab": facts.lab}
    try:
        return _ENVIRONMENT.from_string(_quote_host_names(text)).render(names)
    except TemplateSyntaxError as error:
        raise ValueError(f"template line {error.lineno}: {error.message}") from error
    except TemplateError as error:
        raise ValueError(f"template: {_unknown(str(error.message), facts)}") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(f"template: {error}") from error


def _quote_host_names(text: str) -> str:
    """`hosts.db-1.address` would be a subtraction to jinja2; names of hosts may have dashes."""
    return _MARKED.sub(lambda marked: _HOST_NAME.sub(r'hosts["\1"]', marked[0]), text)


def _unknown(message: str, facts: Facts) -> str:
    """Say what is not known in the words of the lab file, not in those of the template engine."""
    found = re.search(r"has no attribute '([^']*)'|'([^']*)' is undefined", message)
    name = next((part for part in found.groups() if part), "") if found else ""
    if "dict object" in message:
        return f"unknown host {name}; {one_of(facts.hosts, name)}"
    for kind in (HostFacts, SiteFacts, LabFacts):
        if kind.__name__ in message:
            return f"unknown name {name}; {one_of(kind.__slots__, name)}"
    return f"unknown name {name}; {one_of(_NAMES, name)}" if name else message


def check_templates(lab: Lab, document: Source) -> list[Problem]:
    """Return every template of the lab that could not be filled in. Addresses are made up for the check."""
    hosts = {
        name: HostFacts(name, host.site, V4, (V4, V6), V6, dict(host.labels))
        for name, host in lab.hosts.items()
    }
    problems = []
    for name in lab.hosts:
        facts = Facts(hosts[name], hosts, SiteFacts(lab.hosts[name].site, "192.0.2.0/24"), LabFacts(lab.lab))
        for path, text in _texts(lab, name):
            try:
                render(text, facts)
            except ValueError as error:
                here = path if path in document.values else path[:-1]  # a file given as bare text
                problems.append(Problem(here, str(error)))
    return problems


def _texts(lab: Lab, name: str) -> Iterator[tuple[Path, str]]:
    host = lab.hosts[name]
    yield from _files(("hosts", name, "files"), host.files)
    for unit_name, unit in host.units.items():
        path: Path = ("hosts", name, "units", unit_name)
        for number, argument in enumerate(unit.command):
            yield (*path, "command", number), argument
        for key, value in unit.environment.items():
            yield (*path, "environment", key), value
        for number, argument in enumerate(unit.ready.command if unit.ready and unit.ready.command else ()):
            yield (*path, "ready", "command", number), argument
        yield from _files((*path, "files"), unit.files)


def _files(path: Path, files: Mapping[str, LabFile]) -> Iterator[tuple[Path, str]]:
    for name, file in files.items():
        if file.text is not None:
            yield (*path, name, "text"), file.text
