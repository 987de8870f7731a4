"""What a stream's looks add up to, and when that opens, updates or closes an incident."""

from __future__ import annotations

from math import isclose, log
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import risk
from worker.policy import read
from worker.policy.records import LabelRule, ListRule, RiskRule
from worker.records import Decision, EventId, FrameHash, Look, Placed, Score, StreamRisk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random
    from typing import Any

    from worker.policy.records import EffectivePolicy
    from worker.records import Segment

POLICY = read.default(harmless=["harmless"]).for_tenant(None)
RULE = POLICY.risk
CALM = StreamRisk()
REVIEW = a_match(list_kind="review", severity="medium")
ALLOW = a_match(list="slates", list_kind="allow")

probabilities = st.floats(0, 1)
offsets = st.sampled_from([0.0, 2.5]) | st.floats(0, 10)


def of(labels: dict[str, float], offset_s: float = 0.0) -> Look:
    """Return a look with these labels' probabilities."""
    scores = {label: Score(score=p, probability=p) for label, p in labels.items()}
    return Look(offset_s=offset_s, hash=FrameHash(pdq=None, quality=0), scores=scores)


def placed(
    *looks: Look, number: int = 0, seconds: float = 2.0, segment: Segment | None = None, **changes: Any
) -> Placed:
    """Return a fresh segment of these looks, by default watched whole."""
    assessment = an_assessment(
        segment or a_segment(number), looks=looks, duration_s=seconds, standing=changes.pop("standing", "fresh")
    )
    place = Placed(
        assessment=assessment,
        media_time_s=number * seconds,
        media_time_from="counted",
        elapsed_s=seconds,
        watched_s=seconds,
        gap_s=0.0,
        discontinuity=False,
    )
    return replace(place, **changes)


def play(
    segments: Iterable[Placed], state: StreamRisk = CALM, policy: EffectivePolicy = POLICY
) -> tuple[StreamRisk, list[Decision]]:
    """Let segments pass; return the risk after them and what was decided."""
    decisions = []
    for segment in segments:
        state, decision = risk.step(state, segment, START, policy)
        decisions += [decision] if decision else []
    return state, decisions


def steady(probability: float, count: int, first: int = 0) -> list[Placed]:
    """Return two-second segments with one look each at the same probability."""
    return [placed(a_look(probability=probability), number=first + number) for number in range(count)]


def opened(**changes: Any) -> StreamRisk:
    """Return the risk of a stream on which a block list has just matched."""
    state, decisions = play([placed(a_look(0.0, a_match(**changes), probability=None))])
    assert [decision.change for decision in decisions] == ["opened"]
    return state


# --- one look ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "nats"), [(0.0, -0.693), (0.01, -0.683), (0.5, 0.0), (0.99, 3.902), (1.0, 8.517)]
)
def test_a_probability_has_its_log_likelihood_ratio(probability: float, nats: float) -> None:
    """The formula gives log of R over the mixtures, and the base rate bounds it above."""
    assert risk.weighing.llr(probability, RULE) == pytest.approx(nats, abs=1e-3)


@given(probabilities, st.floats(0.01, 0.99), st.floats(1e-9, 0.009))
def test_the_ratio_lies_between_its_bounds(probability: float, share: float, base_rate: float) -> None:
    """Whatever the policy, no look is worth more than log(q/b) or less than log((1-q)/(1-b))."""
    rule = RiskRule(share=share, base_rate=base_rate)
    nats = risk.weighing.llr(probability, rule)
    assert log((1 - share) / (1 - base_rate)) - 1e-9 <= nats <= log(share / base_rate) + 1e-9


@pytest.mark.parametrize("probability", [float("nan"), -0.1, 1.1, float("inf")])
def test_what_is_no_probability_never_becomes_a_risk(probability: float) -> None:
    """A number outside 0 to 1 is refused, for it would stay in the sum for good."""
    with pytest.raises(ValueError, match="within 0 and 1"):
        risk.step(CALM, placed(a_look(probability=probability)), START, POLICY)


