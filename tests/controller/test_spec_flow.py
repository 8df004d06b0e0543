"""Steps in order, stop conditions and templates: what is wrong is told with its place, however deep it is."""

from __future__ import annotations

import pytest
from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.export import normal_form, yaml_text
from blackstart_controller.spec.faults.process import KillProcess
from blackstart_controller.spec.flow import Sequence, every_step, length_ms
from blackstart_controller.spec.load import load_experiment
from controller.documents import EXPERIMENT, FLOW, Mistake, changed, read_mistakes

MISTAKES = read_mistakes("flow")


def load(text: str, **parameters: str) -> Experiment:
    return load_experiment(Document(text, "x.yaml", parameters))


def refused(text: str, **parameters: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        load(text, **parameters)
    return str(caught.value)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_gives_one_error_at_its_place(mistake: Mistake) -> None:
    assert refused(changed(FLOW, mistake.old, mistake.new)) == f"x.yaml:{mistake.expected}"


def test_defaults_fill_in_what_is_not_given() -> None:
    experiment = load(FLOW, hold="5s", number="3")
    first = experiment.steps[0]
    assert isinstance(first, Sequence)
    kill = first.sequence[0]
    assert isinstance(kill, KillProcess)
    assert (str(kill.on), kill.hold_ms, kill.pick and kill.pick.count) == ("role=db,site=pangyo", 5_000, 3)
    values = {name: one.default for name, one in experiment.parameters.items()}
    assert values == {"site": "pangyo", "hold": "5s", "number": "3"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"sit": "a"},
            "2:1: parameters: no parameter 'sit'; allowed: site, hold, number; did you mean site?",
        ),
        ({"site": "jeju"}, "3:3: parameters.site: 'jeju' is not allowed; allowed: pangyo, busan"),
        (
            {"number": "x" * 1_025},
            "5:3: parameters.number: 1025 characters; a parameter may have at most 1024",
        ),
        (
            {"hold": "${site}"},
            "4:3: parameters.hold: ${ in the value of a parameter: it is filled in once, nothing in it is",
        ),
    ],
)
def test_a_value_that_is_not_allowed_is_told_at_its_parameter(given: dict[str, str], told: str) -> None:
    assert refused(FLOW, **given) == f"x.yaml:{told}"


def test_values_for_a_document_without_parameters_are_refused() -> None:
    assert refused(EXPERIMENT, site="a") == "x.yaml:1:1: parameters: no parameter 'site'; allowed: none"


def test_a_missing_value_names_what_may_be_given() -> None:
    text = changed(FLOW, "{default: pangyo, ", "{")
    expected = "has no default and no value was given; use --set site=VALUE (allowed: pangyo, busan)"
    assert refused(text) == f"x.yaml:3:3: parameters.site: {expected}"
    assert load(text, site="busan").parameters["site"].default == "busan"


def test_keys_are_never_filled_in_and_a_doubled_dollar_stands_for_itself() -> None:
    steps = "steps: [{fault: site.blackout, site: a, for: 1s}]\n"
    experiment = load(f"experiment: x\ndescription: costs $${{site}} or $5\n{steps}")
    assert experiment.description == "costs ${site} or $5"
    assert load(yaml_text(normal_form(experiment))) == experiment
    told = refused(f'experiment: x\n"${{site}}": 1\nparameters: {{site: {{default: owner}}}}\n{steps}')
    assert told.startswith("x.yaml:2:1: ${site}: unknown key; ")


def test_a_value_that_stands_alone_is_read_as_if_it_were_written_there() -> None:
    text = "experiment: '${a}'\nparameters: {a: {default: x}}\nseed: ${a}\n"
    steps = "steps: [{fault: site.blackout, site: 'a${a}', for: 1s}]\n"
    experiment = load(text + steps, a="7")
    assert (experiment.name, experiment.seed) == ("7", 7)
    assert "x.yaml:3:7: seed: must be a whole number" in refused(text + steps, a="07")


def test_filling_in_never_makes_a_document_too_large() -> None:
    tags = ", ".join(["'${a}'"] * 3_000)
    text = f"experiment: x\nparameters: {{a: {{default: a}}}}\ntags: [{tags}]\n"
    assert refused(text, a="x" * 1_000).startswith("x.yaml:3:")
    assert "filled in, the document has more than" in refused(text, a="x" * 1_000)


def test_loops_in_loops_are_counted_and_never_unrolled() -> None:
    inner = "{fault: site.blackout, site: a, for: 1s}"
    for _ in range(9):
        inner = f"{{repeat: {{times: 1000, steps: [{inner}]}}}}"
    told = refused(f"experiment: x\nsteps: [{inner}]\n")
    assert "steps: unrolled, these are more than 1000000000 faults and waits; allowed: at most 1000" in told
    assert "steps[0]: ends 1000h or more after T0; allowed: at most 24h" in told


def test_an_experiment_that_breaks_nothing_is_refused() -> None:
    told = refused("experiment: x\nsteps: [{wait: 1s}, {sequence: [{wait: 1s}]}]\n")
    assert told == "x.yaml:2:8: steps: nothing is broken; at least one step must have a fault"


def test_a_key_that_no_line_can_hold_is_told_in_one_line() -> None:
    told = refused('experiment: x\n"a\\nb": 1\nsteps: [{fault: site.blackout, site: a, for: 1s}]\n')
    assert told.startswith(r"x.yaml:2:1: 'a\nb': unknown key; ")


def test_every_step_has_the_path_at_which_the_document_has_it() -> None:
    experiment = load(FLOW)
    paths = [path for path, _ in every_step(experiment.steps)]
    assert ("steps", 0, "sequence", 3, "parallel", 1) in paths
    assert ("steps", 1, "repeat", "steps", 0) in paths
    assert [length_ms(step) for step in experiment.steps] == [65_000, 96_000, 52_000]


@pytest.mark.parametrize("text", [EXPERIMENT, FLOW], ids=["experiment", "flow"])
def test_the_normal_form_says_the_same(text: str) -> None:
    experiment = load(text)
    again = load(yaml_text(normal_form(experiment)))
    assert again == experiment.model_copy(update={"parameters": {}})
    assert "${" not in yaml_text(normal_form(experiment))
