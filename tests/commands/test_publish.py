"""Media played into the segments topic."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support import media
from support.deployment import deployed

from worker.commands.publish import publish, run_name, summary
from worker.errors import Stopped, UsageError
from worker.kafka.publisher import publisher
from worker.publishing.pieces import ClipSource, FolderSource, natural
from worker.publishing.player import Pace, Played, play
from worker.publishing.telling import Telling
from worker.records import Initialisation, Position, Received, Reference, Segment, StreamEnd
from worker.settings.tree import Kafka, Settings
from worker.wire import read

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PLENTY = 8 * 1024 * 1024
TELLING = Telling(topic="segments", stream_id="s1", run="r")
FAST = Pace(speed=0.0)


class Clock:
    """Time that passes when somebody waits; ``stop_at_s`` is when Ctrl-C is pressed."""

    def __init__(self, stop_at_s: float | None = None) -> None:
        self.passed_s = 0.0
        self.stop_at_s = stop_at_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return 1000.0 + self.passed_s

    async def stopped_within(self, seconds: float) -> bool:
        if self.stop_at_s is not None and self.passed_s + seconds >= self.stop_at_s:
            self.passed_s = max(self.passed_s, self.stop_at_s)
            return True
        self.passed_s += seconds
        return False


class Broker:
    """Takes messages, each in ``ack_s``, and gives them back as the worker reads them."""

    def __init__(self, clock: Clock, ack_s: float = 0.0) -> None:
        self.clock = clock
        self.ack_s = ack_s
        self.messages = []
        self.sent_at_s = []

    async def send(self, message) -> None:
        self.sent_at_s.append(self.clock.passed_s)
        self.clock.passed_s += self.ack_s
        self.messages.append(message)

    def events(self):
        """What the worker reads."""
        return [
            read.read(
                Received(
                    position=Position(topic=m.topic, partition=0, offset=offset, timestamp_ms=0),
                    key=m.key,
                    value=m.value,
                    headers=m.headers,
                ),
                max_message_bytes=PLENTY,
            )
            for offset, m in enumerate(self.messages)
        ]

    def segments(self):
        """Only the segments."""
        return [event for event in self.events() if isinstance(event, Segment)]


async def played(source, *, telling=TELLING, pace=FAST, clock=None, ack_s=0.0, progress=None):
    """Play it to a broker that only keeps."""
    clock = clock or Clock()
    broker = Broker(clock, ack_s)
    done = await play(
        source,
        telling,
        pace,
        send=broker.send,
        clock=clock,
        on_progress=(progress if progress is not None else []).append,
    )
    return done, broker


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Five seconds with a keyframe a second."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    path.write_bytes(media.make_segment(container="mp4", seconds=5.0, gop=25, width=160, height=96))
    return path


def file_source(path) -> ClipSource:
    """The file in segments of two seconds."""
    return ClipSource(path, segment_s=2.0, max_bytes=PLENTY)


def folder_source(path, *, by_reference=False, max_bytes=PLENTY) -> FolderSource:
    """The folder's segments."""
    return FolderSource(path, segment_s=2.0, max_bytes=max_bytes, by_reference=by_reference)


def ts_folder(folder, count=3) -> Path:
    """Segments 8.ts, 9.ts, 10.ts, … of a second each."""
    for number in range(count):
        data = media.make_segment(seconds=1.0, start_s=float(number), width=64, height=64)
        (folder / f"{8 + number}.ts").write_bytes(data)
    return folder


async def test_a_file_becomes_segments_that_the_worker_reads_and_an_end(clip):
    """Sequence, media time, duration and content type are said, and the stream is over at the end."""
    done, broker = await played(file_source(clip), pace=replace(FAST, start_sequence=7))
    *segments, end = broker.events()
    assert isinstance(end, StreamEnd)
    assert [(s.sequence, s.media_time_s, s.duration_s) for s in segments] == [(7, 0, 2), (8, 2, 2), (9, 4, 1)]
    assert {(s.stream_id, s.content_type, s.discontinuity, s.test) for s in segments} == {
        ("s1", "video/mp2t", False, False)
    }
    assert (done.segments, done.media_s, done.rounds, done.stopped) == (3, 5.0, 1, False)
    assert done.bytes == sum(len(s.payload) for s in segments)


async def test_what_is_known_of_the_stream_is_said_of_each_segment(clip):
    """Tenant, account, viewers, and that it is a test."""
    telling = replace(TELLING, tenant="kids", account="a1", viewers=12, test=True)
    _, broker = await played(file_source(clip), telling=telling)
    said = {(s.tenant, s.account, s.viewers, s.test) for s in broker.segments()}
    assert said == {("kids", "a1", 12, True)}


