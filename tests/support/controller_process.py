"""`python controller_process.py FOLDER PORT`: a controller that can be killed. Prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from support.control_plane import Controller


async def main(folder: Path, port: int) -> None:
    controller = Controller(folder)
    controller.hosts.hosts.add("db-1")
    controller.port = port
    await controller.start()
    print(controller.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
