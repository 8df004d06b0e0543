"""Every mistake in a lab file is told with its place; templates are filled in before anything is started."""

from __future__ import annotations

import random

import pytest
from blackstart_controller.errors import InvalidDocument
from blackstart_lab.load import load_lab
from blackstart_lab.templates import Facts, HostFacts, LabFacts, SiteFacts, render
from controller.documents import LAB, Mistake, changed, read_mistakes

MISTAKES = read_mistakes("lab")
HOSTS = {
    name: HostFacts(name, "pangyo", address, (address,), "", {"role": "db"})
    for name, address in (("db-1", "10.0.0.1"), ("values", "10.0.0.2"))
}
FACTS = Facts(HOSTS["db-1"], HOSTS, SiteFacts("pangyo", "10.0.0.0/24"), LabFacts("demo"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_gives_one_error_at_its_place(mistake: Mistake) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load_lab(changed(LAB, mistake.old, mistake.new), "x.yaml")
    assert str(caught.value) == f"x.yaml:{mistake.expected}"
    assert caught.value.exit_code == 2


def test_a_good_lab_file_becomes_a_lab() -> None:
    lab = load_lab(LAB, "x.yaml")
    unit = lab.hosts["m1"].units["redis"]
    assert (lab.controller, sorted(lab.hosts_of("busan"))) == ("control", ["control", "m-2"])
    assert (lab.sites["pangyo"].latency_ms, lab.sites["busan"].latency_ms) == (1, 0)
    assert unit.command == ("redis-server", "/etc/messenger.conf", "--port", "6379")
    assert unit.files["/usr/local/bin/check"].mode == 0o755
    assert unit.ready is not None
    assert unit.ready.tcp == 6379


@pytest.mark.parametrize("mode", ["0644", '"0644"', "644", '"644"'])
def test_a_mode_is_octal_however_it_is_written(mode: str) -> None:
    lab = load_lab(changed(LAB, "mode: 0755", f"mode: {mode}"), "x.yaml")
    assert lab.hosts["m1"].units["redis"].files["/usr/local/bin/check"].mode == 0o644


def test_numbers_in_an_environment_stay_as_they_were_written() -> None:
    text = changed(LAB, "{LANG: C}", "{VERSION: 1.10, PORT: 8080, ID: 007}")
    unit = load_lab(text, "x.yaml").hosts["m1"].units["redis"]
    assert unit.environment == {"VERSION": "1.10", "PORT": "8080", "ID": "007"}


def test_too_many_hosts_are_refused_at_the_hosts() -> None:
    hosts = "\n".join(f"  h{number}: {{site: busan}}" for number in range(251))
    with pytest.raises(InvalidDocument, match=r"x.yaml:4:3: hosts: must have at most 250 items; got 251"):
        load_lab(f"lab: a\nsites: {{busan: {{}}}}\nhosts:\n{hosts}\n", "x.yaml")


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("bind {{ host.address }}\n", "bind 10.0.0.1\n"),
        ("{{ hosts.db-1.address }}", "10.0.0.1"),
        ("{{ hosts.values.address }} {{ hosts['db-1'].name }}", "10.0.0.2 db-1"),
        ("{% for h in hosts.values() %}\n{{ h.address }}\n{% endfor %}\n", "10.0.0.1\n10.0.0.2\n"),
        ("{{ hosts | join(',') }}", "db-1,values"),
        ("{{ site.name }} {{ lab.name }} {{ host.labels.role }}", "pangyo demo db"),
        ("{## a comment ##}x", "x"),
        ("echo ${#array[@]} ${x%%.*} %{+Q}o {}\n", "echo ${#array[@]} ${x%%.*} %{+Q}o {}\n"),
        ("hosts.db-1.address", "hosts.db-1.address"),
        ("{% raw %}{{ theirs }}{% endraw %}", "{{ theirs }}"),
    ],
)
def test_a_template_names_hosts_and_leaves_shell_alone(template: str, rendered: str) -> None:
    assert render(template, FACTS) == rendered


@pytest.mark.parametrize(
    "template",
    [
        "{{ nobody }}",
        "{{ host.address + 1 }}",
        "{{ 1 / 0 }}",
        "{{ host.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{% include '/etc/passwd' %}",
        "{% for x in range(10 ** 9) %}{% endfor %}",
        "{{ unclosed",
        "{{ hosts['nobody'].address }}",
        "{{ [][3].x }}",
        "{{ host.address | nosuchfilter }}",
    ],
)
def test_a_template_that_cannot_be_filled_in_is_an_error_and_never_empty(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        render(template, FACTS)


def test_random_mutations_only_ever_give_invalid_document() -> None:
    chance = random.Random(20221015)
    alphabet = "{}[]:,-&*!|>'\"%@`#?\n\t \\0129abcxyz\x00é"
    for _ in range(150):
        text = list(LAB)
        for _ in range(chance.randint(1, 8)):
            where = chance.randrange(len(text))
            if chance.random() < 0.5:
                text[where] = chance.choice(alphabet)
            else:
                del text[where : where + chance.randint(1, 20)]
        try:
            load_lab("".join(text), "x.yaml")
        except InvalidDocument as error:
            assert str(error).startswith("x.yaml:")
