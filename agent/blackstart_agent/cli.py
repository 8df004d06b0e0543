"""The command blackstart-agent. Exit codes: 0 ok, 1 failed, 2 usage, 5 revert not confirmed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from blackstart_agent import __version__, config
from blackstart_agent.errors import AgentError, ConfigError

OK, FAILED, USAGE, UNCONFIRMED = 0, 1, 2, 5


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of one command."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        print(f"blackstart-agent: {error}", file=sys.stderr)
        return USAGE
    except AgentError as error:
        print(f"blackstart-agent: {error}", file=sys.stderr)
        return FAILED
    except PermissionError as error:
        print(f"blackstart-agent: {error.filename}: permission denied; run it as root", file=sys.stderr)
        return FAILED


def run(options: argparse.Namespace) -> int:
    from blackstart_agent.guardian.main import run as guard

    return guard(config.config_path(options.config).absolute())


def enroll(options: argparse.Namespace) -> int:
    from blackstart_agent.link.enrol import HostSettings, enrol

    settings = HostSettings(
        name=options.name or os.uname().nodename.partition(".")[0],
        site=options.site,
        labels=dict(options.label),
        state_dir=options.state_dir,
        policy=options.policy,
        supervisor=options.supervisor,
        link_user=options.link_user,
    )
    path = config.config_path(options.config).absolute()
    written = enrol(_token(options.token), options.controller, path, settings)
    print(f"enrolled as {written.name}; wrote {written.path}")
    print(f"what may be done here is written in {written.policy}; next: `blackstart-agent run`")
    return OK


def status(options: argparse.Namespace) -> int:
    from blackstart_agent.offline import open_faults

    faults = open_faults(config.load(config.config_path(options.config)))
    if options.output == "json":
        print(json.dumps({"faults": faults}, indent=2))
        return OK
    for fault in faults:
        print(
            f"{fault['order_id']}  {fault['kind']}  {fault['state']}  {fault['mode']}  run {fault['run_id']}"
        )
        for line in fault["undo"]:
            print(f"    {line}")
    if not faults:
        print("no open faults")
    return OK


def revert(options: argparse.Namespace) -> int:
    from blackstart_agent.offline import revert_all

    loaded = config.load(config.config_path(options.config))
    result = revert_all(loaded, "found at boot" if options.boot else "revert --all on this host")
    for order in result.reverted:
        print(f"{order}: reverted")
    for name in result.quarantined:
        print(f"{name}: cannot be read; set aside as {name}.bad, and everything with our mark swept")
    for what, why in result.stayed.items():
        print(f"{what}: NOT reverted: {'; '.join(why)}", file=sys.stderr)
    if result.clean and not result.reverted:
        print("nothing to revert")
    return OK if result.clean else UNCONFIRMED


def doctor(options: argparse.Namespace) -> int:
    from blackstart_agent.doctor import findings

    worst = OK
    for finding in findings(config.config_path(options.config)):
        print(f"{'ok ' if finding.ok else 'NO '} {finding.what}: {finding.detail}")
        worst = worst if finding.ok else FAILED
    return worst


def _token(given: str) -> str:
    """The join token; "-" reads it from standard input, so that it is in no process list."""
    return sys.stdin.readline().strip() if given == "-" else given


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="blackstart-agent", description="the blackstart agent of one host")
    parser.add_argument("--version", action="version", version=f"blackstart-agent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument(
            "--config", help=f"agent.toml (default ${config.PATH_VARIABLE}, {config.DEFAULT_PATH})"
        )
        made.set_defaults(command=command)
        return made

    add("run", run, "guard this host; stopping it reverts everything first")
    _enroll_options(add("enroll", enroll, "join a controller with a one-time token"))
    shown = add("status", status, "the open faults of this host, and how to undo them by hand")
    shown.add_argument("-o", "--output", choices=("text", "json"), default="text")
    reverted = add("revert", revert, "end every fault on this host, without a controller")
    reverted.add_argument("--all", action="store_true", required=True, help="the only choice, said aloud")
    reverted.add_argument(
        "--boot", action="store_true", help="at boot: whatever is found was ended by the reboot"
    )
    add("doctor", doctor, "what works on this host, and what to do where it does not")
    return parser


def _enroll_options(enrolled: argparse.ArgumentParser) -> None:
    enrolled.add_argument("--token", required=True, help="a join token, or - to read it from standard input")
    enrolled.add_argument("--controller", required=True, metavar="HOST:8470", help="the operators' address")
    enrolled.add_argument("--name", default="", help="this host's name (default: its host name)")
    enrolled.add_argument("--site", default="", help="its failure domain")
    enrolled.add_argument("--label", action="append", type=_label, default=[], metavar="KEY=VALUE")
    enrolled.add_argument("--state-dir", type=Path, default=config.DEFAULT_STATE)
    enrolled.add_argument("--policy", type=Path, default=config.DEFAULT_POLICY)
    enrolled.add_argument("--supervisor", default="systemd", help="systemd, or runit:/DIRECTORY")
    enrolled.add_argument(
        "--link-user", default="blackstart", help='the user of the network half; "" for this one'
    )
