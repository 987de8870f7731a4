"""A worker that dies of a magic segment, whole, as of a fault in its own process: ``python -m support.poisoned``.

Some segments take long, so that a kill finds work in hand.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from worker import app, logs
from worker.loaded import Loaded
from worker.settings.load import load
from worker.settings.tree import Log

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from worker.assess import Assessor
    from worker.records import Ask, Media, Sample

POISON = b"framewatch-test-poison"
WORK_S = 0.01


class DeadlyDecoder:
    """Passes all on but poison, of which the process dies at once."""

    def __init__(self, decoder) -> None:
        self._decoder = decoder

    async def sample(self, media: Media, ask: Ask) -> Sample:
        """Dies, or returns what the real one does."""
        await asyncio.sleep(WORK_S)
        if POISON in media.data:
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._decoder.sample(media, ask)


class PoisonableWorker(app.Worker):
    """The real worker but for its decoder."""

    async def _assessor(self, closing: AsyncExitStack) -> Assessor:
        assessor = await super()._assessor(closing)
        assessor._decoder = DeadlyDecoder(assessor._decoder)
        return assessor


async def main() -> None:
    """Run until SIGTERM."""
    settings = load(flags={}, environ=os.environ, config=None)
    logs.configure(Log(format="json"))
    worker = PoisonableWorker(settings, Loaded(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
