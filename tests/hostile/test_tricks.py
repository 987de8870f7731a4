"""Segments that ask FFmpeg to open something else: nothing calls, nothing is read, nothing is bound.

Each trick that this FFmpeg falls for is first shown to work where our options are not given; else the test would prove
nothing.
"""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
import pytest_asyncio
from av.error import FFmpegError
from hostile import crafted
from hostile.arena import an_arena, asking, named
from support.honeypot import a_honeypot
from support.media import flat, make_segment

from worker.errors import SegmentError
from worker.sampling.opening import open_container
from worker.sampling.recognise import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from hostile.arena import Arena
    from support.honeypot import Honeypot

CONTENT_TYPES = (None, "video/mp2t", "video/mp4", "video/iso.segment", "video/webm")
HEAD = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n"
RED, GREEN = (200, 30, 30), (30, 200, 30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    """One jail for all tricks."""
    async with an_arena() as arena:
        yield arena


@pytest.fixture
def honeypot() -> Iterator[Honeypot]:
    """A listener whose address the tricks carry."""
    with a_honeypot() as honeypot:
        yield honeypot


def playlist(*lines: str, end: str = "#EXT-X-ENDLIST\n") -> str:
    """A media playlist of one segment."""
    return HEAD + "".join(f"{line}\n" for line in lines[:-1]) + f"#EXTINF:2,\n{lines[-1]}\n" + end


def presentation(url: str) -> str:
    """A DASH presentation whose every part lies at ``url``."""
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet '
        f'mimeType="video/mp4"><Representation id="1" bandwidth="1000" codecs="avc1.42c01e"><BaseURL>{url}</BaseURL>'
        f'<SegmentList duration="2"><Initialization sourceURL="{url}"/><SegmentURL media="{url}"/></SegmentList>'
        "</Representation></AdaptationSet></Period></MPD>"
    )


def session(port: int) -> str:
    """A session description that has a reader listen on a port."""
    media = f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    return "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" + media


