"""How people get pictures out of a segment today: each way as its own documentation shows it, and the obvious options.

A recipe takes a segment and gives 224x224 RGB arrays, uint8; and where a hash is wanted the full RGB pictures too,
since that is what ``pdqhash`` takes. Whatever has no sense of a buffer gets a file in memory (``/dev/shm``).

Each recipe names what it follows. None of them knows Framewatch.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

SIDE = 224
"""Pixels, of the model's input."""
Rgb = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Clip:
    """A segment, an initialisation before it if it has one."""

    data: bytes
    file: Path
    """The same bytes."""
    width: int
    height: int
    full: bool
    """Whether full pictures are wanted as well, for a hash."""


@dataclass
class Found:
    """What a recipe gives."""

    inputs: list[Rgb] = field(default_factory=list)
    """(224, 224, 3)."""
    full: list[Rgb] = field(default_factory=list)
    """(height, width, 3); none where no hash is wanted."""


Recipe = Callable[[Clip], Found]


def _from_frames(frames: Iterator[Any], clip: Clip) -> Found:
    """PyAV's frames: one conversion for the model, and one to a full picture where it is wanted."""
    found = Found()
    for frame in frames:
        found.inputs.append(frame.to_ndarray(format="rgb24", width=SIDE, height=SIDE))
        if clip.full:
            found.full.append(frame.to_ndarray(format="rgb24"))
    return found


def _from_bgr(pictures: Iterator[Rgb], clip: Clip) -> Found:
    """OpenCV's pictures: its own resize, which is quicker before the colours are turned round than after."""
    found = Found()
    for picture in pictures:
        small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        found.inputs.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
        if clip.full:
            found.full.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return found


# --- keyframes only ---------------------------------------------------------------------------------------------------


