"""The real worker, which tells on SIGUSR1 how many asyncio tasks it has: ``python -m support.faults.counted``."""

from __future__ import annotations

import asyncio
import os
import signal

import structlog

from worker import app, logs
from worker.loaded import Loaded
from worker.settings.load import load
from worker.settings.tree import Log

TELLS = "tasks now"
log = structlog.get_logger()


async def main() -> None:
    """Run until SIGTERM."""
    settings = load(flags={}, environ=os.environ, config=None)
    logs.configure(Log(format="json"))
    worker = app.Worker(settings, Loaded(settings))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    loop.add_signal_handler(signal.SIGUSR1, lambda: log.info(TELLS, tasks=len(asyncio.all_tasks())))
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
