"""`blackstart …`: one file per noun, each only a client of the API. `main` is the program's entry."""

from __future__ import annotations

import sys

MISSING = (
    "blackstart: the command line is not installed (no module {name}); run: pip install 'blackstart[cli]'"
)


def main() -> None:
    """Run the command line of this process and end it with the exit code that docs/cli.md lists."""
    try:
        from blackstart_controller.cli.root import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blackstart"):
            raise
        print(MISSING.format(name=error.name), file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
