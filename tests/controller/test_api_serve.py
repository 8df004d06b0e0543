"""`serve` as it is started for real: its own process, TLS, one controller a state directory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from blackstart_controller.api.listen import bind, certificate_names
from blackstart_controller.api.place import state_directory
from blackstart_controller.errors import UsageError

SERVE = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from blackstart_controller.api.serve import serve
    from blackstart_controller.errors import BlackstartError
    try:
        listen = ("127.0.0.1", int(sys.argv[2]))
        sys.exit(serve(Path(sys.argv[1]), listen=listen, agents_listen=("127.0.0.1", 0)))
    except BlackstartError as error:
        print(f"refused: {error}", flush=True)
        sys.exit(error.exit_code)
    """
)
READY_S = 30.0


def start(state: Path, notify: str = "", port: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "NOTIFY_SOCKET": notify, "WATCHDOG_USEC": "200000"}
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(state), str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(state: Path, told: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A controller that has said that it is ready, as a service manager hears it."""
    address = f"{state}.notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(READY_S)
        process = start(state, address)
        try:
            while "READY=1" not in told or "WATCHDOG=1" not in told:
                told.append(manager.recv(100).decode())
            yield process
        finally:
            process.kill()
            process.wait()
            Path(address).unlink()


def context(state: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((state / "admin.json").read_text())
    return found


def get(state: Path, path: str) -> httpx2.Response:
    known = context(state)
    trust = ssl.create_default_context(cadata=known["ca_pem"])
    headers = {"Authorization": f"Bearer {known['token']}"}
    return httpx2.get(known["url"] + path, headers=headers, verify=trust, trust_env=False)


def test_a_served_controller_is_private_alone_and_stops_when_told(tmp_path: Path) -> None:
    state, told = tmp_path / "state", list[str]()
    with serving(state, told) as process:
        assert get(state, "/v1/hosts").json() == {"hosts": []}
        assert state.stat().st_mode & 0o777 == 0o700
        for name in ("admin.json", "ca.key", "controller.db", "lock"):
            assert (state / name).stat().st_mode & 0o777 == 0o600, name
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]
        second = start(state)
        output, _ = second.communicate(timeout=READY_S)
        assert second.returncode == 2
        assert f"{state} is in use by another controller (process {process.pid})" in output
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_the_token_survives_a_restart_and_a_killed_controller_leaves_no_lock(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(state, []) as process:
        before = context(state)
        process.kill()
        process.wait()
    with serving(state, []):
        after = context(state)
        assert (after["token"], after["ca_pem"]) == (before["token"], before["ca_pem"])
        assert get(state, "/v1/runs").json() == {"runs": []}


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path / "state", port=port)
        output, errors = process.communicate(timeout=READY_S)
    assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in output
    assert "Traceback" not in errors


def test_a_state_directory_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Not a directory"), state_directory(tmp_path / "file" / "state"):
        pass


def test_an_address_that_is_not_ours_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1:0"):
        bind("192.0.2.1", 0)


async def test_no_answer_waits_for_an_acknowledgement_of_its_first_half() -> None:
    accepted: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket"))

    listening = bind("127.0.0.1", 0)
    async with await asyncio.start_server(connected, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        served = await accepted
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()


def test_the_certificate_carries_every_name_once() -> None:
    names = certificate_names(["ctl.example.com", "localhost"])
    assert names[0] == "ctl.example.com"
    assert {socket.gethostname(), "localhost", "127.0.0.1"} <= set(names)
    assert len(names) == len(set(names))
