"""Alignment of frames with known videos over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from worker.records import Look, Match, Sighting

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIGN_TOLERANCE_S = 1.0
"""By how much a stream and a known video may drift apart between two sightings: half a second of seeking and a few
per cent of playback speed."""
ALIGN_STEP_S = 1.0
"""How much of the stream must lie between two sightings for them to be more than one picture."""
SIGHTINGS_KEPT = 32
SIGHTING_LASTS_S = 60.0


def align(
    sightings: tuple[Sighting, ...], looks: Sequence[Look], media_times_s: Sequence[float]
) -> tuple[tuple[Sighting, ...], tuple[Look, ...]]:
    """Tell frames that run along with a known video from lone ones.

    A match with a frame of a known video counts as ``video`` if an earlier sighting of the same entry lies at least a
    second away in the stream and the same way apart in the video, to within a second. A still picture does not: the
    stream goes on and the video does not. A loop breaks the agreement once and finds it again at its second sighting.

    Args:
        sightings: What is remembered of the stream; empty at its start and after a discontinuity.
        looks: The segment's keyframes in the order of presentation.
        media_times_s: Where each look is on the stream's own clock, seconds.

    Returns:
        What to remember now (the last 32 sightings, none more than a minute behind the newest), and the looks with
        their matches marked.
    """
    remembered = list(sightings)
    marked = []
    for look, media_time_s in zip(looks, media_times_s, strict=True):
        marked.append(_marked(look, media_time_s, remembered))
        remembered += [
            Sighting(list=match.list, entry=match.entry, media_time_s=media_time_s, at_s=match.at_s)
            for match in look.matches
            if match.at_s is not None
        ]
    newest_s = max((each.media_time_s for each in remembered), default=0.0)
    newest_s = max(newest_s, *media_times_s) if media_times_s else newest_s
    lasting = [each for each in remembered if newest_s - each.media_time_s <= SIGHTING_LASTS_S]
    return tuple(lasting[-SIGHTINGS_KEPT:]), tuple(marked)


def _marked(look: Look, media_time_s: float, remembered: Sequence[Sighting]) -> Look:
    if all(match.at_s is None for match in look.matches):
        return look
    matches = tuple(
        replace(match, video=True) if any(_agrees(match, media_time_s, each) for each in remembered) else match
        for match in look.matches
    )
    return replace(look, matches=matches)


def _agrees(match: Match, media_time_s: float, seen: Sighting) -> bool:
    if match.at_s is None or (match.list, match.entry) != (seen.list, seen.entry):
        return False
    streamed_s = media_time_s - seen.media_time_s
    played_s = match.at_s - seen.at_s
    return (
        abs(streamed_s) >= ALIGN_STEP_S
        and played_s * streamed_s > 0
        and abs(streamed_s - played_s) <= ALIGN_TOLERANCE_S
    )
