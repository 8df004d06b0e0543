"""`blackstart experiment …` and `--set`: documents on the command line, mostly without a controller."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blackstart_controller import library
from blackstart_controller.cli.root import run
from blackstart_controller.plan.codec import plan_to_dict
from controller.documents import FLOW
from controller.fleets import planned
from fakecontroller import Fake

Out = pytest.CaptureFixture[str]


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW)
    return path


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No context, and an empty folder: what works here needs no controller."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("BLACKSTART_CONTEXT", raising=False)


def test_every_ready_experiment_is_listed_on_one_line(capsys: Out) -> None:
    assert run(["experiment", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *library.NAMES]
    assert run(["experiment", "list", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[0]["parameters"]["hold"]["default"] == "30s"


def test_a_ready_experiment_is_shown_as_it_is(capsys: Out) -> None:
    assert run(["experiment", "show", "lost-primary"]) == 0
    assert capsys.readouterr().out == library.text("lost-primary")
    assert run(["experiment", "show", "lost-primry"]) == 6
    assert "did you mean lost-primary?" in capsys.readouterr().err


@pytest.mark.parametrize("template", [None, *library.NAMES])
def test_init_writes_a_valid_document_under_its_new_name(template: str | None, capsys: Out) -> None:
    source = ["--from", template] if template else []
    assert run(["experiment", "init", "my-test", *source]) == 0
    assert capsys.readouterr().out == "my-test.yaml\n"
    assert run(["experiment", "validate", "my-test.yaml"]) == 0
    assert run(["experiment", "export", "my-test.yaml", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("valid\n")[2])["experiment"] == "my-test"
    kept = library.text(template or library.STARTER).count("#")
    assert Path("my-test.yaml").read_text().count("#") == kept


def test_init_gives_parameters_other_defaults(capsys: Out) -> None:
    assert (
        run(["experiment", "init", "--from", "site-blackout", "--set", "site=busan", "--set", "rto=5s"]) == 0
    )
    assert run(["experiment", "explain", "site-blackout.yaml"]) == 0
    told = capsys.readouterr().out
    assert "every host of the site busan" in told and "web (back within 5s)" in told
    assert run(["experiment", "init", "other", "--from", "site-blackout", "--set", "sight=busan"]) == 2
    assert "--set sight: no such parameter; allowed: site, " in capsys.readouterr().err
    assert run(["experiment", "init", "other", "--from", "site-blackout", "--set", "rto=5"]) == 2
    assert "is no duration" in capsys.readouterr().err
    assert not Path("other.yaml").exists()


def test_init_never_overwrites(capsys: Out) -> None:
    Path("starter.yaml").write_text("mine")
    assert run(["experiment", "init"]) == 2
    assert "starter.yaml exists already and is left as it is" in capsys.readouterr().err
    assert Path("starter.yaml").read_text() == "mine"
    assert run(["experiment", "init", "absent/x"]) == 2
    assert "absent/x.yaml cannot be written: No such file" in capsys.readouterr().err
    assert run(["experiment", "init", "--from", "sight-blackout"]) == 2
    assert "did you mean site-blackout?" in capsys.readouterr().err


def test_validate_takes_values_and_tells_errors_as_json(flow: Path, capsys: Out) -> None:
    assert run(["experiment", "validate", str(flow), "--set", "site=busan"]) == 0
    assert run(["experiment", "validate", str(flow), "--set", "site=jeju", "-o", "json"]) == 2
    told = json.loads(capsys.readouterr().out.partition("valid\n")[2])
    error = f"{flow}:3:3: parameters.site: 'jeju' is not allowed; allowed: pangyo, busan"
    assert told == [{"file": str(flow), "valid": False, "errors": [error]}]


@pytest.mark.parametrize("given", ["site", "=x"])
def test_a_value_without_a_name_is_wrong_usage(given: str, flow: Path, capsys: Out) -> None:
    assert run(["experiment", "validate", str(flow), "--set", given]) == 2
    assert f"{given!r} is no NAME=VALUE" in capsys.readouterr().err
    assert run(["experiment", "validate", str(flow), "--set", "hold=1s", "--set", "hold=2s"]) == 2
    assert "hold is given twice; keep one" in capsys.readouterr().err


def test_explain_says_in_one_paragraph_what_will_happen(flow: Path, capsys: Out) -> None:
    assert run(["experiment", "explain", str(flow), "--set", "hold=5s"]) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    for part in (
        "one after the other: (1) on 2 hosts with role=db,site=pangyo, chosen by lot, ",
        "are killed, and what follows is watched for 5s; (2) 20s of nothing; "
        "(3) a pause of 10s, at whose end all must have been well for 5s",
        "1m later 3 times in a row, 9s apart, each time only if all has been well for 4s",
        "in waves of 1, 10%, 50% and 100% of the hosts with site=busan, 8s apart",
        "when the service messenger fails for 20s, the metric errors is above 0.05 for 11s, "
        "freeze no longer says go or the probe gateway fails for 13s.",
        "At most 50% of a service's hosts may be hit",
    ):
        assert part in told


def test_explain_and_export_know_the_library_and_files_come_first(capsys: Out) -> None:
    assert run(["experiment", "explain", "cold-start"]) == 0
    assert "held down for 10s" in capsys.readouterr().out
    Path("cold-start").write_text(FLOW)
    assert run(["experiment", "export", "cold-start", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["experiment"] == "in-order"
    assert run(["experiment", "explain", "cold-stat"]) == 2
    assert capsys.readouterr().err.startswith(
        "cold-stat:1:1: no such file, and not in the library; allowed: "
    )


def test_export_fills_parameters_in_and_is_valid_again(flow: Path, capsys: Out) -> None:
    assert run(["experiment", "export", str(flow), "--set", "hold=5s"]) == 0
    text = capsys.readouterr().out
    assert "${" not in text and "parameters" not in text and "for: 5s" in text
    Path("again.yaml").write_text(text)
    assert run(["experiment", "export", "again.yaml"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("command", ["plan", "run"])
def test_values_travel_with_the_document(command: str, fake: Fake, flow: Path, capsys: Out) -> None:
    plan = planned("{fault: process.kill, on: host=db0, name: x, for: 2s}")
    fake.script.plan = {"plan": plan_to_dict(plan), "hash": "0" * 64, "answers": []}
    assert run(["--context", str(fake.context), command, str(flow), "--set", "hold=5s"]) == 0
    _, body, _ = fake.script.posts[0]
    assert body == {"document": FLOW, "file": str(flow), "parameters": {"hold": "5s"}}


def test_a_ready_experiment_is_run_by_its_name(fake: Fake, capsys: Out) -> None:
    assert run(["--context", str(fake.context), "run", "cold-start", "--set", "nobody=x"]) == 2
    assert run(["--context", str(fake.context), "run", "cold-start"]) == 0
    _, body, _ = fake.script.posts[-1]
    assert body["file"] == "cold-start.yaml"
    assert body["document"].startswith("experiment: cold-start")


def test_a_plan_shows_rules_leases_findings_and_its_hash(fake: Fake, flow: Path, capsys: Out) -> None:
    cut = "{fault: network.partition, on: host=db0, from: {site: jeju}, ports: [80], for: 2s}"
    plan = planned(f"{{sequence: [{{wait: 1s}}, {cut}]}}")
    answer = {
        "order_id": plan.orders[0].id,
        "host": "db0",
        "hits": [{"what": "network", "target": "10.0.0.2/32", "effect": "drop both, ports 80"}],
        "refusals": [],
        "undo": ["nft delete table netdev blackstart_x"],
    }
    fake.script.plan = {"plan": plan_to_dict(plan), "hash": "ab" * 32, "answers": [answer]}
    assert run(["--context", str(fake.context), "plan", str(flow)]) == 0
    told = capsys.readouterr().out
    assert (
        "+1s  db0   network.partition  2s   15s    steps[0].sequence[1]  drop to and from 10.0.0.2/32, "
        in told
    )
    assert "db0: would hit network 10.0.0.2/32 (drop both, ports 80)" in told
    assert "db0: by hand, if all else fails: nft delete table netdev blackstart_x" in told
    assert "note: limits.max_hosts is not set; 1 host would be hit" in told
    assert told.endswith(f"plan {'ab' * 32}\n")
    answer["rules"] = "table netdev x {\n\x1b[2J\n}"
    assert run(["--context", str(fake.context), "plan", str(flow), "--rules"]) == 0
    assert capsys.readouterr().out == f"{told}\ndb0: rules\n  table netdev x {{\n  \\x1b[2J\n  }}\n"
