"""`blackstart notify` against a controller that really serves, and a receiver beside it."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_controller.cli.client import Client
from blackstart_controller.cli.context import load
from blackstart_controller.cli.root import run
from blackstart_controller.notify.webhook import PREFIX, new_secret, signature

PROGRAM = [sys.executable, "-c", "from blackstart_controller.cli import main; main()"]
CANARY = "canary4711"


class Receiver(http.server.BaseHTTPRequestHandler):
    heard: list[tuple[dict[str, str], bytes]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[http.server.ThreadingHTTPServer]:
    Receiver.heard = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def origin(receiver: http.server.ThreadingHTTPServer) -> str:
    return f"http://localhost:{receiver.server_address[1]}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[tuple[Path, list[str]]]:
    """The state directory of a controller that serves, and everything that it writes to its log."""
    state = tmp_path_factory.mktemp("controller") / "state"
    ports = ["--listen", "127.0.0.1:0", "--agents-listen", "127.0.0.1:0"]
    argv = [*PROGRAM, "serve", "--state", str(state), *ports, "--allow-url", origin]
    said: list[str] = []
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                said.append(line)
                if "serving https://" in line:
                    break
            assert process.poll() is None
            yield state, said
        finally:
            process.send_signal(signal.SIGTERM)
            said += process.stderr.readlines()
            assert process.wait(20) == 0
    assert CANARY not in "".join(said)


@pytest.fixture
def state(served: tuple[Path, list[str]]) -> Path:
    return served[0]


def call(state: Path, *argv: str | Path) -> int:
    return run(["--context", str(state / "admin.json"), *map(str, argv)])


def secret_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "secret"
    path.write_text(text)
    return path


def test_a_webhook_is_added_tested_shown_logged_and_removed(
    state: Path, origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{origin}/{CANARY}?token={CANARY}"
    assert call(state, "notify", "add", "ops", "--webhook", url, "--types", "run.*,lever.*") == 0
    added = capsys.readouterr()
    secret = added.out.strip()
    assert secret.startswith(PREFIX)
    assert call(state, "notify", "test", "ops") == 0
    headers, body = Receiver.heard[-1]
    ours = signature(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == ours
    assert json.loads(body)["source"].startswith("https://127.0.0.1:")
    assert call(state, "notify", "list") == 0
    assert call(state, "notify", "show", "ops") == 0
    assert call(state, "notify", "log") == 0
    assert call(state, "notify", "list", "-o", "json") == 0
    told = capsys.readouterr()
    assert f"{origin}/…" in told.out
    assert "run.*,lever.*" in told.out
    assert CANARY not in added.out + added.err + told.out + told.err
    assert secret not in told.out + told.err
    assert call(state, "notify", "remove", "ops") == 0
    assert call(state, "notify", "show", "ops") == 6
    assert "there is none" in capsys.readouterr().err


def test_a_secret_of_one_s_own_is_used_and_never_shown(
    state: Path, origin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_secret()
    path = secret_file(tmp_path, f"# for blackstart\n{secret}\n")
    assert call(state, "notify", "add", "own", "--webhook", origin, "--secret-file", path, "-o", "json") == 0
    assert call(state, "notify", "test", "own") == 0
    headers, body = Receiver.heard[-1]
    ours = signature(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == ours
    told = capsys.readouterr()
    assert secret not in told.out + told.err


def test_an_apprise_target_comes_from_a_file_and_reaches_its_server(
    state: Path, origin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"json://user:{CANARY}@{origin.removeprefix('http://')}/{CANARY}"
    assert call(state, "notify", "add", "chat", "--apprise", secret_file(tmp_path, url)) == 0
    assert call(state, "notify", "test", "chat") == 0
    assert json.loads(Receiver.heard[-1][1])["title"] == "blackstart: notify.test"
    dead = f"json://user:{CANARY}@127.0.0.1:9/{CANARY}"
    assert call(state, "notify", "add", "dead", "--apprise", secret_file(tmp_path, dead)) == 0
    assert call(state, "notify", "test", "dead") == 6
    assert call(state, "notify", "list") == 0
    told = capsys.readouterr()
    assert "json://…" in told.out
    assert "Connection error" in told.err
    assert CANARY not in told.out + told.err


@pytest.mark.parametrize(
    ("options", "text", "code", "why"),
    [
        (
            ["--webhook", f"https://elsewhere.example/{CANARY}"],
            "",
            7,
            "--allow-url https://elsewhere.example",
        ),
        (["--webhook", f"http://169.254.169.254/{CANARY}"], "", 7, "not allowed"),
        (["--webhook", f"http://user:{CANARY}@localhost"], "", 7, "user name"),
        (["--webhook", "ORIGIN", "--types", "["], "", 2, "types"),
        (["--webhook", "ORIGIN", "--secret-file", "FILE"], CANARY, 2, "whsec_"),
        (["--apprise", "FILE"], f"dbus://{CANARY}", 7, "must start with"),
        (["--apprise", "FILE"], f"slack://a/b/c?template=/{CANARY}", 7, "template"),
        (["--apprise", "FILE"], f"json://{CANARY}\njson://{CANARY}", 2, "must hold one line, and holds 2"),
        (["--apprise", "/no/such/file"], "", 2, "cannot be read"),
        (["--apprise", "FILE", "--webhook", "ORIGIN"], "", 2, "either"),
        ([], "", 2, "either"),
    ],
)
def test_a_target_that_cannot_be_is_refused_and_no_secret_repeated(
    options: list[str],
    text: str,
    code: int,
    why: str,
    state: Path,
    origin: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(secret_file(tmp_path, text))
    argv = [{"FILE": file, "ORIGIN": origin}.get(option, option) for option in options]
    assert call(state, "notify", "add", "bad", *argv) == code
    told = capsys.readouterr()
    assert why in told.err
    assert CANARY not in told.out + told.err.replace(file, "")


def test_what_the_api_makes_of_a_malformed_target_does_not_repeat_it(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(state, "notify", "add", "x", "--webhook", "https://" + CANARY * 1000) == 2
    told = capsys.readouterr()
    assert "url" in told.err
    assert CANARY not in told.out + told.err


@pytest.mark.parametrize("listed", ["http://0x7f000001", "prometheus:9090", "https://a.example/path"])
def test_serve_refuses_what_is_no_origin_before_it_starts(
    listed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--state", str(tmp_path / "state"), "--allow-url", listed]) == 2
    assert "--allow-url" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_only_admins_add_and_remove_and_only_approvers_read_the_log(
    state: Path, origin: str, tmp_path: Path
) -> None:
    admin = json.loads((state / "admin.json").read_text())
    with Client(load(state / "admin.json")) as client:
        token = client.post("v1", "operators", body={"name": "olga", "role": "operator"})["token"]
    context = tmp_path / "olga.json"
    context.touch(0o600)
    context.write_text(json.dumps(admin | {"token": token}))
    as_olga = ["--context", str(context), "notify"]
    for argv in (["add", "x", "--webhook", origin], ["remove", "own"], ["test", "own"], ["log"]):
        assert run([*as_olga, *argv]) == 7, argv
    assert run([*as_olga, "list"]) == 0
