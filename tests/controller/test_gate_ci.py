"""The action and the component for CI systems: valid, thin, and what they run is valid shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

CI = Path(__file__).parents[2] / "deploy" / "ci"
GITHUB, GITLAB = CI / "github" / "action.yml", CI / "gitlab" / "template.yml"


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def action() -> Mapping[str, Any]:
    (found,) = documents(GITHUB)
    return dict(found)


def scripts() -> list[str]:
    _spec, jobs = documents(GITLAB)
    (job,) = jobs.values()
    return [*(step["run"] for step in action()["runs"]["steps"]), "\n".join(job["script"])]


@pytest.mark.parametrize("script", scripts())
def test_every_script_is_valid_shell(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_github_action_takes_no_expression_into_its_shell() -> None:
    """An input within a script would be code of whoever writes the input; in the environment it is text."""
    steps = action()["runs"]["steps"]
    assert action()["runs"]["using"] == "composite"
    assert all("${{" not in step["run"] and step["shell"] == "bash" for step in steps)
    used = {value for step in steps for value in step["env"].values()}
    assert used == {f"${{{{ inputs.{name} }}}}" for name in action()["inputs"]}


def test_the_gitlab_component_declares_every_input_that_it_uses() -> None:
    spec, jobs = documents(GITLAB)
    text = GITLAB.read_text().partition("---")[2]
    for name in spec["spec"]["inputs"]:
        assert f"$[[ inputs.{name} ]]" in text
    assert text.count("$[[") == len(spec["spec"]["inputs"])
    (job,) = jobs.values()
    assert job["artifacts"]["reports"]["junit"] == "gate.xml"
    assert job["artifacts"]["when"] == "always"


def test_the_github_action_calls_the_gate_once_with_words_as_they_were_given(tmp_path: Path) -> None:
    """A program of the same name writes down what it is called with."""
    program = tmp_path / "bin" / "blackstart"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep='\\n')\n")
    program.chmod(0o755)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).touch()
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "FILES": "*.yaml\nno such; $(touch evil).yaml\n",
        "OPTIONS": "--retries\n2\n",
        "REPORTS": "out",
    }
    script = action()["runs"]["steps"][-1]["run"]
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    outputs = ["--junit", "out/gate.xml", "--markdown", "out/gate.md", "--json", "out/gate.json"]
    files = ["a.yaml", "b.yaml", "no such; $(touch evil).yaml"]
    assert done.stdout.splitlines() == ["gate", "--retries", "2", *outputs, "--", *files]
    assert not (tmp_path / "evil").exists()