def test_of_several_labels_the_largest_counts() -> None:
    """Labels of one look are not independent: the second adds a reason, not risk."""
    one, _ = play([placed(of({"card": 0.99}))])
    two, _ = play([placed(of({"card": 0.99, "dots": 0.9}))])
    assert one.value == two.value
    found = risk.evidence(placed(of({"card": 0.9, "dots": 0.99, "lines": 0.4})), POLICY)
    assert [item.label for item in found] == ["dots", "card"]


def test_harmless_labels_and_those_of_weight_zero_never_count() -> None:
    """Neither as evidence nor as quiet, which the other labels decide."""
    policy = replace(POLICY, labels={"logo": LabelRule(weight=0.0)})
    look = of({"harmless": 1.0, "logo": 1.0})
    assert play([placed(look)], policy=policy)[0].value == 0.0
    assert risk.evidence(placed(look), policy) == ()
    falling, _ = play([placed(of({"card": 0.01, "logo": 1.0}))], StreamRisk(value=5.0), policy)
    assert falling.value < play([placed(look)], StreamRisk(value=5.0), policy)[0].value


def test_a_label_weighs_what_the_policy_says() -> None:
    """Its weight is a factor on the nats."""
    policy = replace(POLICY, labels={"card": LabelRule(weight=0.5)})
    assert risk.evidence(placed(a_look(probability=0.99)), policy)[0].weight == pytest.approx(3.902 / 2, abs=1e-3)


def test_evidence_is_bounded_and_keeps_known_material_first() -> None:
    """However many labels lean our way, a block list's match is not crowded out."""
    labels = of({f"label-{n}": 0.9 for n in range(500)})
    found = risk.evidence(placed(labels, a_look(1.0, REVIEW), a_look(1.5, a_match())), POLICY)
    assert len(found) == 64
    assert [item.match and item.match.list_kind for item in found[:3]] == ["block", "review", None]


def test_a_block_match_leads_whatever_a_review_list_weighs() -> None:
    """A policy may let a review match weigh as much as the cap; the block list's comes first all the same."""
    policy = replace(POLICY, lists={"seen": ListRule(weight=100.0)})
    found = risk.evidence(placed(a_look(0.0, replace(REVIEW, list="seen"), a_match())), policy)
    assert [(item.match and item.match.list_kind, item.weight) for item in found] == [("block", 24.0), ("review", 24.0)]


# --- the sum ----------------------------------------------------------------------------------------------------------


@given(st.floats(0, 24), st.lists(st.tuples(offsets, probabilities), max_size=6), st.randoms())
def test_the_order_in_which_looks_are_given_does_not_matter(
    value: float, seen: list[tuple[float, float]], random: Random
) -> None:
    """They count in the order of their time, and those of one time in one order."""
    looks = [a_look(offset_s, probability=p) for offset_s, p in seen]
    shuffled = random.sample(looks, len(looks))
    state = StreamRisk(value=value)
    one, two = (play([placed(*order, seconds=10.0)], state)[0] for order in (looks, shuffled))
    assert (one.value, one.peak, one.quiet_s) == (two.value, two.peak, two.quiet_s)


@given(st.floats(0, 24), st.lists(probabilities, min_size=1, max_size=8), st.data())
def test_more_score_never_means_less_risk(value: float, seen: list[float], data: st.DataObject) -> None:
    """Raising any look's probability leaves the risk where it was or higher."""
    which = data.draw(st.integers(0, len(seen) - 1))
    higher = list(seen)
    higher[which] = data.draw(st.floats(seen[which], 1))
    values = [
        play(
            [placed(*(a_look(float(n), probability=p) for n, p in enumerate(each)), seconds=8.0)],
            StreamRisk(value=value),
        )
        for each in (seen, higher)
    ]
    assert values[0][0].value <= values[1][0].value + 1e-12
    assert values[0][0].peak <= values[1][0].peak + 1e-12