CALLS: dict[str, tuple[str, Callable[[str], str]]] = {
    "hls": ("hls", playlist),
    "hls without end": ("hls", lambda url: playlist(url, end="")),
    "hls key": ("hls", lambda url: playlist(f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"', url)),
    "hls map": ("hls", lambda url: playlist(f'#EXT-X-MAP:URI="{url}"', url)),
    "hls master": ("hls", lambda url: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{url}.m3u8\n"),
    "hls in a TS": ("hls", lambda url: playlist(url).ljust(180, "#")[:180] + "\n"),
    "concat": ("concat", lambda url: f"ffconcat version 1.0\nfile {url}\n"),
    "concat with async": ("concat", lambda url: f"ffconcat version 1.0\nfile async:{url}\n"),
    "concat with cache": ("concat", lambda url: f"ffconcat version 1.0\nfile cache:{url}\n"),
}
"""Demuxer and text of what calls an address."""
READS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "hls": ("hls", lambda path: playlist(str(path))),
    "hls with file:": ("hls", lambda path: playlist(f"file:{path}")),
    "concat": ("concat", lambda path: f"ffconcat version 1.0\nfile {path}\n"),
    "concat with file:": ("concat", lambda path: f"ffconcat version 1.0\nfile file:{path}\n"),
    "concat with subfile": ("concat", lambda path: f"ffconcat version 1.0\nfile subfile,,start,0,end,99999,,:{path}\n"),
    "concat with concat:": ("concat", lambda path: f"ffconcat version 1.0\nfile concat:{path}\n"),
    "concat with async:": ("concat", lambda path: f"ffconcat version 1.0\nfile async:file:{path}\n"),
}
"""Demuxer and text of what reads a file."""
INERT = {
    "hls with data:": playlist("data:video/mp2t;base64,R0AAEA=="),
    "hls with crypto:": playlist("crypto+file:///etc/passwd"),
    "dash": presentation("http://127.0.0.1:9/x.mp4"),
    "image pattern": "/proc/self/fd/%d",
    "a path": "/etc/passwd",
    "a URL": "http://127.0.0.1:9/",
    "a device": "lavfi:testsrc",
    "real text": "[Reference]\r\nRef1=http://127.0.0.1:9/x\r\n",
    "smil": '<smil><body><video src="http://127.0.0.1:9/x"/></body></smil>',
    "asx": '<asx version="3.0"><entry><ref href="http://127.0.0.1:9/x"/></entry></asx>',
    "ffmetadata": ";FFMETADATA1\ntitle=x\n",
    "srt": "1\n00:00:00,000 --> 00:00:01,000\nhttp://127.0.0.1:9/\n",
}
"""Texts that this FFmpeg does not even fall for without options."""


def without_our_options(text: str, demuxer: str) -> str | None:
    """What a careless program makes of it: the codec that it finds, None where it is refused."""
    options = {"safe": "0"} if demuxer == "concat" else {}
    try:
        with av.open(io.BytesIO(text.encode()), format=demuxer, options=options, timeout=1) as container:
            return container.streams[0].codec_context.name if container.streams else None
    except FFmpegError:
        return None


def past_the_recogniser(text: str, demuxer: str) -> None:
    """The same with our options, as if the recogniser had let it pass: the second guard by itself."""
    source = Source(demuxer=demuxer, parts=(memoryview(text.encode()),), truncated=False)
    with pytest.raises(SegmentError):
        open_container(source, asking())


async def in_the_jail(arena: Arena, text: str) -> set[str]:
    """The outcomes of a text under every content type, alone and with a real segment behind it."""
    outcomes = set()
    for content_type in CONTENT_TYPES:
        for data in (text.encode(), text.encode() + bytes(8192)):
            outcomes.add(named(await arena.outcome(data, ask=asking(content_type))))
    return outcomes


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("trick", CALLS)
async def test_nobody_is_called(arena: Arena, honeypot: Honeypot, trick: str) -> None:
    """Playlists that name an address reach it by themselves, and not through us."""
    demuxer, text_of = CALLS[trick]
    text = text_of(f"http://127.0.0.1:{honeypot.port}/x.ts")
    await asyncio.to_thread(without_our_options, text, demuxer)
    before = honeypot.seen()
    assert before, "the trick does not work"
    past_the_recogniser(text, demuxer)
    assert await in_the_jail(arena, text) == {"corrupt"}
    assert honeypot.seen() == before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("trick", READS)
async def test_no_file_is_read(arena: Arena, tmp_path: Path, trick: str) -> None:
    """Playlists that name a file show it by themselves, and not through us."""
    path = tmp_path / "canary.ts"
    path.write_bytes(make_segment(seconds=0.4))
    demuxer, text_of = READS[trick]
    text = text_of(path)
    assert without_our_options(text, demuxer) == "h264", "the trick does not work"
    past_the_recogniser(text, demuxer)
    assert await in_the_jail(arena, text) == {"corrupt"}


@pytest.mark.asyncio(loop_scope="module")
async def test_no_port_is_bound(arena: Arena) -> None:
    """A session description has FFmpeg listen on a port for anybody's packets, and not through us."""
    port = free_even_port()
    text = session(port)
    careless = threading.Thread(target=without_our_options, args=(text, "sdp"))
    careless.start()
    bound = False
    while careless.is_alive() and not bound:
        bound = is_bound(port)
    careless.join()
    assert bound, "the trick does not work"
    past_the_recogniser(text, "sdp")
    assert not is_bound(port)
    assert await in_the_jail(arena, text) == {"corrupt"}
    assert not is_bound(port)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("trick", INERT)
async def test_no_other_text_is_followed(arena: Arena, honeypot: Honeypot, trick: str) -> None:
    """Other playlists, patterns and addresses are no media."""
    text = INERT[trick].replace("127.0.0.1:9", f"127.0.0.1:{honeypot.port}")
    past_the_recogniser(text, trick if trick in {"dash", "srt", "ffmetadata"} else "hls")
    assert await in_the_jail(arena, text) == {"corrupt"}
    assert honeypot.seen() == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_playlist_before_real_packets_is_taken_for_packets(arena: Arena, honeypot: Honeypot) -> None:
    """A file that is both is read as MPEG-TS: its picture is seen, and nobody is called."""
    text = CALLS["hls in a TS"][1](f"http://127.0.0.1:{honeypot.port}/x.ts")
    both = text.encode() + make_segment(seconds=0.4)
    with pytest.raises(FFmpegError):
        av.open(io.BytesIO(both), format="hls", timeout=1)
    before = honeypot.seen()
    assert before, "the trick does not work"
    assert named(await arena.outcome(both)) == "sample"
    assert honeypot.seen() == before


@pytest.mark.asyncio(loop_scope="module")
async def test_an_mp4_that_refers_to_another_file_is_not_followed(arena: Arena, tmp_path: Path) -> None:
    """A data reference (``alis``) shows another file's pictures where FFmpeg is told to follow it."""
    other = tmp_path / "other.mp4"
    plain = make_segment(container="mp4", width=64, height=48, seconds=0.2, picture=flat(64, 48, RED))
    other.write_bytes(make_segment(container="mp4", width=64, height=48, seconds=0.2, picture=flat(64, 48, GREEN)))
    referring = with_reference(plain, b"alis", alias(str(other).encode()))
    followed = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(io.BytesIO(referring), format="mov", options=followed) as container:
        red, green, _ = next(container.decode(video=0)).to_ndarray(format="rgb24")[20, 20]
    assert green > red, "the trick does not work"
    result = await arena.outcome(referring)
    assert named(result) in {"corrupt", "no_keyframe"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", [b"url ", b"urn ", b"rsrc"])
async def test_an_mp4_that_refers_to_an_address_calls_nobody(arena: Arena, honeypot: Honeypot, kind: bytes) -> None:
    """A data reference with an address is not followed either."""
    plain = make_segment(container="mp4", width=64, height=48, seconds=0.2)
    body = f"http://127.0.0.1:{honeypot.port}/x.mp4\0".encode()
    await arena.outcome(with_reference(plain, kind, body))
    assert honeypot.seen() == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_matroska_file_carries_along_is_not_opened(arena: Arena, honeypot: Honeypot) -> None:
    """Attachments, linked segments and subtitles with names that are addresses are only names."""
    url = f"http://127.0.0.1:{honeypot.port}/x".encode()
    element = crafted.element
    info = element(bytes.fromhex("1549a966"), element(b"\x3e\x83\xbb", url), element(b"\x3e\xb9\x23", b"\1" * 16))
    file = element(b"\x61\xa7", element(b"\x46\x6e", url), element(b"\x46\x60", b"font/ttf"), element(b"\x46\x5c", url))
    names = element(b"\xd7", b"\2"), element(b"\x73\xc5", b"\2"), element(b"\x83", b"\x11")
    subtitle = element(crafted.TRACK, *names, element(b"\x86", b"S_TEXT/ASS"), element(b"\x3b\x40\x40", url))
    tracks = element(crafted.TRACKS, crafted.track(), subtitle)
    data = crafted.webm(info, tracks, element(crafted.ATTACHMENTS, file), crafted.cluster(crafted.block(bytes(50))))
    assert named(await arena.outcome(data)) in {"corrupt", "no_keyframe"}
    assert honeypot.seen() == []


def with_reference(mp4: bytes, kind: bytes, body: bytes) -> bytes:
    """The MP4 with its one data reference replaced (ISO/IEC 14496-12, 8.7.2)."""
    entry = crafted.box(kind, bytes(4), body)
    dref = crafted.full(b"dref", b"\0\0\0\1", entry)
    return crafted.replaced(mp4, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), dref)


def alias(path: bytes) -> bytes:
    """A Macintosh alias record of an absolute path, as FFmpeg's ``mov_read_dref`` reads it."""
    path += b"\0" * (len(path) & 1)
    return bytes(150) + struct.pack(">HH", 2, len(path)) + path + struct.pack(">HH", 0xFFFF, 0)


def free_even_port() -> int:
    """A UDP port that nobody uses now; RTP wants an even one."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
        if port % 2 == 0:
            return port


def is_bound(port: int) -> bool:
    """Whether anybody on this machine listens on a UDP port."""
    lines = Path("/proc/self/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return any(int(line.split()[1].split(":")[1], 16) == port for line in lines)
