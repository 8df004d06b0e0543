"""For all tests: gRPC is told to leave fork alone, before anybody imports it.

The lab's holder is forked. Handlers of gRPC around fork would abort the process when a test before it had
a channel open; the holder never uses gRPC.
"""

from __future__ import annotations

import os

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
