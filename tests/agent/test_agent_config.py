from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_agent import config, files
from blackstart_agent.errors import ConfigError

GOOD = 'name = "db-1"\ncontroller = "10.0.0.1:8471"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return path


def test_two_keys_are_enough(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, GOOD))
    assert (loaded.name, loaded.controller, loaded.stream_grace_ms) == ("db-1", ("10.0.0.1", 8471), 1000)
    assert loaded.journal_dir == Path("/var/lib/blackstart-agent/guardian/journal")
    assert loaded.mirror_dir == Path("/run/blackstart-agent/journal")


@pytest.mark.parametrize("text", ['state_dir = "/srv/other"', 'runtime_dir = ""'])
def test_an_agent_beside_the_usual_one_does_not_share_its_copies(tmp_path: Path, text: str) -> None:
    assert config.load(write(tmp_path, GOOD + text)).mirror_dir is None


def test_what_is_rendered_loads_as_the_same(tmp_path: Path) -> None:
    made = config.AgentConfig(
        name="db-1",
        controller=("fd00::1", 8471),
        state_dir=tmp_path / "state",
        runtime_dir=tmp_path / "run",
        policy=tmp_path / 'od"d.toml',
        supervisor="runit:/run/service",
        link_user="",
        site="pangyo",
        stream_grace_ms=250,
        labels={"role": "db", "example.com/tier": "1"},
        path=tmp_path / "agent.toml",
    )
    assert config.load(write(tmp_path, config.render(made))) == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "name: is missing"),
        ('name = "db-1"', "controller: is missing"),
        ('name = "-x"\ncontroller = "a:1"', "name: must be 1 to 63"),
        ('name = 5\ncontroller = "a:1"', "name: must be"),
        ('name = "a"\ncontroller = "a"', "controller: must be host:port"),
        ('name = "a"\ncontroller = "::1:5"', "controller: must be host:port"),
        ('name = "a"\ncontroller = "a:70000"', "controller: must be host:port"),
        (GOOD + 'state_dir = "x"', "state_dir: must be an absolute path"),
        (GOOD + 'runtime_dir = "x"', "runtime_dir: must be an absolute path"),
        (GOOD + 'supervisor = "upstart"', 'supervisor: must be "systemd" or'),
        (GOOD + "stream_grace_ms = -1", "stream_grace_ms: must be a whole number from 0 to 60000"),
        (GOOD + "stream_grace_ms = true", "stream_grace_ms: must be a whole number"),
        (GOOD + "gracee = 1", "gracee: unknown key; known are controller, labels, link_user"),
        (GOOD + "labels = 1", "labels: must be a table"),
        (GOOD + '[labels]\nsite = "x"', "labels.site: a label's name must be"),
        (GOOD + '[labels]\nrole = "a b"', "labels.role: must be empty or"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_names_key_and_allowed_values(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_missing_file_says_to_enroll(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="blackstart-agent enroll"):
        config.load(tmp_path / "none.toml")


def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKSTART_AGENT_CONFIG", "/x/agent.toml")
    assert config.config_path() == Path("/x/agent.toml")
    assert config.config_path("/y") == Path("/y")


def test_state_directories_are_private_and_never_links(tmp_path: Path) -> None:
    made = config.AgentConfig("a", ("c", 1), state_dir=tmp_path / "state", link_user="")
    config.make_state(made)
    assert made.guardian_dir.stat().st_mode & 0o777 == 0o700
    assert made.link_dir.stat().st_mode & 0o777 == 0o700
    made.link_dir.rmdir()
    (tmp_path / "elsewhere").mkdir()
    made.link_dir.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        config.make_state(made)


def test_state_directories_that_are_right_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config.AgentConfig("a", ("c", 1), state_dir=tmp_path / "state", link_user="")
    config.make_state(made)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(files, "open_directory", refuse)
    config.make_state(made)
    made.link_dir.chmod(0o755)
    with pytest.raises(PermissionError):
        config.make_state(made)


def test_an_unknown_link_user_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        config.user_ids("nobody-here")
