"""The values that labels can have: the contract's names, and our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from worker.errors import Stage
    from worker.records import Outcome

ERRORS: dict[Stage, tuple[str, ...]] = {
    "wire": (
        "missing_header",
        "bad_header",
        "bad_key",
        "unknown_type",
        "no_body",
        "body_and_dataref",
        "too_large",
    ),
    "fetch": ("outside_roots", "not_found", "refused", "bad_digest", "bad_size", "too_large", "no_init"),
    "decode": (
        "container_mismatch",
        "unsupported_codec",
        "encrypted",
        "corrupt",
        "too_many_pixels",
        "too_many_streams",
        "timeout",
        "crashed",
        "out_of_memory",
    ),
    "score": ("model_failed",),
}
"""The contract's dead letters: stage to errors."""

WHYS: dict[Outcome, tuple[str, ...]] = {
    "assessed": ("late", "restarted", "partial", "hurried"),
    "skipped": ("no_video", "no_keyframe", "repeat", "plan"),
    "shed": ("lateness", "overload"),
}
"""The contract's reasons for an outcome; a dead letter's are its errors."""

JAIL_LEVELS = ("full", "partial", "none")
STEPS = ("fetch", "decode", "open", "hash", "resize", "match", "score")
KEYFRAME_STEPS = ("seen", "looked", "hashed", "scored")
TOPICS = ("escalations", "dead_letters", "risk", "assessments")
"""The topics that results leave to, by their settings' names."""
CAUSES = (
    "timeout",
    "cancelled",
    "hostile_reply",
    "slow_start",
    "signal",
    "forbidden_call",
    "exit",
    "out_of_memory",
    "zygote_lost",
    "decode_error",
    "failed",
    "worn",
    "start",
)
"""Why a decoder process ended (``worker.jail.events``)."""

Unwatched = Literal[
    "missing", "fetch", "decode", "score", "no_video", "no_keyframe", "plan", "lateness", "overload", "unmeasured"
]
"""Why media was not watched: its segments never came (a gap in the numbers), it failed at a step, it was skipped or
shed and why, or an assessed segment had fewer looks than its length asks for (``overload``: since only its first
keyframe was looked at)."""
UNWATCHED: tuple[Unwatched, ...] = get_args(Unwatched)

Unready = Literal["joining", "halted", "parked", "failing", "restoring", "held"]
"""Why a worker does not do its work now, as ``/readyz`` says in words."""
UNREADY: tuple[Unready, ...] = get_args(Unready)