async def test_segments_leave_at_the_pace_of_a_live_stream(clip):
    """The first at once, each next one when its last frame would have been captured."""
    _, broker = await played(file_source(clip), pace=Pace())
    assert broker.sent_at_s[:3] == pytest.approx([0.0, 2.0, 3.0])
    captured = [(s.captured_at - START).total_seconds() for s in broker.segments()]
    assert captured == pytest.approx([-2.0, 0.0, 2.0])


async def test_speed_divides_the_waiting(clip):
    """Twice as fast takes half the time; 0 takes none."""
    _, twice = await played(file_source(clip), pace=Pace(speed=2.0))
    _, at_once = await played(file_source(clip), pace=FAST)
    assert twice.sent_at_s[:3] == pytest.approx([0.0, 1.0, 1.5])
    assert at_once.sent_at_s == [0.0] * 4


async def test_a_slow_broker_makes_it_late_but_not_slower(clip):
    """The schedule stands: what was lost is caught up, and told."""
    done, broker = await played(file_source(clip), pace=Pace(), ack_s=2.5)
    assert broker.sent_at_s[:3] == pytest.approx([0.0, 2.5, 5.0])
    assert done.behind_s == pytest.approx(2.0)
    assert done.slowest_ack_s == pytest.approx(2.5)
    captured = [(s.captured_at - START).total_seconds() for s in broker.segments()]
    assert captured == pytest.approx([-2.0, 0.0, 2.0])


async def test_a_loop_goes_on_counting_and_marks_its_seam(clip):
    """Sequence and media time go on, the seam is a discontinuity, no id is there twice; Ctrl-C ends it."""
    done, broker = await played(file_source(clip), pace=Pace(loop=True), clock=Clock(stop_at_s=7.5))
    segments = broker.segments()
    assert [(s.sequence, s.media_time_s, s.discontinuity) for s in segments] == [
        (0, 0, False),
        (1, 2, False),
        (2, 4, False),
        (3, 5, True),
        (4, 7, False),
    ]
    assert len({s.event for s in segments}) == 5
    assert (done.stopped, done.rounds, done.segments) == (True, 1, 5)
    assert isinstance(broker.events()[-1], StreamEnd)


async def test_the_end_is_left_out_where_nobody_wants_it(clip):
    """The stream may go on by another run."""
    _, broker = await played(file_source(clip), pace=replace(FAST, end=False))
    assert len(broker.events()) == len(broker.segments()) == 3


async def test_what_was_stopped_before_its_first_segment_says_no_end():
    """Nothing was begun."""

    class Nothing:
        init = None
        description = ""
        total_s = None

        def pieces(self):
            yield from ()

    done, broker = await played(Nothing())
    assert (done.segments, broker.messages) == (0, [])


async def test_the_same_run_says_the_same_events(clip):
    """Ids are a function of stream, run and sequence: a run that is repeated under its name is a retry."""
    _, once = await played(file_source(clip))
    _, again = await played(file_source(clip))
    _, other = await played(file_source(clip), telling=replace(TELLING, run="r2"))
    ids = [[event.event for event in each.events()] for each in (once, again, other)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])
    assert [m.value for m in once.messages] == [m.value for m in again.messages]


async def test_progress_tells_only_what_is_acknowledged(clip):
    """After each segment, with its bytes."""
    progress: list[Played] = []
    await played(file_source(clip), progress=progress)
    assert [(p.segments, p.media_s) for p in progress] == [(1, 2.0), (2, 4.0), (3, 5.0)]


async def test_a_send_that_fails_ends_the_play(clip):
    """Nothing is sent after it, not even the end."""
    sent = []

    async def refuse(message) -> None:
        sent.append(message)
        raise Stopped("no")

    with pytest.raises(Stopped, match="no"):
        await play(file_source(clip), TELLING, FAST, send=refuse, clock=Clock(), on_progress=lambda _: None)
    assert len(sent) == 1


async def test_a_folder_is_played_in_natural_order(tmp_path):
    """8, 9, 10; the bytes as they lie there, durations measured."""
    folder = ts_folder(tmp_path)
    (folder / "playlist.m3u8").write_text("#EXTM3U\n")
    (folder / ".9b.ts").write_bytes(b"hidden")
    _, broker = await played(folder_source(folder))
    segments = broker.segments()
    assert [s.payload for s in segments] == [(folder / f"{n}.ts").read_bytes() for n in (8, 9, 10)]
    assert [(s.media_time_s, s.duration_s) for s in segments] == [(0, 1), (1, 1), (2, 1)]