@given(st.floats(0, 24), st.floats(0, 3600))
def test_watching_without_evidence_only_lowers(value: float, watched_s: float) -> None:
    """Time never adds risk, and halves it in a half life."""
    after, _ = play([placed(seconds=watched_s)], StreamRisk(value=value, peak=value))
    assert after.value == pytest.approx(value * 0.5 ** (watched_s / RULE.half_life_s), abs=1e-300)
    assert after.value <= value


@given(st.floats(0, 24), probabilities, st.floats(0, 1e6))
def test_time_that_nobody_watched_decays_nothing(value: float, probability: float, elapsed_s: float) -> None:
    """Jumps, gaps and late segments leave the sum as it was: late evidence counts now and undecayed."""
    late = placed(a_look(probability=probability), elapsed_s=elapsed_s, watched_s=0.0, gap_s=elapsed_s, standing="late")
    after, _ = play([late], StreamRisk(value=value))
    assert after.value == min(RULE.cap, max(0.0, value + risk.weighing.llr(probability, RULE)))
    assert after.quiet_s == 0.0


@given(st.lists(st.lists(st.tuples(offsets, probabilities), max_size=4), max_size=20))
def test_the_value_stays_within_its_bounds(segments: list[list[tuple[float, float]]]) -> None:
    """Never below 0 and never above the cap."""
    state = CALM
    for number, seen in enumerate(segments):
        looks = [a_look(offset_s, probability=p) for offset_s, p in seen]
        state, _ = risk.step(state, placed(*looks, number=number, seconds=10.0), START, POLICY)
        assert 0.0 <= state.trusted <= RULE.cap
        assert 0.0 <= state.value <= state.peak <= RULE.cap


def test_the_cap_holds_however_long_it_goes_on() -> None:
    """An hour of the worst leaves no more to come down from than a minute of it."""
    minute, hour = (play(steady(1.0, count))[0] for count in (30, 1800))
    assert minute.peak == hour.peak == RULE.cap
    assert minute.value == hour.value


@given(st.lists(st.lists(st.tuples(offsets, probabilities), max_size=4), max_size=20))
def test_a_replay_gives_the_same(segments: list[list[tuple[float, float]]]) -> None:
    """The same segments give the same risk and the same decisions, ids and revisions included."""
    stream = [
        placed(*(a_look(offset_s, probability=p) for offset_s, p in seen), number=number, seconds=10.0)
        for number, seen in enumerate(segments)
    ]
    assert play(stream) == play(stream)


@given(st.floats(0, 24), st.lists(probabilities, min_size=2, max_size=6), st.data())
def test_cutting_a_segment_in_two_at_a_look_changes_nothing(
    value: float, seen: list[float], data: st.DataObject
) -> None:
    """The time from a look to the next is that look's, in whichever segment it stands."""
    cut = data.draw(st.integers(1, len(seen) - 1))
    looks = [a_look(2.0 * n, probability=p) for n, p in enumerate(seen)]
    later = [replace(look, offset_s=look.offset_s - 2.0 * cut) for look in looks[cut:]]
    state = StreamRisk(value=value)
    whole, _ = play([placed(*looks, seconds=2.0 * len(looks))], state)
    halves, _ = play(
        [placed(*looks[:cut], seconds=2.0 * cut), placed(*later, number=1, seconds=2.0 * len(later))], state
    )
    assert isclose(whole.value, halves.value, rel_tol=1e-9, abs_tol=1e-12)
    assert isclose(whole.quiet_s, halves.quiet_s, rel_tol=1e-9, abs_tol=1e-9)


@given(offsets, st.floats(0, 20))
def test_offsets_beyond_the_duration_share_the_watched_time_all_the_same(offset_s: float, watched_s: float) -> None:
    """A container that lies about its length can't stretch or shorten what decays."""
    segment = placed(a_look(offset_s, probability=None), seconds=1.0, watched_s=watched_s)
    after, _ = play([segment], StreamRisk(value=10.0))
    span_s = max(1.0, offset_s)
    assert span_s > 0
    assert after.value == pytest.approx(10.0 * 0.5 ** (watched_s / RULE.half_life_s))


