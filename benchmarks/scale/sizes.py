"""Segments of all sizes to one worker, inline and by claim check, one after the other in turns.

All show the same first keyframe; the larger ones have ever more frames after it. Those are never decoded, as in any
segment of which one keyframe is looked at: so what grows is what bytes cost on their way, and nothing else.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from msgspec import Struct
from support import kafka

from benchmarks import clips
from benchmarks.figures import figure, interleaved
from benchmarks.rig import crew, processes
from benchmarks.rig.publishing import Due
from benchmarks.scale.backlog import DEMO, PARTITIONS
from benchmarks.scale.result import Size
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.figures import Measure
    from benchmarks.part import Run
    from benchmarks.rig.crew import Crew

RECIPE = clips.Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))
MEMORY = Path("/dev/shm")  # noqa: S108 - what is read from a disk would be another benchmark
OVERHEAD = 1.06
"""MPEG-TS over what it carries."""
INLINE, FILE, HTTP = "inline", "file", "http"


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    megabytes: tuple[float, ...]
    rounds: int
    burst_bytes: int
    """A burst is so many bytes, within ``least`` and ``most`` segments."""
    least: int
    most: int


def measure(run: Run, wanted: Sizes) -> tuple[tuple[Size, ...], int]:
    """Play bursts of each size, each way, in turns.

    Returns:
        What was found, and how many segments were not looked at just once.
    """
    bodies = segments(run.seed, [round(megabytes * 1e6) for megabytes in wanted.megabytes])
    with _working(run, bodies) as (these, uris):
        playing = _Playing(these, bodies, uris, wanted)
        ways = (INLINE, *uris)
        measures = [_burst(playing, way, number) for number in range(len(bodies)) for way in ways]
        interleaved(measures, 1)  # connections, and memory that is taken once
        found = interleaved(measures, wanted.rounds)
        sizes = tuple(_told(found, way, number, bodies) for way in ways for number in range(len(bodies)))
        return sizes, playing.wrong


def _burst(playing: _Playing, way: str, number: int) -> Measure:
    return lambda: playing.burst(way, number)


def _told(found: Mapping[str, list[float]], way: str, number: int, bodies: Sequence[bytes]) -> Size:
    return Size(
        way=way,
        segment_bytes=len(bodies[number]),
        worker_ms=figure(found[f"{way} {number} worker"]),
        broker_ms=figure(found[f"{way} {number} broker"]),
    )


class _Playing:
    """Sends bursts of one size one way; each segment is the first of a stream of its own."""

    def __init__(self, these: Crew, bodies: Sequence[bytes], uris: Mapping[str, str], wanted: Sizes) -> None:
        self.wrong = 0
        self._these, self._bodies, self._uris, self._wanted = these, bodies, uris, wanted
        self._bursts = 0

    def burst(self, way: str, number: int) -> dict[str, float]:
        """Milliseconds of CPU a segment, from before the first is sent until the last one's outcome is there."""
        wanted = self._wanted
        count = max(wanted.least, min(wanted.most, wanted.burst_bytes // len(self._bodies[number])))
        body = number if way == INLINE else f"{self._uris[way]}/{number}.ts"
        self._bursts += 1
        due = [
            Due(stream_id=f"burst-{self._bursts}-{n}", sequence=0, partition=n % PARTITIONS, body=body)
            for n in range(count)
        ]
        before = self._these.counters()
        sent = self._these.publish(due, self._bodies)
        self._these.until_answered(sent)
        spent = {name: had - before.get(name, 0.0) for name, had in self._these.counters().items()}
        self.wrong += self._these.wrong(sent)
        worker_ms, broker_ms = (s * 1000 / count for s in (crew.worker_total(spent), spent["broker"]))
        return {f"{way} {number} worker": worker_ms, f"{way} {number} broker": broker_ms}


@contextmanager
def _working(run: Run, bodies: Sequence[bytes]) -> Iterator[tuple[Crew, dict[str, str]]]:
    """A worker that works, and where it may fetch the bodies, without the last slash, by the kind of root."""
    split = crew.apart(1)
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)))
        for number, body in enumerate(bodies):
            (folder / f"{number}.ts").write_bytes(body)
        port = kafka.free_ports(1)[0]
        uris = {FILE: folder.as_uri(), HTTP: f"http://127.0.0.1:{port}"}
        serving = ["-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1", "--directory", str(folder)]
        closing.enter_context(processes.started("server", [*serving, str(port)], folder, cores=split.around))
        roots = (f"{uris[FILE]}/", tree.Root(uri=f"{uris[HTTP]}/", private=True, plaintext=True))
        settings = crew.default_settings(run, "scale-sizes", DEMO)
        settings = replace(settings, fetch=tree.Fetch(roots=roots))
        these = closing.enter_context(crew.prepared(run, settings, split, PARTITIONS))
        closing.enter_context(crew.working(these, split, PARTITIONS))
        yield these, uris


def segments(seed: int, sizes: Sequence[int]) -> list[bytes]:
    """MPEG-TS segments of about so many bytes, all with the same first keyframe: the same frames again and again."""
    whole = clips.encode(RECIPE, seed, frames=clips.SECONDS * clips.FPS)
    return [stretched(whole, size) for size in sizes]


def stretched(whole: bytes, size: int) -> bytes:
    """Put a fragmented MP4's first keyframe, and what comes after it over and over, into MPEG-TS of about that size."""
    written, payload = io.BytesIO(), 0
    with (
        av.open(io.BytesIO(whole), format="mov") as source,
        av.open(written, "w", format="mpegts", options=clips.TRANSPORT) as out,
    ):
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        packets: Any = source.demux(source.streams.video[0])
        first, *rest = [(bytes(p), p.pts, p.dts, p.time_base) for p in packets if p.size]
        step = rest[0][2] - first[2]
        for number, (data, pts, dts, time_base) in enumerate(chain([first], cycle(rest))):
            if payload + len(data) > size / OVERHEAD:
                break
            packet = av.Packet(data)
            later = (first[2] + number * step) - dts
            packet.pts, packet.dts, packet.time_base = pts + later, dts + later, time_base
            packet.is_keyframe, packet.stream = number == 0, stream
            out.mux(packet)
            payload += len(data)
    return written.getvalue()
