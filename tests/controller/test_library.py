"""The library: every ready experiment is valid, can be planned, told in words, and exported."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from blackstart_controller import library
from blackstart_controller.plan.make import make_plan
from blackstart_controller.plan.model import Plan
from blackstart_controller.plan.words import in_words
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.export import chaos_toolkit, normal_form, yaml_text
from blackstart_controller.spec.load import load_experiment
from controller.fleets import FAULT_KINDS, fleet, numbered

ALL = (*library.NAMES, library.STARTER)
ROOT = Path(__file__).parents[2]
FITTING = {  # what a fleet with the roles db, login and messenger has
    "on": "role=login",
    "members": "role=login",
    "peers": "role=login",
    "primary": "host=login3",
    "address": "login3:80",
}


def load(name: str, **parameters: str) -> Experiment:
    return load_experiment(Document(library.text(name), f"{name}.yaml", parameters))


def plan_of(name: str) -> Plan:
    experiment = load(name)
    fitting = {key: value for key, value in FITTING.items() if key in experiment.parameters}
    return make_plan(load(name, **fitting), fleet(), ids=numbered())


@pytest.mark.parametrize("name", ALL)
def test_every_ready_experiment_is_valid_under_its_own_name_and_explains_its_parameters(name: str) -> None:
    experiment = load(name)
    assert experiment.name == name
    assert experiment.description and experiment.hypothesis
    assert all(one.default is not None and one.description for one in experiment.parameters.values())


@pytest.mark.parametrize("name", ALL)
def test_every_ready_experiment_can_be_planned_without_an_error(name: str) -> None:
    plan = plan_of(name)
    assert plan.errors == ()
    assert plan.orders and plan.services


@pytest.mark.parametrize("name", ALL)
def test_every_ready_experiment_is_one_paragraph_of_whole_sentences(name: str) -> None:
    words = in_words(load(name))
    assert "\n" not in words and "${" not in words
    assert 200 < len(words) < 1_500
    assert words.endswith(".") and "  " not in words and ".." not in words


@pytest.mark.parametrize("name", ALL)
def test_every_ready_experiment_says_the_same_in_its_normal_form(name: str) -> None:
    experiment = load(name)
    again = load_experiment(Document(yaml_text(normal_form(experiment))))
    assert again == experiment.model_copy(update={"parameters": {}})


def test_every_fault_that_exists_has_a_ready_experiment() -> None:
    assert {order.fault.kind for name in library.NAMES for order in plan_of(name).orders} == set(FAULT_KINDS)


def test_the_names_are_the_files() -> None:
    files = {path.stem for path in Path(library.__file__).parent.glob("*.yaml")}
    assert files == set(ALL)


def test_an_exported_experiment_calls_the_gate_with_the_file_and_its_parameters() -> None:
    document = Document(library.text("site-blackout"), "dark.yaml", {"site": "busan"})
    exported = chaos_toolkit(load_experiment(document), document)
    provider = exported["steady-state-hypothesis"]["probes"][0]["provider"]
    assert provider["path"] == "blackstart"
    assert provider["arguments"] == ["gate", "dark.yaml", "--set", "site=busan"]


@pytest.mark.deep
def test_the_chaos_toolkit_accepts_what_is_exported(tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    for name in library.NAMES:
        exported = subprocess.run(
            [tools / "blackstart", "experiment", "export", name, "-o", "ctk"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        path = tmp_path / f"{name}.json"
        path.write_text(exported.stdout)
        checked = subprocess.run(
            [tools / "chaos", "--log-file", tmp_path / "log", "validate", path],
            capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr
        assert "experiment syntax and semantic look valid" in checked.stderr + checked.stdout


@pytest.mark.deep
def test_the_wheel_carries_the_library(tmp_path: Path) -> None:
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(built, check=True, cwd=ROOT, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {f"blackstart_controller/library/{name}.yaml" for name in ALL} <= set(names)