# --- opening ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 0.01), min_size=1, max_size=64), st.floats(0.04, 10))
def test_a_stream_that_stays_low_never_opens(seen: list[float], every_s: float) -> None:
    """Looks at 0.01 or less leave the risk at 0, so that no number of them opens anything."""
    stream = [placed(a_look(probability=p), number=n, seconds=every_s) for n, p in enumerate(seen)]
    assert play(stream) == (replace(CALM, quiet_s=play(stream)[0].quiet_s), [])


@given(st.lists(st.floats(0.99, 1), min_size=4, max_size=4), st.lists(st.floats(0.04, 4), min_size=3, max_size=3))
def test_a_stream_that_stays_high_opens_with_the_fourth_look(seen: list[float], every_s: list[float]) -> None:
    """At 0.99 or more, also where the sampling plan leaves out every second keyframe: within 12 s of media."""
    stream = [
        placed(a_look(probability=p), number=n, seconds=s)
        for n, (p, s) in enumerate(zip(seen, [*every_s, 2.0], strict=True))
    ]
    assert sum(every_s) <= 12
    assert [decision.change for decision in play(stream)[1]][:1] == ["opened"]


@given(st.floats(0.04, 2), st.floats(2, 12), st.floats(0.99, 1))
def test_a_stream_that_stays_high_opens_within_12_s_of_media(
    every_s: float, segment_s: float, probability: float
) -> None:
    """However its keyframes are cut into segments, the look that opens it is at 12 s or before."""
    count = int(12 / every_s) + 1
    times = [n * every_s for n in range(count) if n * every_s <= 12]
    stream = []
    for number in range(int(12 / segment_s) + 1):
        begins = number * segment_s
        inside = [time - begins for time in times if begins <= time < begins + segment_s]
        stream.append(placed(*(a_look(at, probability=probability) for at in inside), number=number, seconds=segment_s))
    assert "opened" in [decision.change for decision in play(stream)[1]]


@pytest.mark.parametrize("probability", [0.999, 1.0])
def test_a_lone_look_never_opens(probability: float) -> None:
    """However sure the classifier is, one picture of an otherwise harmless stream is not enough."""
    stream = [*steady(0.01, 3), placed(a_look(probability=probability), number=3), *steady(0.01, 30, first=4)]
    assert play(stream)[1] == []


def test_an_opening_says_what_it_is_for() -> None:
    """It carries the thresholds, the risk, the reasons, severity and time to respond of the policy."""
    state, (decision,) = play(steady(0.99, 4))
    assert state.incident == decision.incident
    assert (decision.severity, decision.action, decision.respond_within_s) == ("high", "limit", 900.0)
    assert decision.risk.value > decision.open_above == RULE.open_above
    assert [(item.kind, item.label, item.look) for item in decision.evidence] == [("label", "card", 0)]
    assert decision.incident.revision == 1
    assert decision.incident.opened_at == START


def test_an_opening_is_told_though_the_segment_ends_low() -> None:
    """What crossed the threshold within a long segment has crossed it."""
    looks = [a_look(2.0 * n, probability=p) for n, p in enumerate([0.99] * 4 + [0.01] * 20)]
    state, (decision,) = play([placed(*looks, seconds=48.0)])
    assert decision.change == "opened"
    assert state.value < RULE.open_above < state.peak


def test_an_incident_is_named_by_its_stream_and_the_event_that_opened_it() -> None:
    """The same fact twice has the same id; another stream, source or event has another."""
    ids = [
        risk.incident_id(stream, EventId(source=source, id=event))
        for stream, source, event in [
            ("s", "a", "1"),
            ("t", "a", "1"),
            ("s", "b", "1"),
            ("s", "a", "2"),
            ("s", "a1", ""),
        ]
    ]
    assert len(set(ids)) == 5
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)
    _, (decision,) = play(steady(0.99, 4))
    assert decision.incident.incident_id == risk.incident_id("stream-1", EventId(source="/packager/1", id="event-3"))


