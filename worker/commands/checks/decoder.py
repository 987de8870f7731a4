"""Check of the jail: a decoder process starts here and decodes a clip."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.commands.checks.findings import Finding
from worker.errors import SegmentError, Stopped
from worker.jail.pool import Jail
from worker.jail.zygote import WARM_UP_FILE
from worker.records import Ask, Media

if TYPE_CHECKING:
    from worker.jail.events import JailEvent
    from worker.jail.lockdown import Lockdown
    from worker.settings.tree import Settings

INIT_ROOM_BYTES = 256 * 1024


async def decodes(settings: Settings) -> list[Finding]:
    """Start one decoder with the limits of the settings, have it decode a clip, and end it. Raises Stopped."""
    started = time.perf_counter()
    ends: list[JailEvent] = []
    largest = max(settings.fetch.max_bytes, settings.kafka.max_message_bytes) + INIT_ROOM_BYTES
    clip = WARM_UP_FILE.read_bytes()
    media = Media(data=clip, init=None, sha256=hashlib.sha256(clip).hexdigest())
    jail = await Jail.start(replace(settings.jail, processes=1), max_bytes=largest, on_event=ends.append)
    try:
        sample = await jail.sample(media, _ask(settings))
    except SegmentError as error:
        causes = "; ".join(f"{end.process} {end.change}: {end.cause}" for end in ends)
        raise Stopped(f"a decoder can't decode a clip that is right: {error}{causes and f' ({causes})'}") from error
    finally:
        await jail.close()
    took_ms = (time.perf_counter() - started) * 1000
    detail = f"a decoder started and decoded {len(sample.frames)} keyframe in {took_ms:.0f} ms"
    return [Finding(level="pass", what="decoder", detail=detail), _locked(jail.lockdown)]


def _locked(lockdown: Lockdown) -> Finding:
    """Tell how well it is locked down. Below ``jail.require`` it had not started at all."""
    if lockdown.level == "full":
        detail = "level full: every way out that was tried is closed"
        return Finding(level="pass", what="lock-down", detail=detail)
    return Finding(level="warning", what="lock-down", detail=f"level {lockdown}", remedy=lockdown.remedy())


def _ask(settings: Settings) -> Ask:
    return Ask(
        content_type="video/mp2t",
        interval_s=0.0,
        max_keyframes=1,
        view=None,
        max_pixels=settings.jail.max_pixels,
        max_streams=settings.jail.max_streams,
    )