async def test_a_cmaf_folder_sends_its_initialisation_first(tmp_path):
    """As an event of its own; the segments say that they need one."""
    init, fragments = media.make_cmaf(seconds=4.0, width=64, height=64)
    (tmp_path / "video_init.mp4").write_bytes(init)
    for number, fragment in enumerate(fragments):
        (tmp_path / f"video_{number}.m4s").write_bytes(fragment)
    _, broker = await played(folder_source(tmp_path))
    first, *segments, _ = broker.events()
    assert isinstance(first, Initialisation)
    assert first.payload == init
    assert [(s.content_type, s.payload, s.duration_s) for s in segments] == [
        ("video/iso.segment", fragment, 2.0) for fragment in fragments
    ]


async def test_folders_tell_the_content_type_of_each_file(tmp_path):
    """MP4 with its own index is video/mp4, WebM is video/webm."""
    for name, container, codec in (("1.mp4", "fmp4", "h264"), ("2.m4s", "fmp4", "h264"), ("3.webm", "webm", "vp8")):
        (tmp_path / name).write_bytes(media.make_segment(container=container, codec=codec, width=64, height=64))
    _, broker = await played(folder_source(tmp_path))
    assert [s.content_type for s in broker.segments()] == ["video/mp4", "video/mp4", "video/webm"]


async def test_broken_segments_of_a_folder_are_played_as_they_are(tmp_path):
    """A person wants to see what becomes of them; they count as long as usual."""
    folder = ts_folder(tmp_path, 1)
    (folder / "9.ts").write_bytes(b"broken")
    _, broker = await played(folder_source(folder))
    assert [(s.payload, s.duration_s) for s in broker.segments()][1] == (b"broken", 2.0)


async def test_claim_checks_point_to_the_files(tmp_path):
    """Each with digest and size, and no bytes."""
    folder = tmp_path / "with space"
    folder.mkdir()
    _, broker = await played(folder_source(ts_folder(folder, 1), by_reference=True, max_bytes=1))
    data = (folder / "8.ts").read_bytes()
    (segment,) = broker.segments()
    assert segment.payload == Reference(
        uri=(folder / "8.ts").as_uri(), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )
    assert "with%20space" in segment.payload.uri


def folder_of(folder, **files: bytes) -> Path:
    """A folder; ``a_ts`` becomes ``a.ts``."""
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def test_folders_that_cannot_be_played_are_refused_in_one_line(tmp_path):
    """Empty, of several renditions, without the initialisation that they need, with too much in one file."""
    _, fragments = media.make_cmaf(seconds=2.0, width=64, height=64)
    wrong = {
        "no segments in it": {"notes_txt": b""},
        "2 initialisation segments": {"init-a_mp4": b"", "init-b_mp4": b"", "1_m4s": b""},
        "needs an initialisation segment": {"1_m4s": fragments[0]},
    }
    for number, (says, files) in enumerate(wrong.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(UsageError, match=says) as told:
            folder_source(folder_of(folder, **files))
        assert "\n" not in str(told.value)
    source = folder_source(folder_of(tmp_path, big_ts=bytes(100)), max_bytes=99)
    with pytest.raises(UsageError, match=re.escape("100 bytes are above 99 (kafka.max_message_bytes); try --by-ref")):
        list(source.pieces())


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_in_names_count_as_numbers(numbers):
    """Whatever their length; and names of all kinds can be compared."""
    paths = [Path(f"seg-{n}.ts") for n in numbers]
    assert sorted(paths, key=natural) == [Path(f"seg-{n}.ts") for n in sorted(numbers)]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)))
def test_any_names_have_an_order(names):
    """No two kinds of parts are compared with each other."""
    sorted((Path(name) for name in names), key=natural)


def test_every_mistake_in_what_is_said_is_told_at_once():
    """A line each, naming the flag."""
    telling = replace(TELLING, stream_id="", tenant="x" * 300, account="a\nb", viewers=-1)
    with pytest.raises(UsageError) as told:
        telling.check()
    assert [line.split(":")[0].split(" ")[0] for line in str(told.value).splitlines()] == [
        "--stream",
        "--tenant",
        "--account",
        "--viewers",
    ]