@pytest.mark.parametrize("test", [True, False])
def test_an_incident_that_a_test_segment_opens_is_a_test(test: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """And no other."""
    _, (decision,) = play([placed(a_look(0.0, a_match()), segment=a_segment(0, test=test))])
    assert decision.incident.test is test


def test_a_test_to_which_a_real_segment_adds_is_no_test_any_more() -> None:
    """Nobody may overlook the real thing because a canary ran before it."""
    state, _ = play([placed(a_look(0.0, a_match()), segment=a_segment(0, test=True))])
    assert play([placed(a_look(), number=1)], state)[1] == []
    _, (decision,) = play([placed(a_look(probability=0.99), number=1)], state)
    assert (decision.change, decision.incident.test) == ("updated", False)


# --- known material ---------------------------------------------------------------------------------------------------


@given(st.floats(0, 24), probabilities, st.booleans(), st.booleans(), st.sampled_from(["late", "fresh", "restarted"]))
def test_a_block_match_opens_at_once(
    value: float,
    probability: float,
    video: bool,  # noqa: FBT001 - drawn
    allowed: bool,  # noqa: FBT001 - drawn
    standing: str,
) -> None:
    """Whatever the risk was, whatever else the look shows, late or not, and no allow list cancels it."""
    matches = (ALLOW, a_match(video=video)) if allowed else (a_match(video=video),)
    looks = (a_look(0.0, *matches, probability=probability), a_look(1.0, probability=0.0))
    _, decisions = play([placed(*looks, standing=standing)], StreamRisk(value=value))
    assert [decision.change for decision in decisions] == ["opened"]
    assert decisions[0].severity == "critical"
    assert (decisions[0].action, decisions[0].respond_within_s) == ("stop", 300.0)
    assert decisions[0].incident.kinds[0] == ("known_video" if video else "known_image")
    assert decisions[0].risk.peak == RULE.cap


def test_a_policy_may_grade_a_lists_matches_otherwise() -> None:
    """Severity and category come from the policy where it has them, else from the list."""
    rule = ListRule(severity="low", category="ours", policy_ref="7.2")
    policy = replace(POLICY, lists={"demo": rule})
    _, (decision,) = play([placed(a_look(0.0, a_match()))], policy=policy)
    found = decision.evidence[0]
    assert (decision.severity, found.category, found.policy_ref) == ("low", "ours", "7.2")


def test_a_lone_review_match_adds_and_two_open() -> None:
    """It is evidence of the policy's weight, and the same picture on two lists is seen once."""
    look = a_look(0.0, REVIEW, replace(REVIEW, list="other"), probability=None)
    state, decisions = play([placed(look)])
    assert decisions == []
    assert state.value == pytest.approx(8.0 * 0.5 ** (2 / 60))
    assert play([placed(look), placed(look, number=1)])[1][0].severity == "medium"


def test_a_look_that_an_allow_list_knows_counts_neither_for_nor_against() -> None:
    """Its labels are no evidence and its time neither decays nor is quiet: as though nobody had looked."""
    before = StreamRisk(value=3.0, peak=3.0, quiet_s=7.0)
    assert play([placed(a_look(0.0, ALLOW, probability=1.0))], before)[0] == before
    assert play([placed(a_look(0.0, ALLOW, probability=0.0))], before)[0] == before


def test_a_review_match_counts_beside_an_allow_match() -> None:
    """Known material is never suppressed."""
    assert play([placed(a_look(0.0, REVIEW, ALLOW, probability=1.0))])[0].value == 8.0


def test_a_second_match_of_the_same_kind_and_severity_is_no_news() -> None:
    """An open incident is not updated for each keyframe of the same clip."""
    assert play([placed(a_look(0.0, a_match()), number=1)], opened())[1] == []


# --- trust ------------------------------------------------------------------------------------------------------------


def test_sources_that_may_only_route_never_suggest_an_action() -> None:
    """They open an incident and call people, labels and lists alike."""
    policy = replace(POLICY, other_labels=LabelRule(trust="route"), lists={"demo": ListRule(trust="route")})
    for stream in (steady(0.99, 4), [placed(a_look(0.0, a_match()))], [placed(a_look(0.0, REVIEW))] * 2):
        _, decisions = play(stream, policy=policy)
        assert [(decision.change, decision.action) for decision in decisions] == [("opened", "none")]


def test_an_action_needs_enough_evidence_from_trusted_sources() -> None:
    """A trusted look on top of a pile of untrusted ones suggests nothing until trusted ones alone would open."""
    policy = replace(POLICY, labels={"weak": LabelRule(trust="route", severity="critical")})
    piled = [placed(of({"weak": 0.99, "card": 0.01}), number=n) for n in range(3)]
    alone = [placed(of({"weak": 0.01, "card": 0.99}), number=n) for n in range(3, 8)]
    _, decisions = play([*piled, *alone], policy=policy)
    assert [(decision.change, decision.severity, decision.action) for decision in decisions] == [
        ("opened", "critical", "none"),
        ("updated", "critical", "limit"),
    ]


def test_an_action_is_as_grave_as_its_trusted_evidence() -> None:
    """A grave source that may only route makes the incident grave, not the action."""
    policy = replace(POLICY, labels={"weak": LabelRule(trust="route", severity="critical")})
    _, (decision,) = play([placed(of({"weak": 0.99, "card": 0.99}), number=n) for n in range(4)], policy=policy)
    assert (decision.severity, decision.action) == ("critical", "limit")


def test_trusted_evidence_is_forgotten_like_any_other() -> None:
    """What was seen an hour ago suggests no action now."""
    policy = replace(POLICY, labels={"weak": LabelRule(trust="route")})
    before = [*steady(0.99, 3), placed(number=3, seconds=3600.0)]
    after = [placed(of({"weak": 0.99, "card": p}), number=4 + n) for n, p in enumerate([0.01, 0.01, 0.01, 0.99])]
    assert [decision.action for decision in play([*before, *after], policy=policy)[1]] == ["none"]


# --- updates ----------------------------------------------------------------------------------------------------------


def test_an_incident_is_updated_when_the_severity_rises() -> None:
    """And only then: more of the same is no news."""
    policy = replace(POLICY, labels={"card": LabelRule(severity="medium")})
    state, _ = play(steady(0.99, 4), policy=policy)
    assert play(steady(0.99, 5, first=4), state, policy)[1] == []
    _, (decision,) = play([placed(of({"card": 0.99, "dots": 0.99}), number=4)], state, policy)
    assert (decision.change, decision.severity, decision.incident.revision) == ("updated", "high", 2)


def test_a_severity_never_falls() -> None:
    """An incident stays as grave as its gravest evidence."""
    calm, _ = play(steady(0.01, 40, first=1), opened())
    assert (calm.value, calm.severity) == (0.0, None)
    after, decisions = play(steady(0.99, 3, first=41), calm)
    assert [decision.severity for decision in decisions] == ["critical"]
    assert after.incident is not None
    assert after.incident.severity == "critical"


def test_the_severity_remembers_the_segments_before() -> None:
    """Evidence in the sum counts for the severity though the segment that crosses has none of it."""
    policy = replace(POLICY, labels={"dots": LabelRule(severity="critical")})
    stream = [placed(of({"dots": 0.99, "card": 0.01})), *steady(0.99, 3, first=1)]
    assert [decision.severity for decision in play(stream, policy=policy)[1]] == ["critical"]


def test_the_severity_forgets_what_the_risk_has_forgotten() -> None:
    """Once the risk was 0, what was grave before it says nothing of what comes after."""
    policy = replace(POLICY, labels={"dots": LabelRule(severity="critical")})
    stream = [placed(of({"dots": 0.99})), *steady(0.01, 20, first=1), *steady(0.99, 4, first=21)]
    assert [(decision.severity, decision.action) for decision in play(stream, policy=policy)[1]] == [("high", "limit")]


def test_evidence_without_substance_sets_no_severity() -> None:
    """A label that hardly leans our way can't make an incident critical."""
    policy = replace(POLICY, labels={"dots": LabelRule(severity="critical")})
    stream = [placed(of({"card": 0.99, "dots": 0.6}), number=n) for n in range(4)]
    assert [decision.severity for decision in play(stream, policy=policy)[1]] == ["high"]


def test_weak_evidence_opens_with_its_own_severity() -> None:
    """Where nothing in the sum is of substance, the weightiest of the segment that crosses decides."""
    policy = replace(POLICY, other_labels=LabelRule(severity="low"))
    assert [decision.severity for decision in play(steady(0.7, 60), policy=policy)[1]] == ["low"]


def test_an_incident_is_updated_when_a_new_kind_of_reason_appears() -> None:
    """A label after a known picture, a known video after a lone frame."""
    state = opened()
    assert play([placed(a_look(probability=0.6), number=1)], state)[1] == []
    state, (first,) = play([placed(a_look(probability=0.99), number=1)], state)
    assert first.incident.kinds == ("known_image", "label")
    _, (second,) = play([placed(a_look(0.0, a_match(video=True)), number=2)], state)
    assert (second.change, second.incident.kinds) == ("updated", ("known_image", "label", "known_video"))


# --- closing ----------------------------------------------------------------------------------------------------------


def test_an_incident_closes_after_watched_quiet() -> None:
    """Not before, once, as quiet; its last message has its peak, and the stream begins anew."""
    stream = steady(0.01, 200, first=1)
    state, decisions = play(stream, opened())
    assert [(decision.change, decision.closed_why) for decision in decisions] == [("closed", "quiet")]
    assert decisions[0].risk.peak == RULE.cap
    assert decisions[0].incident.revision == 2
    assert (state.incident, state.peak) == (None, 0.0)
    below = next(n for n in range(200) if play(stream[:n], opened())[0].value < RULE.close_below)
    took = next(n for n in range(200) if play(stream[:n], opened())[1])
    assert RULE.quiet_s <= 2 * (took - below) + 2 <= RULE.quiet_s + 4


def test_quiet_without_a_classifier_closes_by_forgetting_alone() -> None:
    """Where only hash lists look, the half life brings the risk down from the cap in bounded time."""
    stream = [placed(a_look(probability=None), number=n) for n in range(1, 200)]
    _, decisions = play(stream, opened())
    assert [decision.closed_why for decision in decisions] == ["quiet"]
    assert play(stream[:136], opened())[1] == []
    assert play(stream[:139], opened())[1] != []


def test_evidence_begins_the_quiet_afresh() -> None:
    """A look that lifts the risk to the lower threshold again ends the quiet, however long it was."""
    state, _ = play(steady(0.01, 60, first=1), opened())
    assert state.quiet_s > 0
    assert play([placed(a_look(probability=1.0), number=70)], state)[0].quiet_s == 0.0
    assert play([placed(a_look(probability=1.0), watched_s=0.0, standing="late")], state)[0].quiet_s == 0.0


def test_gaps_are_not_quiet() -> None:
    """An hour that nobody watched closes nothing."""
    gaps = [placed(number=n, elapsed_s=3600.0, watched_s=0.0, gap_s=3600.0) for n in range(1, 50)]
    state, decisions = play(gaps, opened())
    assert decisions == []
    assert state.value == opened().value


def test_news_goes_before_a_close() -> None:
    """A grave look in a segment that then is quiet for long is told; the close follows with the next segment."""
    policy = replace(POLICY, labels={"dots": LabelRule(severity="critical")})
    state, _ = play(steady(0.99, 4), policy=policy)
    long = placed(of({"dots": 0.99}), number=5, seconds=1000.0)
    _, decisions = play([long, placed(a_look(), number=6)], state, policy)
    assert [(decision.change, decision.severity) for decision in decisions] == [
        ("updated", "critical"),
        ("closed", "critical"),
    ]


@given(st.lists(st.tuples(probabilities, st.sampled_from([0.0, 2.0, 30.0, 200.0]), st.integers(0, 30)), max_size=60))
def test_hysteresis_never_flaps(stream: list[tuple[float, float, int]]) -> None:
    """Between two openings lies a close; before each close its quiet; revisions count up; ids never come again."""
    segments = [
        placed(a_look(0.0, *([a_match()] if chance == 0 else []), probability=p), number=n, seconds=s)
        for n, (p, s, chance) in enumerate(stream)
    ]
    state, ids, revision = CALM, [], 0
    for segment in segments:
        watching = state
        state, decision = risk.step(state, segment, START, POLICY)
        if decision is None:
            assert state.incident == watching.incident
            continue
        assert (decision.change == "opened") is (watching.incident is None)
        revision = 1 if decision.change == "opened" else revision + 1
        assert decision.incident.revision == revision
        if decision.change == "opened":
            ids.append(decision.incident.incident_id)
            assert decision.risk.peak > RULE.open_above
        if decision.change == "closed":
            assert state.value < RULE.close_below
            assert decision.risk.quiet_s >= RULE.quiet_s
    assert len(set(ids)) == len(ids)


def test_a_lower_threshold_of_a_new_policy_opens_nothing_without_evidence() -> None:
    """What lies above it from before waits for a look that adds to it: an incident has a reason."""
    low = replace(POLICY, risk=RiskRule(open_above=6.0))
    state, _ = play(steady(0.99, 2))
    assert play([placed(number=3)], state, low)[1] == []
    assert [
        len(decision.evidence) for decision in play([placed(a_look(probability=0.6), number=3)], state, low)[1]
    ] == [1]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["ended", "idle"])
