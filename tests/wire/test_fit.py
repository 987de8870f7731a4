"""Cutting an incident down to a message's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from worker.wire.fit import fit

if TYPE_CHECKING:
    from worker.records import Incident


def size(part: object) -> int:
    """Return how many bytes something has in JSON."""
    return len(msgspec.json.encode(part))


def offsets(incident: Incident) -> list[int]:
    """Return which segments are to be preserved."""
    return [segment.offset for segment in incident.preserve.segments]


def test_an_incident_that_fits_is_left_alone(incident: Incident) -> None:
    """Down to the very byte."""
    assert fit(incident, size(incident)) is incident


def test_the_oldest_segments_go_first_and_never_a_reason_s(incident: Incident) -> None:
    """The reasons point at segments 3 to 6: those stay, the rest goes from the oldest on; the span stays."""
    fitted = fit(incident, size(incident) - 2000)
    left = offsets(fitted)
    assert left[:4] == [3, 4, 5, 6]
    assert left[4:] == list(range(left[4], 60))
    assert left[4] > 7
    assert fitted.reasons == incident.reasons
    assert (fitted.preserve.from_, fitted.preserve.until) == (incident.preserve.from_, incident.preserve.until)


def test_then_go_the_lightest_reasons_but_never_the_heaviest_of_a_kind(incident: Incident) -> None:
    """One reason of each kind is what a reviewer needs at least."""
    told = replace(incident, preserve=replace(incident.preserve, segments=incident.preserve.segments[3:7]))
    one_gone = fit(incident, size(told) + 100)
    assert [reason.weight for reason in one_gone.reasons] == [3.0, 5.0, 9]
    assert offsets(one_gone) == [3, 4, 5, 6]
    two_gone = fit(incident, size(replace(told, reasons=told.reasons[:2])) + 100)
    assert [reason.weight for reason in two_gone.reasons] == [5.0, 9]


def test_the_explanation_says_what_went(incident: Incident) -> None:
    """A reader is never left to believe that this is all."""
    fitted = fit(incident, size(incident) - 2000)
    gone = 60 - len(offsets(fitted))
    note = f" Left out to fit a message: {gone} of 60 segments to preserve."
    assert fitted.explanation == incident.explanation + note
    bare = replace(incident, preserve=replace(incident.preserve, segments=()), reasons=incident.reasons[:2])
    note = " Left out to fit a message: 58 of 60 segments to preserve, 2 of 4 reasons."
    assert fit(incident, size(bare) + 800).explanation == incident.explanation + note


def test_a_long_explanation_loses_its_end_last(incident: Incident) -> None:
    """What went is told even then."""
    fitted = fit(replace(incident, explanation="é" * 50_000), 20_000)
    assert size(fitted) <= 20_000
    assert fitted.explanation.startswith("é" * 7000)
    assert fitted.explanation.endswith("2 of 4 reasons.")
    only = fit(
        replace(incident, explanation="x" * 50_000, reasons=(), preserve=replace(incident.preserve, segments=())),
        20_000,
    )
    assert only.explanation.endswith("Left out to fit a message: the rest of this explanation.")


def test_every_size_is_kept_or_refused(incident: Incident) -> None:
    """From the whole size down there is no step at which it comes out too large."""
    for most in range(size(incident), 0, -97):
        try:
            assert size(fit(incident, most)) <= most
        except ValueError as error:
            assert "inc-1" in str(error)  # noqa: PT017  # only the smallest sizes are refused, which is asserted below
            break
    assert most < 3500


def test_what_has_to_stay_may_be_too_large(incident: Incident) -> None:
    """Nothing is sent that a reviewer couldn't use."""
    with pytest.raises(ValueError, match="can't be told in 500 bytes"):
        fit(incident, 500)
