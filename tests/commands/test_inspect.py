"""What the worker sees in a file."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console
from support import cards, media
from support.kafka import ROOT

from worker.commands.inspect import inspect, lines, show
from worker.errors import Stopped, UsageError
from worker.examine import examine
from worker.hashing import hamming
from worker.inspection import most_keyframes
from worker.records import Ask, ReportedMatch, View
from worker.settings.tree import Fetch, Matching, Scoring, Settings

if TYPE_CHECKING:
    from pathlib import Path

DEMO = Scoring(model=str(ROOT / "models" / "demo"))
EVERY = Ask(content_type=None, interval_s=0.0, max_keyframes=100, view=None, max_pixels=10**7, max_streams=8)
NOTHING_NAMED = Settings()


def written(folder: Path, data: bytes, name: str = "clip") -> Path:
    """A file."""
    path = folder / name
    path.write_bytes(data)
    return path


def look(path, settings=NOTHING_NAMED, *, init=None, plan=False):
    """Look at a file."""
    return inspect(settings, path, init=init, plan=plan)


def clip(**more) -> bytes:
    """Three seconds with a keyframe a second."""
    return media.make_segment(**{"seconds": 3.0, "gop": 25, "width": 160, "height": 96, **more})


def test_each_keyframe_is_one_json_object_as_the_contract_has_it(tmp_path):
    """Time from the first frame, PDQ as hex, quality, scores, matches and size; nothing else."""
    data = clip(start_s=10.0)
    frames = examine(data, None, EVERY).frames
    found = [msgspec.json.decode(line) for line in lines(look(written(tmp_path, data)))]
    assert found == [
        {
            "media_time_s": pytest.approx(at),
            "pdq": frame.hash.pdq.hex(),
            "quality": frame.hash.quality,
            "scores": None,
            "matches": [],
            "width": 160,
            "height": 96,
        }
        for at, frame in zip((0.0, 1.0, 2.0), frames, strict=True)
    ]
    assert all(list(each) == list(found[0]) for each in found)
    assert len(found[0]["pdq"]) == 64


def test_a_frame_without_detail_has_no_hash(tmp_path):
    """Null, never a hash that says nothing."""
    data = clip(picture=media.flat(160, 96))
    (first, *_) = lines(look(written(tmp_path, data)))
    assert msgspec.json.decode(first)["pdq"] is None
    assert msgspec.json.decode(first)["quality"] < 50


def test_a_turned_picture_is_seen_as_it_is_displayed(tmp_path):
    """Its sides are exchanged."""
    seen = look(written(tmp_path, clip(container="mp4", rotation=90)))
    assert {(k.width, k.height) for k in seen.keyframes} == {(96, 160)}


def test_the_classifier_scores_each_keyframe(tmp_path):
    """The demo model sees its card, and nothing in the picture without one."""
    card, calm = cards.card(96, 160), cards.harmless(96, 160, 1)
    assert scored(tmp_path, card)["card"].probability > 0.9
    assert scored(tmp_path, calm)["card"].probability < 0.1


def scored(folder: Path, picture):
    """The demo model's scores of a clip that shows one picture."""
    data = clip(picture=lambda _: picture)
    return look(written(folder, data), Settings(scoring=DEMO)).keyframes[0].scores


def known(folder: Path, pdq: str, **more: str) -> Matching:
    """A hash list of one hash."""
    folder.mkdir()
    head = {"name": "known", "version": "1", "algorithm": "pdq", "kind": "review", "severity": "high"} | more
    (folder / "list.toml").write_text("radius = 31\n" + "".join(f'{key} = "{value}"\n' for key, value in head.items()))
    (folder / "a.txt").write_text(pdq + "\n")
    return Matching(lists=(str(folder),))


def test_matches_are_told_by_list_entry_and_distance(tmp_path):
    """A frame matches its own hash."""
    path = written(tmp_path, clip())
    pdq = look(path).keyframes[0].pdq
    seen = look(path, Settings(matching=known(tmp_path / "list", pdq)))
    assert seen.keyframes[0].matches == (ReportedMatch(list="known", entry="a:1", distance=0),)


def test_a_block_match_is_not_scored_as_in_the_worker(tmp_path):
    """It goes before the classifier; a review match is scored all the same."""
    path = written(tmp_path, clip())
    pdq = look(path).keyframes[0].pdq
    block, review = (
        look(path, Settings(scoring=DEMO, matching=known(tmp_path / kind, pdq, kind=kind))).keyframes[0].scores
        for kind in ("block", "review")
    )
    assert block is None
    assert set(review) == {"harmless", "card"}


def test_the_plan_takes_what_the_worker_would_take(tmp_path):
    """With an interval of two seconds, every second keyframe."""
    path = written(tmp_path, clip())
    assert [k.media_time_s for k in look(path, plan=True).keyframes] == pytest.approx([0.0, 2.0])


def test_an_initialisation_serves_a_cmaf_segment(tmp_path):
    """Given beside it, or in one file with it; without one the line says so."""
    init, (first, *_) = media.make_cmaf(width=160, height=96)
    fragment, whole = written(tmp_path, first, "1.m4s"), written(tmp_path, init + first, "whole.mp4")
    beside = look(fragment, init=written(tmp_path, init, "init.mp4"))
    assert beside.keyframes == look(whole).keyframes
    with pytest.raises(Stopped, match=r"1\.m4s: no_init: "):
        look(fragment)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "corrupt: the bytes are neither MPEG-TS nor MP4 nor WebM"),
        (b"random bytes" * 100, "corrupt: the bytes are neither MPEG-TS nor MP4 nor WebM"),
        (media.make_segment(codec="mpeg2"), "unsupported_codec: "),
        (media.make_audio(), "there is no video in it"),
        (media.without_keyframes(media.make_segment()), "there is no keyframe in it"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, data, says):
    """The file, and what its dead letter would say."""
    path = written(tmp_path, data)
    with pytest.raises(Stopped) as told:
        look(path)
    assert str(told.value).startswith(f"{path}: {says}")
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    """With its path."""
    with pytest.raises(Stopped, match=r"nothing\.mp4: No such file or directory$"):
        look(tmp_path / "nothing.mp4")