def test_the_end_closes_an_incident(why: Any) -> None:
    """In one message that says both: no longer live, closed."""
    state, _ = play(steady(0.99, 4))
    after, decision = risk.end(state, POLICY, why=why)
    assert decision is not None
    assert (decision.change, decision.closed_why, decision.incident.live) == ("closed", why, False)
    assert decision.incident.revision == 2
    assert after.incident is None
    assert risk.end(after, POLICY, why=why) == (after, None)


def test_a_critical_incident_stays_open_after_the_end() -> None:
    """It is updated once, for nobody has reviewed it."""
    after, decision = risk.end(opened(), POLICY, why="ended")
    assert decision is not None
    assert (decision.change, decision.closed_why, decision.incident.live) == ("updated", None, False)
    assert after.incident == decision.incident
    assert risk.end(after, POLICY, why="idle") == (after, None)


def test_a_segment_after_the_end_makes_an_incident_live_again() -> None:
    """A late one does not."""
    after, _ = risk.end(opened(), POLICY, why="ended")
    assert play([placed(a_look(), number=1, watched_s=0.0, standing="late")], after)[1] == []
    _, (decision,) = play([placed(a_look(), number=1)], after)
    assert (decision.change, decision.incident.live, decision.incident.revision) == ("updated", True, 3)


def test_after_an_end_a_new_incident_needs_new_evidence() -> None:
    """What was told is not told again: the risk is at the lower threshold, and the new incident has its own id."""
    state, (first,) = play(steady(0.99, 6))
    state, _ = risk.end(state, POLICY, why="ended")
    assert state.value == RULE.close_below
    assert play([placed(a_look(probability=0.99), number=6)], state)[1] == []
    _, (second,) = play(steady(0.99, 4, first=6), state)
    assert second.change == "opened"
    assert second.incident.incident_id != first.incident.incident_id


def test_an_end_without_an_incident_forgets_nothing() -> None:
    """Nobody washes a stream clean by ending it every few seconds."""
    state, _ = play(steady(0.99, 3))
    assert risk.end(state, POLICY, why="ended") == (state, None)
