"""The root of the command line: the table of nouns, and the one place that turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from blackstart_controller.cli.lazy import Entry, LazyGroup
from blackstart_controller.errors import BlackstartError

EXIT_CODES = """\b
Exit codes of every command, and of `run --wait`:
  0  the hypothesis held and everything is reverted
  1  the hypothesis broke, or a service missed its objective
  2  wrong usage, or an invalid document
  3  not steady before; nothing was injected
  4  halted
  5  the revert is not confirmed: call someone (beats all others)
  6  unreachable, no target matched, or an internal error
  7  refused by a role, a limit or a policy
130  interrupted, and halted first
"""

ENTRIES = {
    "serve": Entry(
        "serve:serve", "Run the controller: the API, the agents' port and the certificate authority."
    ),
    "login": Entry(
        "login:login", "Remember a controller and a token, checked against its certificate's pin."
    ),
    "host": Entry("host:host", "Hosts that joined: list, show."),
    "token": Entry("token:token", "Join tokens for agents: create."),
    "experiment": Entry(
        "experiment:experiment", "Experiment documents: init, validate, explain, export. Needs no controller."
    ),
    "plan": Entry("plan:plan", "Show exactly what a run would hit, from the agents themselves."),
    "run": Entry("run:run", "Run an experiment; list, show, watch, approve, deny runs."),
    "schedule": Entry(
        "schedule:schedule", "When experiments run by themselves: add, list, show, next, arm, pause, remove."
    ),
    "calendar": Entry("calendar:calendar", "Blackout calendars for schedules: import, list, show, remove."),
    "gameday": Entry(
        "gameday:gameday", "Game days: plan, check, start, go, note, finding, finish, report, calendar-url."
    ),
    "lever": Entry("lever:lever", "Stop everything and keep it stopped: engage, release, status."),
    "halt": Entry("halt:halt", "Halt one run or all; every fault is reverted."),
    "report": Entry("report:report", "Write the report of a run as HTML, JSON or Markdown."),
    "gate": Entry("gate:gate", "A stage of a pipeline: run, compare, one exit code, JUnit."),
    "notify": Entry("notify:notify", "Who is told of what happens: webhooks, chat, e-mail."),
    "operator": Entry("operator:operator", "Who may do what: create, list, revoke, log."),
    "environment": Entry(
        "environment:environment", "Parts of the fleet with rules of their own: set, list, show, remove."
    ),
    "lab": Entry("lab:lab", "Hosts made of namespaces: up, status, exec, down."),
}


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"blackstart {version('blackstart')}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--context",
    "context_file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="BLACKSTART_CONTEXT",
    help="File with url, token and ca_pem of a controller, as `serve` and `login` write it.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context, context_file: Path | None) -> None:
    """Take processes, networks, hosts and whole sites down on purpose, and measure what comes back."""
    ctx.obj = context_file


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; every text for a person has gone to standard error."""
    try:
        result = cli.main(args=list(argv), prog_name="blackstart", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return 130
    except BlackstartError as error:
        _say(str(error), bare=error.code == "invalid_document")
        return error.exit_code
    except BrokenPipeError:
        return 0  # the reader has seen enough; output.write has silenced standard output
    except Exception as error:  # noqa: BLE001
        # Whatever it is: Python's own exit code for it is 1, which would read as a missed objective.
        import traceback

        traceback.print_exc()
        _say(f"internal error ({type(error).__name__}: {error}); please report it with the lines above")
        return BlackstartError.exit_code
    return result if isinstance(result, int) else 0


def _say(text: str, *, bare: bool = False) -> None:
    """Write `text` to standard error; a document's errors start with file and line, for editors."""
    print(text if bare else f"blackstart: {text}", file=sys.stderr)