def test_a_file_above_the_limit_is_refused_before_it_is_read_whole(tmp_path):
    """The limit is the worker's own, and the line names its setting."""
    path = written(tmp_path, b"")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(Stopped, match=r"is larger than 1000 bytes \(fetch.max_bytes\)"):
        look(path, Settings(fetch=Fetch(max_bytes=1000)))


def test_mistakes_in_model_and_lists_are_told_as_such(tmp_path):
    """They are mistakes in use, not in the file."""
    path = written(tmp_path, clip())
    with pytest.raises(UsageError, match="nowhere"):
        look(path, Settings(matching=Matching(lists=("nowhere.txt",))))
    with pytest.raises(UsageError, match="nowhere"):
        look(path, Settings(scoring=Scoring(model="nowhere")))
    with pytest.raises(UsageError, match="--init"):
        look(path, init=tmp_path / "nowhere.mp4")


def shown(seen, width=200) -> str:
    """As a person sees it."""
    console = Console(file=io.StringIO(), width=width)
    show(seen, console)
    return console.file.getvalue()


def test_a_person_sees_container_keyframes_and_costs(tmp_path):
    """Every step that was done has its cost."""
    path = written(tmp_path, clip())
    pdq = look(path).keyframes[0].pdq
    text = shown(look(path, Settings(scoring=DEMO, matching=known(tmp_path / "list", pdq))))
    assert "mpegts, h264, 3.00 s, 3 keyframes" in text
    assert pdq in text
    assert "known: a:1, 0 bits" in text
    assert "card 0.000" in text
    for step in ("decode keyframes", "PDQ", "scale for the classifier", "through the jail", "match hash", "score"):
        assert step in text


def test_a_narrow_terminal_shows_the_start_of_each_hash(tmp_path):
    """Time, size and quality stay readable in 80 columns."""
    seen = look(written(tmp_path, clip()), Settings(scoring=DEMO))
    text = shown(seen, width=80)
    assert f"{seen.keyframes[0].pdq[:16]}…" in text
    for cell in ("1.000", "160x96", "harmless 1.000", "card 0.000"):
        assert cell in text


def test_names_from_lists_are_shown_as_text(tmp_path):
    """No markup, no escape sequence of theirs reaches the terminal."""
    seen = look(written(tmp_path, clip()))
    match = ReportedMatch(list="[bold]x[/]", entry="\x1b[31mred", distance=3)
    seen = replace(seen, keyframes=(replace(seen.keyframes[0], matches=(match,)),))
    text = shown(seen)
    assert "[bold]x[/]" in text
    assert "\x1b" not in text
    assert "3 keyframes (2 not looked at)" in text


def test_every_reply_fits_the_decoders_slot():
    """As many keyframes as there is room for, whatever the classifier's size."""
    views = [None, *(View(height=side, width=side, fit="stretch") for side in (64, 224, 448, 1024))]
    most = [most_keyframes(view) for view in views]
    assert most == sorted(most, reverse=True)
    assert most[0] == 10_000
    assert most[2] > 1700
    assert most[-1] > 80


def test_known_videos_have_the_hashes_that_others_published(shared_media):
    """ThreatExchange's vPDQ samples: each keyframe within 8 bits of the published hash of the frame at its time."""
    clips = sorted((shared_media / "known-video").glob("*.mp4"))
    assert clips
    for path in clips:
        rows = [line.split(",") for line in path.with_suffix(".txt").read_text().split()]
        published = {round(float(at), 3): bytes.fromhex(pdq) for _, _, pdq, at in rows}
        for keyframe in look(path).keyframes:
            at = min(published, key=lambda time, keyframe=keyframe: abs(time - keyframe.media_time_s))
            assert abs(at - keyframe.media_time_s) < 0.002
            assert hamming(bytes.fromhex(keyframe.pdq), published[at]) <= 8


def framewatch(*arguments) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "worker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_writes_json_for_programs(tmp_path):
    """A line a keyframe on standard output and nothing else, with the model and the lists that its flags name."""
    path = written(tmp_path, clip())
    pdq = look(path).keyframes[0].pdq
    folder = known(tmp_path / "list", pdq).lists[0]
    done = framewatch("inspect", "--json", "--model", DEMO.model, "--list", folder, "--list", folder + "/a.txt", path)
    first, *others = map(msgspec.json.decode, done.stdout.splitlines())
    assert (done.returncode, done.stderr, len(others)) == (0, "", 2)
    assert {match["list"] for match in first["matches"]} == {"known", "a"}
    assert first["pdq"] == pdq
    assert set(others[1]) == {"media_time_s", "pdq", "quality", "scores", "matches", "width", "height"}


def test_the_command_ends_with_1_and_a_line_when_nothing_can_be_read(tmp_path):
    """Nothing on standard output, no traceback."""
    done = framewatch("inspect", written(tmp_path, b"random bytes" * 100), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "corrupt" in done.stderr


def test_the_command_ends_with_2_after_a_mistake_in_use(tmp_path):
    """A list that is not there is no fault of the file."""
    done = framewatch("inspect", written(tmp_path, clip()), "--list", tmp_path / "nothing.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing.txt" in done.stderr
