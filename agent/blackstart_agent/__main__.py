"""`python -m blackstart_agent` is `blackstart-agent`."""

import sys

from blackstart_agent.cli import main

sys.exit(main())
