"""The brief: what is decided of an incident, and what can never be decided by others."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.brief import (
    AMBIGUOUS_TAG,
    MALICIOUS_TAG,
    MAX_TAGS,
    Findings,
    comment_id,
    merged_actors,
    write_brief,
)
from mdti.incident_models import (
    Brief,
    EarlierDescription,
    Exposure,
    FileHash,
    HashMatch,
    Incident,
    IncidentStatus,
    LeftOut,
    Severity,
)
from mdti.models import Actor, ActorRef, Evidence, Gap, Lookup, Reputation
from mdti.settings import Settings
from tests.builders import AT, actor, host, profile, seen
from tests.render.samples import HOSTILE, empty_lookup

ID = "/subscriptions/0000/resourceGroups/rg-sec/providers/Microsoft.SecurityInsights/Incidents/69a3"
AQUA, PLAID = "Aqua Blizzard", "Plaid Rain"
PROFILES = {one.id: one for one in (profile(AQUA, summary="Who it is."), profile(PLAID))}
SHA256 = FileHash("SHA256", "c" * 64)


def found(who: str, *, escalate: bool = True, **fields: Any) -> Actor:
    """Return an actor that a look-up of seed.example named."""
    ref = actor(who)
    path = (seen("seed.example", "203.0.113.1"),)
    item = Evidence(ref, host("203.0.113.1"), "intelProfile", who, None, path, weight=0.9)
    made = Actor(who, (), ref.profile_id, "high", 0.9, escalate, (item,), qualifies=True)
    return replace(made, **fields)


def rival(who: str) -> Actor:
    """Return an actor that qualifies and does not stand out."""
    return found(who, escalate=False)


def weak(who: str) -> Actor:
    return found(who, escalate=False, qualifies=False, confidence="low", score=0.2)


def looked_up(*actors: Actor, seed: str = "seed.example", score: int | None = 0) -> Lookup:
    reputation = None if score is None else Reputation(score, "unknown", ())
    return replace(empty_lookup(), seed=host(seed), actors=actors, reputation=reputation)


def incident(**fields: Any) -> Incident:
    made = Incident(ID, 4711, "Beacon", "Medium", "New", AT, (), (host("seed.example"),), (), ())
    return replace(made, **fields)


def brief(
    *lookups: Lookup,
    about: Incident | None = None,
    environment: dict[str, str] | None = None,
    **fields: Any,
) -> Brief:
    findings = Findings(
        incident=about or incident(),
        lookups=lookups,
        **{"profiles": PROFILES, "earlier": {}, **fields},
    )
    return write_brief(findings, settings=Settings(environment or {}).brief)


@pytest.mark.parametrize(
    ("number", "title", "subject"),
    [(4711, "Beacon", "4711: Beacon"), (None, "Beacon", "Beacon"), (7, "", "7"), (None, "", "")],
)
def test_a_brief_carries_the_number_and_title(number: int | None, title: str, subject: str) -> None:
    assert brief(about=incident(number=number, title=title)).subject == subject


# --- severity and status --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("Informational", "High", "High"),
        ("Low", "Medium", "Medium"),
        ("High", "Low", "High"),
        ("High", "Informational", "High"),
        ("Medium", "Medium", "Medium"),
    ],
)
def test_severity_only_goes_up(before: Severity, wanted: str, after: Severity) -> None:
    made = brief(
        looked_up(found(AQUA)),
        about=incident(severity=before),
        environment={"BRIEF_SEVERITY": wanted},
    )
    assert (made.raises, made.severity) == (True, after)


@pytest.mark.parametrize(
    ("before", "setting", "after"),
    [("New", "Active", "Active"), ("New", "keep", "New"), ("Active", "keep", "Active"),
     ("Active", "Active", "Active"), ("Closed", "Active", "Closed")],
)  # fmt: skip
def test_an_incident_becomes_active_and_is_never_reopened(
    before: IncidentStatus, setting: str, after: IncidentStatus
) -> None:
    made = brief(
        looked_up(found(AQUA)),
        about=incident(status=before),
        environment={"BRIEF_STATUS": setting},
    )
    assert made.status == after


@pytest.mark.parametrize("actors", [(), (weak(AQUA),), (rival(AQUA),)])
def test_an_incident_without_an_actor_that_escalates_is_left_as_it_is(
    actors: tuple[Actor, ...],
) -> None:
    made = brief(looked_up(*actors))
    assert (made.raises, made.severity, made.status, made.tags) == (False, "Medium", "New", ())
    assert made.copilot_prompts == ()
    assert made.comment is not None


def test_a_closed_incident_gets_a_comment_and_nothing_else() -> None:
    made = brief(looked_up(found(AQUA), score=100), about=incident(status="Closed"))
    assert (made.raises, made.severity, made.status) == (False, "Medium", "Closed")
    assert (made.tags, made.copilot_prompts) == ((), ())
    assert made.comment is not None
    assert "closed and stays as it is" in made.comment.html
    assert AQUA in made.comment.html


@pytest.mark.parametrize("by_caller", [True, False])
def test_observing_changes_nothing_and_says_what_would_have_been(by_caller: bool) -> None:
    made = brief(
        looked_up(found(AQUA), score=100),
        about=incident(observe=by_caller),
        environment={} if by_caller else {"BRIEF_MODE": "observe"},
    )
    assert made.mode == "observe"
    assert (made.raises, made.severity, made.status) == (False, "Medium", "New")
    assert (made.tags, made.copilot_prompts) == ((), ())
    assert made.comment is not None
    assert "Severity would be High" in made.comment.html


# --- tags -----------------------------------------------------------------------------------------


def test_tags_are_the_titles_of_the_profiles_that_escalate() -> None:
    made = brief(looked_up(found(AQUA), rival(PLAID), found("Night Owl", profile_id=None)))
    assert made.tags == (AQUA,)
    prefixed = brief(looked_up(found(AQUA)), environment={"BRIEF_TAG_PREFIX": "actor:"})
    assert prefixed.tags == (f"actor:{AQUA}",)


def test_at_most_five_actors_are_tagged_the_strongest() -> None:
    many = [found(f"Actor {n}", score=0.9 - n / 100) for n in range(9)]
    made = brief(looked_up(*many))
    assert made.tags == tuple(f"Actor {n}" for n in range(MAX_TAGS))


def test_several_that_qualify_raise_the_incident_and_none_of_them_is_tagged() -> None:
    made = brief(looked_up(rival(AQUA), rival(PLAID), score=100))
    assert (made.raises, made.severity, made.status) == (True, "High", "Active")
    assert made.tags == (AMBIGUOUS_TAG,)
    assert [prompt.actor for prompt in made.copilot_prompts] == [AQUA, PLAID]


def test_two_seeds_with_one_rival_each_are_not_ambiguous() -> None:
    made = brief(looked_up(rival(AQUA)), looked_up(rival(PLAID), seed="other.example"))
    assert (made.raises, made.tags) == (False, ())


@pytest.mark.parametrize(
    ("score", "tags"), [(75, (MALICIOUS_TAG,)), (74, ()), (None, ()), (100, (MALICIOUS_TAG,))]
)
def test_a_malicious_seed_without_an_actor_is_tagged_and_not_raised(
    score: int | None, tags: tuple[str, ...]
) -> None:
    made = brief(looked_up(), looked_up(seed="bad.example", score=score))
    assert (made.tags, made.raises, made.severity) == (tags, False, "Medium")


# --- prompts --------------------------------------------------------------------------------------


def test_a_prompt_asks_about_the_profiles_title_with_the_profile_as_fallback() -> None:
    (prompt,) = brief(looked_up(found(AQUA))).copilot_prompts
    assert prompt.actor == AQUA
    assert AQUA in prompt.prompt
    assert "Threat Analytics" in prompt.prompt
    assert "Who it is." in prompt.fallback_html
    assert UUID(prompt.comment_id).version == 5


def test_only_actors_that_matter_and_that_a_profile_describes_are_asked_about() -> None:
    actors = (found(AQUA), rival(PLAID), weak("Actor X"), found("Night Owl", profile_id=None))
    made = brief(looked_up(*actors))
    assert [prompt.actor for prompt in made.copilot_prompts] == [AQUA, PLAID]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_no_more_prompts_than_the_setting_and_the_rest_gets_its_profile(limit: int) -> None:
    made = brief(
        looked_up(found(AQUA), found(PLAID)), environment={"COPILOT_MAX_PROMPTS": str(limit)}
    )
    assert len(made.copilot_prompts) == limit
    assert made.comment is not None
    assert ("Who it is." in made.comment.html) is (limit == 0)


def test_an_actor_described_lately_is_linked_to_and_not_asked_about() -> None:
    earlier = {profile(AQUA).id: EarlierDescription(AT - timedelta(days=2), "incident 4699")}
    unknown = {"other": EarlierDescription(AT, "incident 1")}
    made = brief(looked_up(found(AQUA), found(PLAID)), earlier={**earlier, **unknown})
    assert [prompt.actor for prompt in made.copilot_prompts] == [PLAID]
    assert made.comment is not None
    assert "incident 4699" in made.comment.html
    assert "incident 1<" not in made.comment.html


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_from_outside_reaches_a_prompt_but_the_profiles_title(hostile: str) -> None:
    item = replace(found(AQUA).evidence[0], text=hostile, url=hostile)
    calm = looked_up(found(AQUA))
    lookup = replace(
        calm,
        actors=(found(AQUA, evidence=(item,), aliases=(hostile,)),
                found(hostile, profile_id=None), found(hostile, profile_id=hostile)),
        gaps=(Gap(hostile, hostile),),
    )  # fmt: skip
    about = incident(title=hostile, labels=(hostile,), left_out=(LeftOut("Ip", hostile, hostile),))
    profiles = {
        one.id: replace(one, aliases=(hostile,), summary=hostile, targets=(hostile,))
        for one in PROFILES.values()
    }
    made = brief(
        lookup,
        about=about,
        profiles=profiles,
        exposure=(Exposure(hostile, hostile, 1, (hostile,)),),
    )
    prompts = [(one.actor, one.prompt, one.comment_id) for one in made.copilot_prompts]
    before = [(one.actor, one.prompt, one.comment_id) for one in brief(calm).copilot_prompts]
    assert prompts == before
    assert hostile not in made.tags or hostile == made.tags[-1]


# --- file hashes ----------------------------------------------------------------------------------


def test_a_file_hash_of_one_profile_is_as_good_as_direct_evidence() -> None:
    match = HashMatch(SHA256, (actor(AQUA),))
    made = brief(about=incident(hosts=(), hashes=(SHA256,)), hash_matches=(match,))
    (one,) = made.actors
    assert (one.name, one.confidence, one.score, one.escalate) == (AQUA, "high", 1.0, True)
    assert (made.raises, made.tags) == (True, (AQUA,))
    assert [prompt.actor for prompt in made.copilot_prompts] == [AQUA]


def test_a_file_hash_of_several_profiles_names_them_and_raises_nothing() -> None:
    match = HashMatch(SHA256, (actor(AQUA), ActorRef("Night Owl"), actor(PLAID)))
    made = brief(about=incident(hosts=(), hashes=(SHA256,)), hash_matches=(match,))
    assert [(one.name, one.score, one.confidence) for one in made.actors] == [
        (AQUA, 0.3333, "medium"),
        ("Night Owl", 0.3333, "medium"),
        (PLAID, 0.3333, "medium"),
    ]
    assert (made.raises, made.tags) == (False, ())


def test_actors_of_all_look_ups_and_hashes_are_merged_with_all_their_evidence() -> None:
    other = found(AQUA, score=0.5, confidence="medium", escalate=False, qualifies=False)
    elsewhere = replace(
        other, evidence=(replace(other.evidence[0], host=host("b.example"), weight=0.5),)
    )
    lookups = (looked_up(elsewhere), looked_up(weak(PLAID), found(AQUA)))
    match = HashMatch(SHA256, (actor(AQUA), actor(PLAID)))
    aqua, plaid = merged_actors(lookups, (match,), PROFILES)
    assert (aqua.name, aqua.score, aqua.confidence, aqua.escalate) == (AQUA, 0.9, "high", True)
    assert [item.host.value for item in aqua.evidence] == ["203.0.113.1", "b.example"]
    assert (plaid.score, plaid.confidence, plaid.escalate) == (0.5, "medium", False)
    assert merged_actors(lookups[::-1], (match,), PROFILES) == (aqua, plaid)


def test_actors_that_escalate_come_first_then_by_score_and_name() -> None:
    actors = (found("Zulu", escalate=False), found("Mike", score=0.4), found("Alpha", score=0.4))
    assert [one.name for one in merged_actors((looked_up(*actors),), (), {})] == [
        "Alpha", "Mike", "Zulu",
    ]  # fmt: skip


# --- comments -------------------------------------------------------------------------------------


def id_of(made: Brief) -> str:
    assert made.comment is not None
    return made.comment.id


def test_the_same_findings_get_the_same_id_whatever_their_times_order_and_cost() -> None:
    lookups = looked_up(found(AQUA), weak(PLAID)), looked_up(seed="other.example")
    first = id_of(brief(*lookups))
    later = [
        replace(one, at=one.at + timedelta(hours=5), stats=replace(one.stats, requests=99))
        for one in lookups
    ]
    assert id_of(brief(*later[::-1])) == first
    assert id_of(brief(*lookups, about=incident(id=ID.upper()))) == first
    assert UUID(first).version == 5


def test_new_findings_another_incident_and_another_mode_get_ids_of_their_own() -> None:
    ids = [
        id_of(brief(looked_up(found(AQUA)))),
        id_of(brief(looked_up(found(AQUA), found(PLAID)))),
        id_of(brief(looked_up(found(AQUA, escalate=False)))),
        id_of(brief(looked_up(found(AQUA, confidence="medium")))),
        id_of(brief(looked_up(found(AQUA, evidence=())))),
        id_of(brief(looked_up(found(AQUA), seed="b.example"))),
        id_of(brief(looked_up(found(AQUA)), looked_up(seed="b.example"))),
        id_of(brief(looked_up(found(AQUA)), about=incident(id=f"{ID}b"))),
        id_of(brief(looked_up(found(AQUA)), environment={"BRIEF_MODE": "observe"})),
        id_of(brief(looked_up(), hash_matches=(HashMatch(SHA256, ()),))),
        id_of(brief(looked_up())),
    ]
    assert len(set(ids)) == len(ids)


def test_an_incomplete_answer_without_an_actor_never_covers_a_good_brief() -> None:
    gap = Gap("passiveDns", "the API failed", host("seed.example"))
    good = brief(looked_up())
    bad = brief(replace(looked_up(), gaps=(gap,)))
    assert not bad.complete
    assert id_of(bad) != id_of(good)
    named = replace(looked_up(found(AQUA)), gaps=(gap,))
    assert id_of(brief(named)) == id_of(brief(looked_up(found(AQUA))))


def test_a_prompts_comment_has_one_id_for_incident_and_actor() -> None:
    (one,) = brief(looked_up(found(AQUA))).copilot_prompts
    (again,) = brief(looked_up(found(AQUA, score=0.8)), looked_up()).copilot_prompts
    (other,) = brief(looked_up(found(PLAID))).copilot_prompts
    assert one.comment_id == again.comment_id
    assert len({one.comment_id, other.comment_id, id_of(brief(looked_up(found(AQUA))))}) == 3


def test_nothing_to_look_up_makes_no_comment() -> None:
    left = (LeftOut("Ip", "10.0.0.4", "a private address"),)
    made = brief(about=incident(hosts=(), left_out=left))
    assert made.comment is None
    assert made.left_out == left
    assert made.complete


def test_gaps_of_the_brief_and_of_its_look_ups_are_told_once() -> None:
    gap, other = Gap("actorIndex", "too old"), Gap("walk", "the time was over")
    lookup = replace(looked_up(), gaps=(gap, other))
    made = brief(lookup, replace(lookup, seed=host("b.example")), gaps=(gap,))
    assert made.gaps == (gap, other)


def test_an_id_is_made_of_any_text() -> None:
    assert UUID(comment_id("\ud800", "brief", ["\udfff x"])).version == 5
    assert comment_id(ID, "brief", ["b", "a"]) == comment_id(ID, "brief", ["a", "b"])


# --- whatever was found ---------------------------------------------------------------------------

SEVERITIES: tuple[Severity, ...] = ("Informational", "Low", "Medium", "High")
STATUSES: tuple[IncidentStatus, ...] = ("New", "Active", "Closed")
ACTORS = st.lists(
    st.builds(
        lambda make, who: make(who),
        st.sampled_from((found, rival, weak)),
        st.sampled_from((AQUA, PLAID, "Actor 3", "Actor 4", "Actor 5", "Actor 6", "Actor 7")),
    ),
    max_size=7,
    unique_by=lambda one: one.name,
)


@settings(max_examples=120, deadline=None)
@given(
    actors=st.lists(ACTORS, min_size=1, max_size=2),
    severity=st.sampled_from(SEVERITIES),
    status=st.sampled_from(STATUSES),
    mode=st.sampled_from(("act", "observe")),
    target=st.sampled_from(SEVERITIES),
    score=st.sampled_from((0, 75)),
)
def test_the_rules_of_raising_hold_whatever_was_found(
    actors: list[list[Actor]],
    severity: Severity,
    status: IncidentStatus,
    mode: str,
    target: Severity,
    score: int,
) -> None:
    lookups = [looked_up(*some, seed=f"s{n}.example", score=score) for n, some in enumerate(actors)]
    made = brief(
        *lookups,
        about=incident(severity=severity, status=status),
        environment={"BRIEF_MODE": mode, "BRIEF_SEVERITY": target},
    )
    assert SEVERITIES.index(made.severity) >= SEVERITIES.index(severity)
    assert (made.status == "Closed") is (status == "Closed")
    assert len(made.tags) <= MAX_TAGS
    assert made.comment is not None
    assert len(made.comment.html) <= 30_000
    if mode == "observe" or status == "Closed":
        assert (made.raises, made.severity, made.status, made.tags) == (
            False, severity, status, (),
        )  # fmt: skip
        assert made.copilot_prompts == ()
    escalated = {one.name for one in made.actors if one.escalate}
    assert set(made.tags) <= escalated | {AMBIGUOUS_TAG, MALICIOUS_TAG}
    assert {prompt.actor for prompt in made.copilot_prompts} <= {AQUA, PLAID}
