"""Outcomes and their reasons in words a lead reads without the contract at hand."""

from __future__ import annotations

WORDS: dict[tuple[str, str | None], str] = {
    ("assessed", None): "looked at",
    ("assessed", "late"): "looked at, though it came after newer ones",
    ("assessed", "restarted"): "looked at; its stream began to count anew",
    ("assessed", "partial"): "looked at as far as it could be read; the rest is damaged",
    ("assessed", "hurried"): "its first keyframe looked at, the others left out because it came late",
    ("skipped", "no_video"): "has no video in it",
    ("skipped", "no_keyframe"): "has no keyframe in it",
    ("skipped", "repeat"): "was here before, the very same bytes",
    ("skipped", "plan"): "left out by the sampling plan",
    ("shed", "lateness"): "left out because it came too late",
    ("shed", "overload"): "left out because there was too much to do",
    ("dead_lettered", "missing_header"): "the event lacks a header",
    ("dead_lettered", "bad_header"): "a header of the event can't be read",
    ("dead_lettered", "bad_key"): "the event names no stream",
    ("dead_lettered", "unknown_type"): "an event of a type nobody knows",
    ("dead_lettered", "no_body"): "the event has no video and says not where it is",
    ("dead_lettered", "body_and_dataref"): "the event has video and also says that it is elsewhere",
    ("dead_lettered", "too_large"): "larger than allowed",
    ("dead_lettered", "outside_roots"): "refers to a place that is not allowed",
    ("dead_lettered", "not_found"): "what it refers to is not there",
    ("dead_lettered", "refused"): "the store refuses what it refers to",
    ("dead_lettered", "bad_digest"): "the bytes are not the ones that were announced",
    ("dead_lettered", "bad_size"): "the bytes are not as many as were announced",
    ("dead_lettered", "no_init"): "lacks the initialisation that it needs",
    ("dead_lettered", "container_mismatch"): "is another container than it says",
    ("dead_lettered", "unsupported_codec"): "a video codec that is not decoded",
    ("dead_lettered", "encrypted"): "is encrypted",
    ("dead_lettered", "corrupt"): "is damaged",
    ("dead_lettered", "too_many_pixels"): "its picture is larger than allowed",
    ("dead_lettered", "too_many_streams"): "has more tracks than allowed",
    ("dead_lettered", "timeout"): "decoding took too long",
    ("dead_lettered", "crashed"): "the decoder died of it",
    ("dead_lettered", "out_of_memory"): "decoding took too much memory",
    ("dead_lettered", "model_failed"): "the classifier failed on it",
}


def in_words(outcome: str, why: str | None) -> str:
    """Return what an outcome for this reason means; the names themselves where nobody has written it down."""
    return WORDS.get((outcome, why)) or (why or outcome).replace("_", " ")
