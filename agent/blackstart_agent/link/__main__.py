import sys

from blackstart_agent.link.main import main

sys.exit(main())
