"""The command line against a controller that the test scripts: texts, streams, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from blackstart_controller.cli.root import ENTRIES, run
from fakecontroller import RUN, TOKEN, Fake, fake_controller

EXPERIMENT = """\
experiment: dark
steps:
  - fault: host.blackout
    on: "role=db"
    for: 10s
services:
  - name: web
    members: "role=web"
    probes:
      - tcp: {address: "w1:8080"}
"""
HEAVY = ("grpc", "sqlalchemy", "pydantic", "rich", "httpx2", "fastapi", "ruamel", "cryptography")
PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "dark.yaml"
    path.write_text(EXPERIMENT)
    return path


def call(fake: Fake, *argv: str | Path) -> int:
    return run(["--context", str(fake.context), *map(str, argv)])


def loaded_by(*argv: str) -> set[str]:
    code = (
        f"import sys; from blackstart_controller.cli.root import run; run({list(argv)!r}); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["run", "--help"], ["serve", "--help"], ["lab", "--help"]]
)
def test_help_loads_no_heavy_library(argv: list[str]) -> None:
    assert not loaded_by(*argv) & set(HEAVY)


def test_help_costs_at_most_six_starts_of_python() -> None:
    def best_s(argv: list[str]) -> float:
        """Of CPU time: that others keep the machine busy is not ours."""
        times_s = []
        for _ in range(7):
            child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            assert child.returncode == 0
            times_s.append(used.ru_utime + used.ru_stime)
        return min(times_s)

    bare_s = best_s([sys.executable, "-c", "pass"])
    help_s = best_s([*PROGRAM, "--help"])
    assert help_s <= 6 * bare_s, f"--help took {help_s * 1000:.0f} ms, bare Python {bare_s * 1000:.0f} ms"


@pytest.mark.parametrize("noun", ENTRIES)
def test_every_noun_explains_itself(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([noun, "--help"]) == 0
    assert "Usage: blackstart" in capsys.readouterr().out


def test_a_missing_context_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("BLACKSTART_CONTEXT", raising=False)
    monkeypatch.setattr("blackstart_controller.cli.context.BESIDE_THE_CONTROLLER", tmp_path / "admin.json")
    assert run(["host", "list"]) == 2
    told = capsys.readouterr()
    assert f"neither {tmp_path}/blackstart/context.json nor {tmp_path}/admin.json" in told.err
    assert told.out == ""


def test_a_context_that_others_can_read_is_refused(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.context.chmod(0o644)
    assert call(fake, "host", "list") == 2
    assert f"chmod 600 {fake.context}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1, "token": "a", "ca_pem": ""}'])
def test_a_broken_context_is_named(text: str, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.context.write_text(text)
    assert call(fake, "host", "list") == 2
    assert "must be JSON with url, token and ca_pem" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "http://10.0.0.1:8470"}, "url must be https://HOST:PORT"),
        ({"token": "bsk_\u00e9"}, "token must be plain ASCII"),
    ],
)
def test_a_context_that_would_leak_or_break_the_token_is_refused(
    change: dict[str, str], told: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.context.write_text(json.dumps(json.loads(fake.context.read_text()) | change))
    assert call(fake, "run", "list") == 2
    assert told in capsys.readouterr().err


def test_hosts_are_listed_in_columns(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.script.hosts = [
        {
            "name": "db-1",
            "site": "busan",
            "connected": True,
            "labels": {"role": "db", "host": "db-1"},
            "addresses": ["10.0.0.1"],
        },
        {"name": "w", "site": "busan", "connected": False, "labels": {}, "addresses": []},
    ]
    assert call(fake, "host", "list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "HOST  SITE   STATE      FAULTS  LABELS   ADDRESSES",
        "db-1  busan  connected  0       role=db  10.0.0.1",
        "w     busan  lost       0       -        -",
    ]
    assert call(fake, "host", "list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == fake.script.hosts


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "unauthorised", 7),
        (409, "refused", 7),
        (409, "no_targets", 6),
        (422, "invalid_document", 2),
        (503, "unreachable", 6),
        (503, "something_new", 6),
        (404, "something_new", 6),
    ],
)
def test_the_controllers_errors_keep_their_exit_codes(
    status: int, code: str, exit_code: int, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script.error = (status, code, "the reason")
    assert call(fake, "host", "list") == exit_code
    assert "the reason" in capsys.readouterr().err


def test_nobody_listening_is_unreachable(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.context.write_text(json.dumps({"url": "https://127.0.0.1:1", "token": "", "ca_pem": fake.ca_pem}))
    assert call(fake, "host", "list") == 6
    assert "is `blackstart serve` running there?" in capsys.readouterr().err


def test_a_controller_of_another_authority_is_not_trusted(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    with fake_controller(tmp_path / "other") as other:
        fake.context.write_text(json.dumps({"url": fake.url, "token": TOKEN, "ca_pem": other.ca_pem}))
        assert call(fake, "host", "list") == 6
    assert "not of the pinned authority" in capsys.readouterr().err


def test_an_invalid_document_is_told_with_its_place_and_nobody_is_contacted(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("experiment: x\nstepz: []\n")
    assert call(fake, "run", path, "--wait") == 2
    assert call(fake, "plan", path) == 2
    assert run(["experiment", "validate", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(line.startswith(f"{path}:") for line in lines)
    assert fake.script.posts == []


def test_a_valid_document_is_called_valid(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "validate", str(document)]) == 0
    assert capsys.readouterr().out == f"{document}: valid\n"


def test_the_schema_is_the_published_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "schema"]) == 0
    published = Path(__file__).parents[2] / "docs" / "experiment.schema.json"
    assert capsys.readouterr().out == published.read_text()


def test_a_run_without_wait_prints_its_id(
    fake: Fake, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(fake, "run", document) == 0
    assert capsys.readouterr().out == f"{RUN}\n"
    path, body, key = fake.script.posts[0]
    assert (path, body) == ("/v1/runs", {"document": EXPERIMENT, "file": str(document)})
    assert key


def test_a_file_named_like_a_verb_is_reached_with_its_path(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    assert call(fake, "run", "./list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"id": RUN}
    assert call(fake, "run", "list") == 0
    assert "EXPERIMENT" in capsys.readouterr().out


def test_options_may_stand_before_the_file(fake: Fake, document: Path) -> None:
    fake.script.end("pass", 0)
    assert call(fake, "run", "--wait", document) == 0


@pytest.mark.parametrize(
    ("verdict", "exit_code"), [("pass", 0), ("fail", 1), ("not_steady", 3), ("error", 7)]
)
def test_waiting_ends_with_the_runs_exit_code(
    verdict: str, exit_code: int, fake: Fake, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script.say("state", state="arming")
    fake.script.say("t0", t0_ns=3_000_000_000, at="12:00:00")
    fake.script.say("injected", host="db-1")
    fake.script.say("reverted", host="db-1", reason="planned end")
    fake.script.drop_stream_after = 2  # a lost connection loses and repeats nothing
    fake.script.end(verdict, exit_code)
    assert call(fake, "run", document, "--wait") == exit_code
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        f"run {RUN}",
        "  00:00 arming: every target checks its policy and prepares",
        "T-00:01 T0 is at 12:00:00",
        "T+00:00 db-1: injected",
        "T+00:01 db-1: reverted (planned end)",
        f"run {RUN}: {verdict}, revert confirmed",
    ]
    assert told.out == ""


def test_a_run_can_be_shown_and_watched(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.script.end("fail", 1)
    assert call(fake, "run", "watch", RUN) == 1
    assert call(fake, "run", "show", RUN) == 0
    assert "verdict      fail" in capsys.readouterr().out.splitlines()


def test_json_of_a_waited_run_is_its_report(
    fake: Fake, document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script.report = {"schema": 1, "run": RUN}
    fake.script.end("pass", 0)
    assert call(fake, "run", document, "--wait", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "run": RUN}


def test_halt_needs_a_run_or_all_and_not_both(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(fake, "halt") == 2
    assert call(fake, "halt", RUN, "--all") == 2
    assert fake.script.posts == []
    assert "name one run, or give --all" in capsys.readouterr().err


def test_halt_sends_the_reason(fake: Fake) -> None:
    assert call(fake, "halt", RUN, "--reason", "smoke") == 0
    assert call(fake, "halt", "--all", "--reason", "fire") == 0
    assert [post[:2] for post in fake.script.posts] == [
        (f"/v1/runs/{RUN}/halt", {"reason": "smoke"}),
        ("/v1/halt", {"reason": "fire"}),
    ]


def test_halting_what_has_ended_says_so(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.script.end("fail", 1)
    assert call(fake, "halt", RUN) == 0
    assert call(fake, "halt", "--all") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"run {RUN} has ended already: fail, revert confirmed",
        "no run is under way",
        "every agent is told to revert all its faults",
    ]


def test_a_token_goes_to_standard_output_alone(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(fake, "token", "create", "--host", "db-1", "--ttl", "30m") == 0
    assert capsys.readouterr().out == "bsj_secret.pin\n"
    assert fake.script.posts[0][1] == {"ttl_s": 1800, "host": "db-1"}
    assert call(fake, "token", "create", "--ttl", "soon") == 2


def test_login_keeps_a_controller_whose_authority_has_the_pin(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(fake.ca_pem)).hexdigest()
    target = tmp_path / "kept" / "context.json"
    monkeypatch.setenv("BLACKSTART_TOKEN", f"{TOKEN}.{pin}")
    assert run(["login", fake.url, "--file", str(target)]) == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert run(["--context", str(target), "host", "list"]) == 0


def test_login_sends_no_token_to_an_authority_with_another_pin(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLACKSTART_TOKEN", TOKEN)
    assert run(["login", fake.url, "--ca-pin", "0" * 64, "--file", str(tmp_path / "c")]) == 7
    assert "somebody in between" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_the_command_line_without_its_libraries_names_the_extra(tmp_path: Path) -> None:
    packages = Path(__file__).parents[2] / "controller"
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    code = "import sys; sys.modules['click'] = None; from blackstart_controller.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'blackstart[cli]'" in done.stderr


def test_serve_listens_where_agents_can_enrol_unless_told_otherwise() -> None:
    from blackstart_controller.cli.serve import serve

    defaults = {param.name: param.default for param in serve.params}
    assert (defaults["listen"], defaults["agents_listen"]) == ("0.0.0.0:8470", "0.0.0.0:8471")


def test_lab_exec_passes_everything_after_the_dashes_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from blackstart_lab import api

    asked: list[tuple[str, ...]] = []

    def exec_(_lab: str | None, host: str, words: tuple[str, ...]) -> int:
        asked.append((host, *words))
        return 0

    monkeypatch.setattr(api, "exec_", exec_)
    assert run(["lab", "exec", "m1", "--", "echo", "--", "-n"]) == 0
    assert run(["lab", "exec", "m1", "echo", "--", "-n"]) == 0
    assert asked == [("m1", "echo", "--", "-n")] * 2
    assert run(["lab", "exec", "m1", "--"]) == 2
    assert "no command for m1" in capsys.readouterr().err


def test_serve_without_its_libraries_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['sqlalchemy'] = None; from blackstart_controller.cli.root import run; "
        f"sys.exit(run(['serve', '--state', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'blackstart[controller]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
