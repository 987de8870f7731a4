"""Load for a worker: streams that go on, of every kind that a dashboard has to show."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
from support import media
from support.cards import card, harmless
from support.deployment import now

from worker.hashing import pdq

if TYPE_CHECKING:
    from pathlib import Path

    from support.deployment import Deployment

    from worker.records import Message, Picture

HEIGHT, WIDTH = 180, 320
SEGMENT_S = 2.0


def mosaic() -> Picture:
    """Blocks of any colour, the same each time: a picture whose hash has the best quality there is, RGB."""
    blocks = np.random.default_rng(9).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((HEIGHT // 9, WIDTH // 16, 1), np.uint8))


def known_list(folder: Path) -> str:
    """Write a hash list that has the known clip's picture, with today's version, and return its path."""
    folder.mkdir()
    head = {"name": "known", "version": time.strftime("%Y-%m-%d"), "kind": "block", "severity": "critical"}
    lines = [f'{key} = "{value}"' for key, value in {**head, "algorithm": "pdq", "source": "the tests"}.items()]
    (folder / "list.toml").write_text("\n".join([*lines, "radius = 31", ""]))
    known = pdq(mosaic()).pdq
    assert known is not None
    (folder / "hashes.txt").write_text(f"{known.hex()}\n")
    return str(folder)


class Load:
    """A platform's streams, a segment of each a round.

    Calm ones, one with the demo model's card, one with the known clip, a canary now and then, some that send rubbish.
    """

    def __init__(self, deployment: Deployment, *, calm: int = 4, rubbish: int = 1, canary_every: int = 1) -> None:
        """A new canary stream begins, and opens an incident, every ``canary_every`` rounds."""
        self._deployment = deployment
        pictures = {"calm": harmless(HEIGHT, WIDTH, 1), "known": mosaic(), "card": card(HEIGHT, WIDTH)}
        self._segments = {kind: _clip(picture) for kind, picture in pictures.items()}
        self._calm, self._rubbish, self._canary_every = calm, rubbish, canary_every
        self.rounds = 0

    async def round(self) -> None:
        """Publish the next segment of every stream."""
        messages = [
            *(self._segment(f"calm-{n}", self._segments["calm"]) for n in range(self._calm)),
            self._segment("risky", self._segments["card"]),
            self._segment("known", self._segments["known"]),
            *(self._segment(f"rubbish-{n}", b"no video at all" * 20) for n in range(self._rubbish)),
        ]
        if self.rounds % self._canary_every == 0:
            messages.append(self._segment(f"canary-{self.rounds}", self._segments["known"], test=True))
        await self._deployment.send(*messages)
        self.rounds += 1

    async def go_on(self, every_s: float) -> None:
        """Publish a round every so many seconds, until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(every_s)

    def _segment(self, stream_id: str, payload: bytes, *, test: bool = False) -> Message:
        return self._deployment.segment(
            stream_id, payload, sequence=self.rounds, duration_s=SEGMENT_S, captured_at=now(), test=test
        )


def _clip(picture: Picture) -> bytes:
    return media.make_segment(width=WIDTH, height=HEIGHT, seconds=SEGMENT_S, picture=lambda _: picture)
