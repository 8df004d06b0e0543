"""`blackstart-agent enroll` against real HTTPS."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_agent import config, policy
from blackstart_agent.errors import ConfigError
from blackstart_agent.link import keystore
from blackstart_agent.link.enrol import EnrolmentRefused, HostSettings, enrol
from blackstart_controller.security.authority import Authority
from support.enrol_server import Door, open_door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path) as opened:
        yield opened


def settings(folder: Path, name: str = "db-1") -> HostSettings:
    return HostSettings(
        name=name,
        site="busan",
        labels={"role": "db"},
        state_dir=folder / "state",
        policy=folder / "etc" / "policy.toml",
        link_user="",
    )


def test_a_token_becomes_files_that_load(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "agent.toml"
    written = enrol(door.token(), door.address, path, settings(tmp_path))
    assert config.load(path) == written
    assert written.controller == ("127.0.0.1", 8471)  # it listens everywhere: where it was met
    assert (written.site, written.labels) == ("busan", {"role": "db"})
    identity = keystore.load(written.link_dir)
    keystore.check_pair(identity)
    assert identity.authority_pem == door.authority.certificate_pem
    assert "db-1" in door.hosts.hosts
    modes = {file.name: file.stat().st_mode & 0o777 for file in written.link_dir.glob("*.pem")}
    assert modes == {"key.pem": 0o600, "cert.pem": 0o600, "ca.pem": 0o600}
    assert written.link_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to another user needs root")
def test_the_links_files_belong_to_its_user(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "agent.toml"
    ours = HostSettings(
        "db-1", state_dir=tmp_path / "state", policy=tmp_path / "etc/policy.toml", link_user="nobody"
    )
    written = enrol(door.token(), door.address, path, ours)
    ids = config.user_ids("nobody")
    assert ids is not None
    assert {file.stat().st_uid for file in written.link_dir.iterdir()} == {ids[0]}
    assert written.link_dir.stat().st_uid == ids[0]
    assert path.stat().st_uid == 0


def test_the_starter_policy_is_valid_and_an_old_one_stays(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "agent.toml"
    written = enrol(door.token(), door.address, path, settings(tmp_path))
    parsed = policy.parse(written.policy)
    assert "host.blackout" in parsed.faults and 22 in parsed.ports
    written.policy.write_text("# mine\n")
    enrol(door.token("db-1"), door.address, path, settings(tmp_path))
    assert written.policy.read_text() == "# mine\n"


def test_a_second_use_of_a_token_changes_nothing(door: Door, tmp_path: Path) -> None:
    token = door.token()
    enrol(token, door.address, tmp_path / "a.toml", settings(tmp_path / "a"))
    with pytest.raises(EnrolmentRefused, match="refused: join token: used already, by host db-1"):
        enrol(token, door.address, tmp_path / "b.toml", settings(tmp_path / "b", "db-2"))
    assert not (tmp_path / "b.toml").exists() and not (tmp_path / "b").exists()


def test_a_controller_with_another_authority_gets_no_token(door: Door, tmp_path: Path) -> None:
    door.shown_ca = Authority.open(tmp_path / "impostor").certificate_pem
    token = door.token()
    with pytest.raises(EnrolmentRefused, match="is not the controller that made this join token"):
        enrol(token, door.address, tmp_path / "a.toml", settings(tmp_path / "a"))
    door.shown_ca = door.authority.certificate_pem
    enrol(token, door.address, tmp_path / "a.toml", settings(tmp_path / "a"))  # it was never sent


def test_who_shows_the_right_authority_without_its_key_gets_no_token(tmp_path: Path) -> None:
    true = Authority.open(tmp_path / "true")
    with open_door(tmp_path) as impostor:
        impostor.shown_ca = true.certificate_pem
        token = impostor.token().split(".")[0] + "." + true.pin
        with pytest.raises(EnrolmentRefused, match="certificate verify failed"):
            enrol(token, impostor.address, tmp_path / "a.toml", settings(tmp_path / "a"))


@pytest.mark.parametrize("token", ["", "bsj_x", "bsk_" + "x" * 43])
def test_a_malformed_token_is_told_before_anything_is_sent(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError, match="join token: malformed"):
        enrol(token, "127.0.0.1:1", tmp_path / "a.toml", settings(tmp_path))


def test_an_absent_controller_is_named_with_its_port(tmp_path: Path) -> None:
    token = "bsj_" + "x" * 43 + "." + "0" * 64
    with pytest.raises(
        EnrolmentRefused, match=r"controller 127.0.0.1:1: .*does `blackstart serve` run there"
    ):
        enrol(token, "127.0.0.1:1", tmp_path / "a.toml", settings(tmp_path))


def test_a_host_without_openssl_is_told_what_to_install(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no `openssl` command on this host; install it: apt-get install"):
        enrol(door.token(), door.address, tmp_path / "a.toml", settings(tmp_path))


def test_a_certificate_of_another_key_is_not_stored(door: Door, tmp_path: Path) -> None:
    written = enrol(door.token(), door.address, tmp_path / "a.toml", settings(tmp_path / "a"))
    other = enrol(door.token(), door.address, tmp_path / "b.toml", settings(tmp_path / "b", "db-2"))
    mine, theirs = keystore.load(written.link_dir), keystore.load(other.link_dir)
    mixed = keystore.Identity(mine.key_pem, theirs.certificate_pem, mine.authority_pem)
    with pytest.raises(ConfigError, match="does not fit this host's key"):
        keystore.store(written.link_dir, mixed, None)
    assert keystore.load(written.link_dir) == mine


def test_the_pin_is_the_hash_of_the_der(door: Door) -> None:
    der = ssl.PEM_cert_to_DER_cert(door.authority.certificate_pem.decode())
    assert hashlib.sha256(der).hexdigest() == door.authority.pin