@pytest.mark.parametrize(
    ("pace", "segment_s", "says"),
    [
        (Pace(speed=-1.0), 2.0, "--speed"),
        (Pace(speed=float("nan")), 2.0, "--speed"),
        (Pace(), 0.0, "--segment-seconds"),
        (Pace(start_sequence=-1), 2.0, "--start-sequence"),
    ],
)
def test_a_pace_that_makes_no_sense_is_refused(clip, pace, segment_s, says):
    """Before anything is opened."""
    with pytest.raises(UsageError, match=says):
        publish(Settings(), clip, TELLING, pace, segment_s=segment_s, by_reference=False)


def test_a_single_file_cannot_be_published_by_reference(clip):
    """It is cut, and its pieces lie nowhere."""
    with pytest.raises(UsageError, match="--by-reference takes a folder"):
        publish(Settings(), clip, TELLING, FAST, segment_s=2.0, by_reference=True)


def test_the_summary_is_one_line_for_a_person():
    """What was acknowledged, how late it got at worst, and whether somebody stopped it."""
    done = Played(segments=3, media_s=5.0, bytes=1_500_000, rounds=1, slowest_ack_s=0.012)
    assert summary(done, TELLING) == "s1: 3 segments, 5.0 s of media, 1.5 MB, all acknowledged (slowest 12 ms)"
    assert summary(replace(done, behind_s=1.5, stopped=True), TELLING).endswith(", at worst 1.5 s behind, stopped")
    assert summary(Played(), TELLING) == "s1: nothing was published"


def test_runs_are_named_by_their_start():
    """To the microsecond: two runs started by hand never share a name."""
    assert run_name(START) == "20261122T120000.000000Z"


async def test_a_published_file_is_assessed_whole_by_the_worker(broker, clip):
    """One outcome a segment on a real broker, each at the media time that the publisher said."""
    async with deployed(broker, partitions=1) as deployment, deployment.worker():
        telling = replace(TELLING, topic=deployment.settings.topics.segments)
        async with publisher(deployment.settings.kafka, telling.topic) as to:
            clock = Clock()
            source = file_source(clip)
            await play(source, telling, FAST, send=to.send, clock=clock, on_progress=lambda _: None)
        reports = await deployment.assessments(3)
    assert [(r.outcome, r.why, r.sequence, r.media_time_s) for r in reports] == [
        ("assessed", None, 0, 0.0),
        ("assessed", None, 1, 2.0),
        ("assessed", None, 2, 4.0),
    ]
    assert [len(r.frames) for r in reports] == [1, 1, 1]


async def test_a_topic_that_is_not_there_ends_in_one_line(broker):
    """A producer would wait for it."""
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    with pytest.raises(Stopped, match="has no topic nowhere-at-all: framewatch topics create makes it"):
        async with publisher(kafka, "nowhere-at-all"):
            pass


async def test_a_record_that_the_broker_refuses_ends_in_one_line(broker):
    """Larger than the topic takes."""
    async with deployed(broker, partitions=1, kafka=Kafka(bootstrap_servers=broker.bootstrap_servers)) as deployment:
        topic = deployment.settings.topics.segments
        settings = Kafka(bootstrap_servers=broker.bootstrap_servers, max_message_bytes=64 * 1024 * 1024)
        message = deployment.segment("s1", bytes(20 * 1024 * 1024))
        with pytest.raises(Stopped, match=r"refused: MessageSizeTooLargeError$"):
            async with publisher(settings, topic) as to:
                await to.send(message)


def test_no_broker_ends_in_one_line(clip):
    """With its address, within the time that aiokafka takes to find out."""
    settings = Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(Stopped, match=r"Kafka at 127\.0\.0\.1:1: KafkaConnectionError"):
        publish(settings, clip, TELLING, FAST, segment_s=2.0, by_reference=False)


async def test_ctrl_c_ends_the_command_cleanly(broker, clip):
    """It says that the stream is over, sums up in a line, and ends with 0."""
    async with deployed(broker, partitions=1) as deployment:
        topic = deployment.settings.topics.segments
        flags = ("--kafka.bootstrap-servers", broker.bootstrap_servers, "--topics.segments", topic)
        arguments = ("publish", str(clip), "--stream", "s1", "--loop", *flags)
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await deployment.read(topic, 1)
        command.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(command.communicate(), 30)
        events = [read.read(each, max_message_bytes=PLENTY) for each in await deployment.read(topic, 2)]
    assert command.returncode == 0, err.decode()
    assert re.fullmatch(r"s1: \d+ segments, [\d.]+ s of media, .* all acknowledged .*, stopped\n", out.decode())
    assert isinstance(events[-1], StreamEnd)
    assert [type(event) for event in events[:-1]] == [Segment] * int(out.split()[1])