def pyav_tutorial(clip: Clip) -> Found:
    """PyAV, Cookbook, Basics, "Saving Keyframes": ``skip_frame = "NONKEY"``, and decode to the end."""
    with av.open(io.BytesIO(clip.data)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        return _from_frames(container.decode(stream), clip)


def pyav_tuned(clip: Clip) -> Found:
    """The same with what its reference offers: no threads ("Threading"), no demuxing past the first picture."""
    with av.open(io.BytesIO(clip.data)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.skip_frame = "NONKEY"
        return _from_frames(iter([next(container.decode(stream))]), clip)


def cv2_first(clip: Clip) -> Found:
    """OpenCV, "Getting Started with Videos": ``VideoCapture(file)`` and ``read()``, the first picture only."""
    capture = cv2.VideoCapture(str(clip.file))
    try:
        there, picture = capture.read()
        return _from_bgr(iter([picture] if there else []), clip)
    finally:
        capture.release()


def ffmpeg_keyframes(clip: Clip) -> Found:
    """FFmpeg's command line: ``-skip_frame nokey`` (ffmpeg-codecs), raw pictures through a pipe (ffmpeg-formats)."""
    return _ffmpeg(clip, before=("-skip_frame", "nokey"), filters=(), after=("-fps_mode", "passthrough"))


def decord_first(clip: Clip) -> Found:
    """Decord, README, "VideoReader": ``VideoReader(file, ctx=cpu(0))[0]``; scaled by its reader where that will do."""
    import decord  # noqa: PLC0415 - a recipe's own package

    if clip.full:
        return _from_bgr(iter([decord.VideoReader(str(clip.file), ctx=decord.cpu(0))[0].asnumpy()[..., ::-1]]), clip)
    return Found([decord.VideoReader(str(clip.file), ctx=decord.cpu(0), width=SIDE, height=SIDE)[0].asnumpy()])


# --- a picture a second -----------------------------------------------------------------------------------------------


def pyav_every(clip: Clip) -> Found:
    """PyAV, "Basic Demo": ``container.decode(video=0)``, and of all pictures the first of each second."""
    with av.open(io.BytesIO(clip.data)) as container:
        return _from_frames(_first_of_seconds(container), clip)


def _first_of_seconds(container: Any) -> Iterator[Any]:
    due: float | None = None
    for frame in container.decode(video=0):
        if due is None or frame.time >= due:
            due = frame.time + 1.0
            yield frame


def cv2_read(clip: Clip) -> Found:
    """OpenCV, "Getting Started with Videos": ``read()`` in a loop, and of all pictures every ``CAP_PROP_FPS``-th."""
    return _cv2_each_second(clip, skip=lambda capture: capture.read()[0])


def cv2_grab(clip: Clip) -> Found:
    """The same with ``grab()`` for what is left out, as the reference of ``VideoCapture`` offers: no conversion."""
    return _cv2_each_second(clip, skip=lambda capture: capture.grab())


def _cv2_each_second(clip: Clip, *, skip: Callable[[Any], bool]) -> Found:
    capture = cv2.VideoCapture(str(clip.file))
    try:
        step = max(1, round(capture.get(cv2.CAP_PROP_FPS)))
        return _from_bgr(_every(step, lambda: capture.read()[1], lambda: skip(capture)), clip)
    finally:
        capture.release()


def _every(step: int, read: Callable[[], Any], skip: Callable[[], Any]) -> Iterator[Rgb]:
    """Read one, leave out ``step - 1``, and so on to the end."""
    while True:
        picture = read()
        if picture is None or picture is False:
            return
        yield picture
        for _ in range(step - 1):
            if skip() is False:
                return


def ffmpeg_each_second(clip: Clip) -> Found:
    """FFmpeg's command line: ``-vf fps=1`` (ffmpeg-filters, "fps"), rounding so that each second's first picture comes.

    With its default, ``round=near``, the middle of each second comes instead, and what all others find is not found.
    """
    return _ffmpeg(clip, before=(), filters=("fps=1:round=up",), after=())


def scenedetect_opencv(clip: Clip) -> Found:
    """PySceneDetect, "VideoStream": ``open_video(file)`` and ``read()``, with ``decode=False`` for what is left out."""
    return _scenedetect(clip, "opencv")


def scenedetect_pyav(clip: Clip) -> Found:
    """The same with its other reader: ``open_video(file, backend="pyav")``."""
    return _scenedetect(clip, "pyav")


def _scenedetect(clip: Clip, backend: str) -> Found:
    import scenedetect  # noqa: PLC0415 - a recipe's own package

    video = scenedetect.open_video(str(clip.file), backend=backend)
    step = max(1, round(float(video.frame_rate)))
    return _from_bgr(_every(step, video.read, lambda: video.read(decode=False)), clip)


def decord_each_second(clip: Clip) -> Found:
    """Decord, README: ``get_batch([0, fps, …])``."""
    import decord  # noqa: PLC0415 - a recipe's own package

    size = {} if clip.full else {"width": SIDE, "height": SIDE}
    video = decord.VideoReader(str(clip.file), ctx=decord.cpu(0), **size)
    batch = video.get_batch(range(0, len(video), round(video.get_avg_fps()))).asnumpy()
    return _from_bgr(iter(batch[..., ::-1]), clip) if clip.full else Found(list(batch))


def vpdq_loop(clip: Clip) -> Found:
    """The loop of vPDQ (``filehasher.cpp``: ``hashVideoFile`` at its default of a hash a second), with PyAV for libav.

    The package itself comes as source that builds against FFmpeg's headers. Its loop decodes each frame and turns those
    whose number is a multiple of the frame rate into full RGB, whatever is made of them then.
    """
    found = Found()
    with av.open(str(clip.file)) as container:
        step = max(1, int(container.streams.video[0].average_rate or 1))
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                rgb = frame.to_ndarray(format="rgb24")
                found.inputs.append(cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
                found.full += [rgb] if clip.full else []
    return found


# --- FFmpeg's command line --------------------------------------------------------------------------------------------


def ffmpeg_program() -> str:
    """The static build that ``imageio-ffmpeg`` carries: no Debian package is quicker."""
    import imageio_ffmpeg  # noqa: PLC0415 - a recipe's own package

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _ffmpeg(clip: Clip, *, before: tuple[str, ...], filters: tuple[str, ...], after: tuple[str, ...]) -> Found:
    """Pictures of one size come out: the model's, or full ones where they are wanted."""
    width, height = (clip.width, clip.height) if clip.full else (SIDE, SIDE)
    chain = [*filters, *([] if clip.full else [f"scale={SIDE}:{SIDE}"])]
    command = [
        ffmpeg_program(), "-nostdin", "-loglevel", "error", *before, "-i", str(clip.file), "-an",
        *(["-vf", ",".join(chain)] if chain else []), *after, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1",
    ]  # fmt: skip
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    pictures = list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))
    if not clip.full:
        return Found(pictures)
    return Found([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in pictures], pictures)


RECIPES: dict[str, Recipe] = {
    "pyav": pyav_tutorial,
    "pyav-tuned": pyav_tuned,
    "cv2-first": cv2_first,
    "ffmpeg-keyframes": ffmpeg_keyframes,
    "decord-first": decord_first,
    "pyav-1fps": pyav_every,
    "cv2-1fps": cv2_read,
    "cv2-grab-1fps": cv2_grab,
    "ffmpeg-1fps": ffmpeg_each_second,
    "scenedetect-opencv-1fps": scenedetect_opencv,
    "scenedetect-pyav-1fps": scenedetect_pyav,
    "decord-1fps": decord_each_second,
    "vpdq-1fps": vpdq_loop,
}
FROM_MEMORY = {pyav_tutorial, pyav_tuned, pyav_every}
"""Those that take the bytes; the others read the file."""
