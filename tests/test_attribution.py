"""From claims to actors: each weight, each rule of raising, and what can never happen."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.attribution import (
    STRENGTH,
    ambiguous,
    article_ids,
    attribute,
    rule_claims,
    worth_asking,
)
from mdti.chain import Graph, Path
from mdti.models import Actor, ActorRef, Article, Claim, EvidenceKind, Host, Role, Rule
from mdti.naming import ActorNames
from mdti.pruning import STOP_ROLES, Node
from tests.builders import AT, actor, ago, claim, host, profile, registrable, seen

SEED = "seed.example"
IP = "203.0.113.1"
OTHER_IP = "203.0.113.2"
THIRD_IP = "203.0.113.3"
NAMES = ActorNames.of(
    [profile("Aqua Blizzard", "ACTINIUM"), profile("Plaid Rain"), profile("Cobalt", kind="tool")]
)
AQUA, PLAID = "Aqua Blizzard", "Plaid Rain"


def path(*steps: str, days_ago: tuple[float, float] = (30, 2)) -> Path:
    return tuple(seen(queried, answer, days_ago=days_ago) for queried, answer in pairwise(steps))


def graph_of(
    *paths: Path,
    seed: str = SEED,
    roles: Mapping[str, Role] | None = None,
    cloud: Sequence[str] = (),
    last_seen: float | None = 2,
) -> Graph:
    """Return a walked graph: addresses are dedicated and names ordinary unless `roles` says else.

    Where no path goes on from an address, it is still a host of the graph.
    """
    reached: dict[Host, list[Path]] = {host(seed): [()]}
    for whole in paths:
        for length in range(1, len(whole) + 1):
            ways = reached.setdefault(whole[length - 1].answer, [])
            if whole[:length] not in ways:
                ways.append(whole[:length])
    chosen = {host(text): role for text, role in (roles or {}).items()}
    nodes = {
        one: Node(
            one,
            chosen.get(one, "dedicated" if one.is_address else "name"),
            cloud=one.value in cloud,
            last_seen=None if last_seen is None else ago(last_seen),
        )
        for one in reached
    }
    return Graph(AT, nodes, {host(seed): {one: tuple(ways) for one, ways in reached.items()}})


def actors_of(graph: Graph, claims: Mapping[str, Sequence[Claim]]) -> tuple[Actor, ...]:
    (seed,) = graph.paths
    known = {host(text): found for text, found in claims.items()}
    return attribute(graph, seed, known, names=NAMES, registrable=registrable)


def score(graph: Graph, claims: Mapping[str, Sequence[Claim]]) -> float:
    (one,) = actors_of(graph, claims)
    return one.score


STRAIGHT = path(SEED, IP, "a.test", OTHER_IP)


# --- weight ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "strength"),
    [("intelProfile", 1.0), ("reputationRule", 0.9), ("watchList", 0.8), ("article", 0.4)],
)
def test_each_kind_of_evidence_has_its_strength(kind: EvidenceKind, strength: float) -> None:
    assert STRENGTH[kind] == strength
    assert score(graph_of(), {SEED: [claim(AQUA, kind)]}) == strength


@pytest.mark.parametrize(
    ("where", "left"), [(SEED, 1.0), (IP, 0.9), ("a.test", 0.45), (OTHER_IP, 0.225)]
)
def test_distance_leaves_nine_tenths_and_then_half_each_hop(where: str, left: float) -> None:
    graph = graph_of(STRAIGHT)
    assert score(graph, {where: [claim(AQUA)]}) == left
    assert score(graph, {where: [claim(AQUA, "watchList")]}) == round(left * 0.8, 4)


def test_evidence_that_names_several_actors_is_shared_among_them() -> None:
    both = [claim(AQUA, naming=2, text="both"), claim(PLAID, naming=2, text="both")]
    found = actors_of(graph_of(STRAIGHT), {SEED: both})
    assert [(one.name, one.score) for one in found] == [(AQUA, 0.5), (PLAID, 0.5)]
    assert score(graph_of(), {SEED: [claim(AQUA, "watchList", naming=3)]}) == 0.2667


@pytest.mark.parametrize(
    ("role", "cloud", "left"),
    [
        ("dedicated", False, 0.45),
        ("cloud", True, 0.315),
        ("shared", False, 0.225),
        ("shared", True, 0.1575),
        ("unmeasured", False, 0.225),
    ],
)
def test_each_address_on_the_way_leaves_what_its_role_says(
    role: Role, cloud: bool, left: float
) -> None:
    graph = graph_of(STRAIGHT, roles={IP: role}, cloud=[IP] if cloud else [])
    assert score(graph, {"a.test": [claim(AQUA)]}) == left
    assert score(graph, {IP: [claim(AQUA)]}) == left * 2


def test_the_seed_itself_weakens_nothing() -> None:
    away = path(IP, "a.test", OTHER_IP)
    for role in ("shared", "hub", "cdn"):
        graph = graph_of(away, seed=IP, roles={IP: role})
        assert score(graph, {"a.test": [claim(AQUA)]}) == 0.9


@pytest.mark.parametrize("role", sorted(STOP_ROLES))
def test_nobody_is_named_for_a_host_that_carries_no_attribution(role: Role) -> None:
    graph = graph_of(STRAIGHT, roles={IP: role})
    assert actors_of(graph, {IP: [claim(AQUA)], "a.test": [claim(PLAID)]}) == ()


def test_of_several_paths_the_one_over_which_it_weighs_most_is_shown() -> None:
    weak, strong = path(SEED, IP, "a.test"), path(SEED, OTHER_IP, "a.test")
    graph = graph_of(weak, strong, roles={IP: "shared"})
    (one,) = actors_of(graph, {"a.test": [claim(AQUA)]})
    assert one.evidence[0].path == strong
    assert one.evidence[0].weight == 0.45
    assert one.evidence[0].hops == 2


@pytest.mark.parametrize(("left_days", "expected"), [(60, 0.9), (60.01, 0.09), (300, 0.09)])
def test_a_name_that_left_an_address_sixty_days_before_says_little_of_who_has_it(
    left_days: float, expected: float
) -> None:
    gone = path(IP, "a.test", days_ago=(400, left_days))
    assert score(graph_of(gone, seed=IP), {"a.test": [claim(AQUA)]}) == expected


def test_the_age_of_a_resolution_of_a_name_is_shown_and_not_scored() -> None:
    old = path(SEED, IP, days_ago=(400, 300))
    (one,) = actors_of(graph_of(old), {IP: [claim(AQUA)]})
    assert one.score == 0.9
    assert one.evidence[0].path[0].last == ago(300)


# --- score ----------------------------------------------------------------------------------------


def test_evidence_in_one_group_counts_once_with_its_strongest() -> None:
    claims = {
        "www.a.test": [claim(AQUA, "article"), claim(AQUA, "watchList")],
        "mail.a.test": [claim(AQUA, "article")],
    }
    graph = graph_of(path(SEED, IP, "www.a.test"), path(SEED, IP, "mail.a.test"))
    (one,) = actors_of(graph, claims)
    assert one.score == 0.36
    assert [item.weight for item in one.evidence] == [0.36, 0.18, 0.18]


def test_groups_join_as_independent_reasons_and_are_rounded_to_four_places() -> None:
    graph = graph_of(STRAIGHT, path(SEED, THIRD_IP))
    claims = {one: [claim(AQUA, "article")] for one in (IP, "a.test", OTHER_IP)}
    # 0.36, 0.18 and 0.09 in three groups: two addresses and a domain
    assert score(graph, claims) == round(1 - 0.64 * 0.82 * 0.91, 4) == 0.5224


def test_actors_come_strongest_first_and_among_equals_by_name() -> None:
    claims = {
        IP: [claim("Zulu"), claim("Alpha")],
        "a.test": [claim("Mike")],
        SEED: [claim("Last", "article")],
    }
    found = actors_of(graph_of(STRAIGHT), claims)
    assert [one.name for one in found] == ["Alpha", "Zulu", "Mike", "Last"]


def test_an_actor_carries_its_profiles_aliases_and_evidence_strongest_first() -> None:
    claims = {
        SEED: [claim(AQUA, "article")],
        IP: [claim(AQUA)],
        "a.test": [Claim(ActorRef("Night Owl"), "article", "t", "https://ti.example/a")],
    }
    aqua, owl = actors_of(graph_of(STRAIGHT), claims)
    assert (aqua.aliases, aqua.profile_id) == (("ACTINIUM",), profile(AQUA).id)
    assert [(item.host.value, item.kind) for item in aqua.evidence] == [
        (IP, "intelProfile"),
        (SEED, "article"),
    ]
    assert (owl.aliases, owl.profile_id) == ((), None)
    assert owl.evidence[0].url == "https://ti.example/a"


def test_a_claim_about_a_host_that_was_not_reached_says_nothing() -> None:
    assert actors_of(graph_of(), {"elsewhere.test": [claim(AQUA)]}) == ()


# --- raising: direct evidence ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "direct"),
    [("intelProfile", True), ("reputationRule", True), ("watchList", False), ("article", False)],
)
def test_what_a_profile_or_a_rule_says_of_the_seed_is_direct(
    kind: EvidenceKind, direct: bool
) -> None:
    # The rival keeps the claim from standing out, so only direct evidence can escalate.
    claims = {SEED: [claim(AQUA, kind)], IP: [claim(PLAID)]}
    aqua = next(one for one in actors_of(graph_of(STRAIGHT), claims) if one.name == AQUA)
    assert aqua.escalate is direct
    assert (aqua.confidence == "high") is (direct or aqua.score >= 0.7)


def test_if_any_actor_is_direct_exactly_the_direct_ones_escalate() -> None:
    shared = [claim(AQUA, naming=9, text="t"), claim(PLAID, naming=9, text="t")]
    found = actors_of(graph_of(STRAIGHT), {SEED: shared, IP: [claim("Strong")]})
    assert {one.name: one.escalate for one in found} == {
        "Strong": False, AQUA: True, PLAID: True,
    }  # fmt: skip
    assert {one.confidence for one in found if one.escalate} == {"high"}
    assert all(one.qualifies for one in found if one.escalate)
    assert not ambiguous(found)


@pytest.mark.parametrize("role", ["shared", "hub", "cdn", "hosting", "parking", "sinkhole"])
def test_nothing_is_direct_on_a_seed_that_others_use_too(role: Role) -> None:
    graph = graph_of(seed=IP, roles={IP: role})
    (one,) = actors_of(graph, {IP: [claim(AQUA)]})
    assert not one.escalate


def test_flux_is_its_owners_choice_and_may_be_direct() -> None:
    (one,) = actors_of(graph_of(roles={SEED: "flux"}), {SEED: [claim(AQUA)]})
    assert one.escalate


@pytest.mark.parametrize(("days", "direct"), [(180, True), (180.01, False), (None, False)])
def test_direct_evidence_needs_a_seed_seen_within_180_days(
    days: float | None, direct: bool
) -> None:
    claims = {SEED: [claim(AQUA)], IP: [claim(PLAID)]}
    found = actors_of(graph_of(STRAIGHT, last_seen=days), claims)
    assert any(one.escalate for one in found) is direct


# --- raising: what stands out ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "naming", "escalates"),
    [("article", 1, True), ("watchList", 2, True), ("watchList", 3, False)],
)
def test_an_actor_escalates_from_a_score_of_four_tenths(
    kind: EvidenceKind, naming: int, escalates: bool
) -> None:
    # of the seed, and not direct: 0.4, 0.4 and 0.2667
    (one,) = actors_of(graph_of(), {SEED: [claim(AQUA, kind, naming=naming)]})
    assert one.escalate is escalates
    assert one.qualifies is escalates


@pytest.mark.parametrize(("naming", "escalates"), [(1, False), (2, True), (3, True)])
def test_the_top_actor_escalates_at_twice_the_runner_up(naming: int, escalates: bool) -> None:
    graph = graph_of(path(SEED, IP, "a.test"), path(SEED, OTHER_IP, "b.test"))
    claims = {
        "a.test": [claim(AQUA)],
        "b.test": [claim(PLAID, naming=naming)],
    }
    top, _ = sorted(actors_of(graph, claims), key=lambda one: one.name)
    assert top.name == AQUA
    assert top.escalate is escalates


def test_several_that_qualify_and_none_that_stands_out_are_ambiguous() -> None:
    graph = graph_of(path(SEED, IP, "a.test"), path(SEED, OTHER_IP, "b.test"))
    found = actors_of(graph, {"a.test": [claim(AQUA)], "b.test": [claim(PLAID)]})
    assert [one.qualifies for one in found] == [True, True]
    assert not any(one.escalate for one in found)
    assert ambiguous(found)
    assert not ambiguous(found[:1])
    assert not ambiguous([replace(found[0], escalate=True), found[1]])


def test_one_group_behind_a_shared_address_does_not_escalate_and_two_do() -> None:
    graph = graph_of(
        path(SEED, IP, "a.test"), path(SEED, OTHER_IP, "b.test"),
        roles={IP: "shared", OTHER_IP: "shared"},
    )  # fmt: skip
    one_group = {"a.test": [claim(AQUA)], "www.a.test": [claim(AQUA)]}
    assert not actors_of(graph, one_group)[0].escalate
    both = {"a.test": [claim(AQUA)], "b.test": [claim(AQUA)]}
    (weak,) = actors_of(graph, both)
    assert (weak.score, weak.escalate) == (0.3994, False)
    three = {**both, SEED: [claim(AQUA, "article", naming=4)]}
    (enough,) = actors_of(graph, three)
    assert (enough.score, enough.escalate) == (0.4594, True)


def test_one_tenant_of_a_shared_address_that_was_asked_about_does_not_escalate() -> None:
    claims = {"a.test": [claim(AQUA)]}
    roles: tuple[tuple[Role, bool], ...] = (("shared", False), ("dedicated", True))
    for role, escalates in roles:
        graph = graph_of(path(IP, "a.test"), seed=IP, roles={IP: role})
        (one,) = actors_of(graph, claims)
        assert (one.score, one.escalate) == (0.9, escalates)


def test_one_group_on_a_dedicated_address_escalates() -> None:
    (one,) = actors_of(graph_of(path(SEED, IP, "a.test")), {"a.test": [claim(AQUA)]})
    assert (one.score, one.escalate, one.confidence) == (0.45, True, "medium")


def test_one_group_on_a_dedicated_address_of_a_cloud_needs_the_score_as_well() -> None:
    graph = graph_of(path(SEED, IP, "a.test"), roles={IP: "cloud"}, cloud=[IP])
    (one,) = actors_of(graph, {"a.test": [claim(AQUA)]})
    assert (one.score, one.escalate) == (0.315, False)


def test_what_is_said_of_an_address_alone_needs_somebody_else_there_at_the_time() -> None:
    lonely = graph_of(path(SEED, IP))
    (one,) = actors_of(lonely, {IP: [claim(AQUA)]})
    assert (one.score, one.escalate) == (0.9, False)
    company = graph_of(path(SEED, IP, "a.test"))
    assert actors_of(company, {IP: [claim(AQUA)]})[0].escalate


def test_what_rests_on_one_address_alone_bears_no_rival_at_all() -> None:
    graph = graph_of(path(SEED, IP, "a.test"), path(SEED, OTHER_IP, "b.test"))
    weak = {"b.test": [claim(PLAID, "article", naming=10)]}
    top, rival = actors_of(graph, {IP: [claim(AQUA)], **weak})
    assert top.score > 2 * rival.score
    assert not top.escalate
    top, _ = actors_of(graph, {IP: [claim(AQUA)], "a.test": [claim(AQUA, "article")], **weak})
    assert top.escalate


def test_what_rests_on_two_addresses_stands_out_by_the_margin() -> None:
    graph = graph_of(path(SEED, IP), path(SEED, OTHER_IP), path(SEED, THIRD_IP, "b.test"))
    weak = {"b.test": [claim(PLAID, "article", naming=10)]}
    top, _ = actors_of(graph, {IP: [claim(AQUA)], OTHER_IP: [claim(AQUA)], **weak})
    assert (top.score, top.escalate) == (0.99, True)


def test_what_is_said_of_an_address_that_is_the_seed_needs_no_company() -> None:
    (one,) = actors_of(graph_of(seed=IP), {IP: [claim(AQUA, "watchList")]})
    assert one.escalate


@pytest.mark.parametrize(
    ("kind", "where", "confidence"),
    [
        ("watchList", SEED, "high"),
        ("watchList", IP, "high"),
        ("article", SEED, "medium"),
        ("article", IP, "low"),
    ],
)
def test_confidence_is_high_from_seven_tenths_and_medium_from_four(
    kind: EvidenceKind, where: str, confidence: str
) -> None:
    (one,) = actors_of(graph_of(STRAIGHT), {where: [claim(AQUA, kind)]})
    assert one.confidence == confidence


# --- claims from reputations ----------------------------------------------------------------------


def rule(name: str, description: str, url: str | None = None) -> Rule:
    return Rule(name, description, "high", url)


ARTICLE = "https://ti.defender.microsoft.com/article/E0C5C210"


def test_the_rule_that_lists_actors_names_each_and_shares_itself_among_them() -> None:
    found = rule_claims([rule("cyber threat intelligence", "ACTINIUM, Plaid Rain")], {}, NAMES)
    text = "ACTINIUM, Plaid Rain"
    assert found == tuple(
        Claim(actor(who), "reputationRule", text, None, naming=2) for who in (AQUA, PLAID)
    )


def test_which_rules_list_actors_is_a_setting() -> None:
    listed = [rule("Our own rule", "ACTINIUM"), rule("Cyber Threat Intelligence", "Plaid Rain")]
    found = rule_claims(listed, {}, NAMES, actor_rules=["OUR OWN RULE"])
    assert [one.actor for one in found] == [actor(AQUA)]


def test_a_watch_list_names_who_its_text_names() -> None:
    described = "This indicator relates to an emerging threat actor DEV-0563"
    (one,) = rule_claims([rule("Microsoft Blocklist (WatchList)", described)], {}, NAMES)
    assert (one.actor, one.kind, one.text) == (ActorRef("DEV-0563"), "watchList", described)


def test_an_article_counts_by_its_title_and_tags_and_names_known_actors_only() -> None:
    article = Article("e0c5c210", "Plaid Rain at work", ("ACTINIUM", "T1546.008", "Storm-9999"), "")
    found = rule_claims([rule("Intel Article", "DEV-1101", ARTICLE)], {"e0c5c210": article}, NAMES)
    assert {(one.actor, one.kind, one.naming) for one in found} == {
        (actor(AQUA), "article", 2),
        (actor(PLAID), "article", 2),
    }
    assert {one.url for one in found} == {ARTICLE}


def test_an_article_that_could_not_be_read_counts_by_the_rules_own_words() -> None:
    (one,) = rule_claims([rule("Intel Article", "Threat Insights: ACTINIUM", ARTICLE)], {}, NAMES)
    assert (one.actor, one.text) == (actor(AQUA), "Threat Insights: ACTINIUM")


def test_a_watch_list_that_links_an_article_makes_both_claims() -> None:
    listed = rule("Watchlist", f'the threat actor ACTINIUM, see ["{ARTICLE}"]')
    article = Article("e0c5c210", "Plaid Rain", (), "")
    found = rule_claims([listed, listed], {"e0c5c210": article}, NAMES)
    assert [(one.actor, one.kind) for one in found] == [
        (actor(AQUA), "watchList"),
        (actor(PLAID), "article"),
    ]


@pytest.mark.parametrize(
    "described", ["Domain is using a name server of ACTINIUM", "203.0.113.7", ""]
)
def test_any_other_rule_names_nobody(described: str) -> None:
    assert rule_claims([rule("Name server", described)], {}, NAMES) == ()


def test_article_ids_are_found_in_links_once_and_in_lower_case() -> None:
    assert article_ids(
        ARTICLE, f'see ["{ARTICLE.lower()}"] and /articles/0000aaaa', "/article/12345", "/article/x"
    ) == ("e0c5c210", "0000aaaa")


# --- what is worth asking -------------------------------------------------------------------------


def test_hosts_behind_a_shared_address_are_not_worth_a_question_of_their_own() -> None:
    graph = graph_of(
        path(SEED, IP, "close.test"),
        path(SEED, OTHER_IP, "crowd.test"),
        path(SEED, THIRD_IP, "leased.test"),
        roles={OTHER_IP: "shared", THIRD_IP: "cloud"},
        cloud=[THIRD_IP],
    )
    assert worth_asking(graph) == {
        host(one) for one in (SEED, IP, OTHER_IP, THIRD_IP, "close.test", "leased.test")
    }


def test_a_former_tenant_is_worth_a_question_and_what_lies_behind_it_is_not() -> None:
    graph = graph_of(path(IP, "gone.test", OTHER_IP, days_ago=(300, 200)), seed=IP)
    assert worth_asking(graph) == {host(IP), host("gone.test")}


# --- whatever the evidence ------------------------------------------------------------------------

WHERE = (SEED, IP, OTHER_IP, "a.test", "b.test", "www.b.test")
PATHS = (
    path(SEED, IP, "a.test"),
    path(SEED, OTHER_IP, "b.test"),
    path(SEED, OTHER_IP, "www.b.test"),
)
KINDS: tuple[EvidenceKind, ...] = ("intelProfile", "reputationRule", "watchList", "article")
ROLES: tuple[Role, ...] = ("dedicated", "shared", "cloud", "unmeasured", "hub")
CLAIMS = st.tuples(
    st.sampled_from(WHERE),
    st.sampled_from((AQUA, PLAID, "Night Owl")),
    st.sampled_from(KINDS),
    st.integers(1, 3),
)
GRAPHS = st.builds(
    lambda one, two, last: graph_of(*PATHS, roles={IP: one, OTHER_IP: two}, last_seen=last),
    st.sampled_from(ROLES),
    st.sampled_from(ROLES),
    st.sampled_from((2, 179, 181)),
)


def claims_of(
    chosen: Sequence[tuple[str, str, EvidenceKind, int]],
) -> dict[str, list[Claim]]:
    found: dict[str, list[Claim]] = {}
    for where, who, kind, naming in chosen:
        found.setdefault(where, []).append(claim(who, kind, naming=naming, text=f"{who} {naming}"))
    return found


@settings(max_examples=200, deadline=None)
@given(graph=GRAPHS, some=st.lists(CLAIMS, max_size=6), more=st.lists(CLAIMS, max_size=3))
def test_more_evidence_never_lowers_a_score_nor_takes_an_actor_away(
    graph: Graph,
    some: list[tuple[str, str, EvidenceKind, int]],
    more: list[tuple[str, str, EvidenceKind, int]],
) -> None:
    before = {one.name: one.score for one in actors_of(graph, claims_of(some))}
    after = {one.name: one.score for one in actors_of(graph, claims_of([*some, *more]))}
    assert all(after[name] >= was for name, was in before.items())


@settings(max_examples=150, deadline=None)
@given(graph=GRAPHS, chosen=st.lists(CLAIMS, max_size=8, unique=True), order=st.randoms())
def test_the_order_of_claims_and_hosts_changes_nothing(
    graph: Graph,
    chosen: list[tuple[str, str, EvidenceKind, int]],
    order: random.Random,
) -> None:
    (seed,) = graph.paths
    mixed = order.sample(chosen, len(chosen))
    items = list(graph.paths[seed].items())
    other = replace(graph, paths={seed: dict(order.sample(items, len(items)))})
    assert actors_of(other, claims_of(mixed)) == actors_of(graph, claims_of(chosen))


@settings(max_examples=200, deadline=None)
@given(graph=GRAPHS, chosen=st.lists(CLAIMS, max_size=8))
def test_the_rules_of_raising_hold_whatever_the_evidence(
    graph: Graph, chosen: list[tuple[str, str, EvidenceKind, int]]
) -> None:
    found = actors_of(graph, claims_of(chosen))
    assert list(found) == sorted(found, key=lambda one: (-one.score, one.name))
    raised = [one for one in found if one.escalate]
    for one in found:
        assert 0.0 < one.score <= 1.0
        assert one.score == round(one.score, 4)
        assert one.qualifies >= one.escalate
        if one.confidence == "low":
            assert one.score < 0.4
            assert not one.escalate
    if len(raised) == 1 and all(item.hops for item in raised[0].evidence):
        assert raised[0] == found[0]
        assert raised[0].score >= 0.4
        assert all(raised[0].score >= 2 * other.score for other in found[1:])
    assert ambiguous(found) is (not raised and sum(one.qualifies for one in found) > 1)
