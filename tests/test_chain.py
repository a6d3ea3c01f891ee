"""The walk over passive DNS: what it follows, what it only names, and that nothing is lost."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.chain import Budget, Graph, Path, hop_factor, measure, walk
from mdti.models import Gap, Host, Resolution, Resolutions, Role
from mdti.pruning import WalkRules, degree_limit
from tests.brute_force import BruteForce
from tests.builders import AT, PassiveDns, ago, host, hosts, rules, seen

SEED = "seed.example"
IP = "203.0.113.1"
OTHER_IP = "203.0.113.2"


def walked(seed: str, fetch: PassiveDns, *, budget: Budget | None = None, **options: Any) -> Graph:
    return walk([host(seed)], fetch, at=AT, rules=rules(**options), budget=budget or Budget())


def reached(graph: Graph, seed: str = SEED) -> set[str]:
    return {one.value for one in graph.paths[host(seed)]}


def hops(graph: Graph, to: str, seed: str = SEED) -> int:
    return min(map(len, graph.paths[host(seed)][host(to)]))


# --- what is followed -----------------------------------------------------------------------------


def test_the_walk_goes_over_both_directions_and_keeps_the_dated_path() -> None:
    one, two = seen(SEED, IP), seen("friend.example", IP)
    graph = walked(SEED, PassiveDns.of(one, two))
    (path,) = graph.paths[host(SEED)][host("friend.example")]
    assert [(step.queried.value, step.answer.value) for step in path] == [
        (SEED, IP),
        (IP, "friend.example"),
    ]
    assert path[1].first == two.first
    assert graph.paths[host(SEED)][host(SEED)] == ((),)
    assert graph.gaps == ()


@pytest.mark.parametrize(
    ("depth", "found"),
    [
        (0, {SEED}),
        (1, {SEED, IP}),
        (2, {SEED, IP, "a.example"}),
        (3, {SEED, IP, "a.example", OTHER_IP}),
    ],
)
def test_the_walk_ends_after_as_many_resolutions_as_it_was_told(
    depth: int, found: set[str]
) -> None:
    world = PassiveDns.of(
        seen(SEED, IP), seen("a.example", IP), seen("a.example", OTHER_IP), seen("b.test", OTHER_IP)
    )
    graph = walked(SEED, world, depth=depth)
    assert reached(graph) == found
    for one in graph.paths[host(SEED)]:
        assert (one in world.asked) == (hops(graph, one.value) < depth)


@pytest.mark.parametrize("kind", ["NS", "MX", "SOA", "TXT", "PTR"])
def test_only_addresses_and_canonical_names_are_followed(kind: str) -> None:
    world = PassiveDns.of(seen(SEED, "b.test", kind=kind), seen(SEED, "c.test", kind="CNAME"))
    assert reached(walked(SEED, world)) == {SEED, "c.test"}


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "followed"),
    [((53, 40), True), ((52.999, 40), False), ((90, 60), True), ((10, 2), False)],
)
def test_a_resolution_that_begins_more_than_the_slack_after_the_last_one_ended_is_not_followed(
    later: tuple[float, float], followed: bool
) -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(100, 60)), seen("tenant.test", IP, days_ago=later)
    )
    assert ("tenant.test" in reached(walked(SEED, world))) is followed


@pytest.mark.parametrize(
    ("earlier", "followed"), [((80, 67), True), ((80, 67.001), False), ((200, 150), False)]
)
def test_a_resolution_that_ended_more_than_the_slack_before_the_last_one_began_is_not_followed(
    earlier: tuple[float, float], followed: bool
) -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(60, 1)), seen("tenant.test", IP, days_ago=earlier)
    )
    assert ("tenant.test" in reached(walked(SEED, world))) is followed


def test_the_slack_is_a_rule_and_may_be_none() -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(60, 10)), seen("tenant.test", IP, days_ago=(9, 1))
    )
    assert "tenant.test" in reached(walked(SEED, world))
    assert "tenant.test" not in reached(walked(SEED, world, overlap_slack=timedelta(0)))


def test_a_host_reached_in_two_intervals_goes_on_from_each_only_to_what_overlaps_that_one() -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(300, 250)),
        seen(SEED, IP, days_ago=(40, 2)),
        seen("then.test", IP, days_ago=(290, 260)),
        seen("between.test", IP, days_ago=(180, 120)),
        seen("since.test", IP, days_ago=(30, 2)),
    )
    graph = walked(SEED, world)
    assert reached(graph) == {SEED, IP, "then.test", "since.test"}
    assert len(graph.paths[host(SEED)][host(IP)]) == 2
    for name, days in (("then.test", 250), ("since.test", 2)):
        (path,) = graph.paths[host(SEED)][host(name)]
        assert path[0].last == ago(days)


def test_look_back_applies_to_the_resolutions_of_the_seed_alone() -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(900, 365)),
        seen(SEED, OTHER_IP, days_ago=(900, 365.001)),
        seen("old.test", IP, days_ago=(900, 500)),
    )
    assert reached(walked(SEED, world)) == {SEED, IP, "old.test"}


def test_a_look_back_of_nothing_means_any_age() -> None:
    world = PassiveDns.of(seen(SEED, IP, days_ago=(9_000, 8_000)))
    assert reached(walked(SEED, world, lookback_days=0)) == {SEED, IP}


def test_a_look_back_that_reaches_before_all_time_means_any_age() -> None:
    early = AT.replace(year=2)
    record = replace(seen(SEED, IP), first=early, last=early)
    graph = walk(
        [host(SEED)],
        PassiveDns.of(record),
        at=early,
        rules=rules(lookback_days=36_500),
        budget=Budget(),
    )
    assert reached(graph) == {SEED, IP}


def test_nothing_first_seen_after_the_question_is_used_and_the_rest_ends_with_it() -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(10, -5)), seen(SEED, OTHER_IP, days_ago=(-0.001, -5))
    )
    graph = walked(SEED, world)
    assert reached(graph) == {SEED, IP}
    assert graph.paths[host(SEED)][host(IP)][0][0].last == AT
    assert graph.nodes[host(SEED)].last_seen == AT


# --- what is named and not followed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("cdn", "its customers have nothing to do with each other"),
        ("hosting", "its customers have nothing to do with each other"),
        ("parking", "parked names have nothing to do with each other"),
        ("sinkhole", "in the hands of defenders"),
        ("dynamicDns", "its customers have nothing to do with each other"),
        ("allowlisted", "ours or trusted"),
    ],
)
def test_what_public_lists_know_is_named_with_its_provider_and_never_asked_about(
    role: Role, reason: str
) -> None:
    world = PassiveDns.of(seen(SEED, IP), seen("neighbour.test", IP))
    graph = walked(SEED, world, listed={IP: role})
    node = graph.nodes[host(IP)]
    assert (node.role, node.provider, node.reason) == (role, "Contoso", reason)
    assert not node.expanded
    assert node.factor == 0.0
    assert node.degree is None
    assert reached(graph) == {SEED, IP}
    assert world.asked == [host(SEED)]


def crowd(count: int, *, days_ago: tuple[float, float] = (30, 2)) -> list[Resolution]:
    return [seen(f"n{number}.test", IP, days_ago=days_ago) for number in range(count)]


def test_an_address_with_too_many_domains_is_a_hub_named_and_not_truncated() -> None:
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP), *crowd(100)))
    node = graph.nodes[host(IP)]
    assert (node.role, node.degree, node.expanded) == ("hub", 101, False)
    assert node.reason == "at least 101 registrable domains: too many to mean anything"
    assert reached(graph) == {SEED, IP}
    assert graph.gaps == ()


@pytest.mark.parametrize(("others", "role"), [(99, "shared"), (10, "shared"), (9, "dedicated")])
def test_an_address_is_shared_above_ten_domains_and_followed_up_to_a_hundred(
    others: int, role: Role
) -> None:
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP), *crowd(others)))
    node = graph.nodes[host(IP)]
    assert (node.role, node.degree, node.expanded, node.reason) == (role, others + 1, True, "")
    assert len(reached(graph)) == others + 2


def test_an_address_of_a_cloud_is_flagged_and_followed() -> None:
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP)), listed={IP: "cloud"})
    node = graph.nodes[host(IP)]
    assert (node.role, node.provider, node.expanded) == ("cloud", "Contoso", True)
    assert node.factor == pytest.approx(0.7)
    crowded = walked(SEED, PassiveDns.of(seen(SEED, IP), *crowd(20)), listed={IP: "cloud"})
    assert crowded.nodes[host(IP)].role == "shared"
    assert crowded.nodes[host(IP)].factor == pytest.approx(0.35)


def test_a_name_under_a_cloud_is_an_ordinary_name() -> None:
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP)), listed={SEED: "cloud"})
    node = graph.nodes[host(SEED)]
    assert (node.role, node.factor, node.cloud) == ("name", 1.0, True)


def test_a_name_with_too_many_addresses_is_flux() -> None:
    many = [seen("b.test", f"198.51.100.{number}") for number in range(40)]
    world = PassiveDns.of(seen(SEED, "b.test", kind="CNAME"), *many)
    assert walked(SEED, world).nodes[host("b.test")].role == "name"
    flux = PassiveDns.of(seen(SEED, "b.test", kind="CNAME"), *many, seen("b.test", "198.51.100.99"))
    node = walked(SEED, flux).nodes[host("b.test")]
    assert (node.role, node.degree) == ("flux", 41)
    assert node.reason == "at least 41 addresses: too many to mean anything"


def test_the_degree_counts_registrable_domains_inside_the_look_back() -> None:
    world = PassiveDns.of(
        seen(SEED, IP),
        seen("www.a.test", IP),
        seen("mail.a.test", IP),
        seen("b.test", IP, days_ago=(800, 365)),
        seen("c.test", IP, days_ago=(800, 365.001)),
        seen("198.51.100.9", IP),
    )
    assert walked(SEED, world).nodes[host(IP)].degree == 4
    assert walked(SEED, world, lookback_days=0).nodes[host(IP)].degree == 5


def test_an_answer_that_ended_early_makes_a_hub_with_a_lower_bound() -> None:
    for end in ("hub", "oversize"):
        world = PassiveDns.of(seen(SEED, IP), *crowd(3), ends={host(IP): end})
        graph = walked(SEED, world)
        node = graph.nodes[host(IP)]
        assert (node.role, node.degree, node.degree_at_least) == ("hub", 4, True)
        assert node.reason == "at least 4 registrable domains: too many to mean anything"
        assert graph.gaps == ()
        assert reached(graph) == {SEED, IP}


def test_many_names_below_one_domain_at_one_address_become_that_domain() -> None:
    wild = [seen(f"w{number}.zone.test", IP) for number in range(21)]
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP), *wild))
    assert reached(graph) == {SEED, IP, "zone.test"}
    assert graph.nodes[host("zone.test")].reason == "stands for 21 names below it"
    assert graph.nodes[host(IP)].degree == 2
    few = walked(SEED, PassiveDns.of(seen(SEED, IP), *wild[:20]))
    assert len(reached(few)) == 22


def test_addresses_never_fold_into_a_name() -> None:
    near = [seen(f"203.{number}.113.9", IP) for number in range(1, 25)]
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP), *near))
    assert len(reached(graph)) == 26
    assert graph.nodes[host(IP)].degree == 25


def test_a_host_that_could_not_be_read_is_a_gap_and_stops_nothing_else() -> None:
    gap = Gap("passiveDns", "the API failed", host(IP))
    world = PassiveDns.of(
        seen(SEED, IP),
        seen(SEED, OTHER_IP),
        seen("lost.test", IP),
        seen("friend.test", OTHER_IP),
        gaps={host(IP): gap},
    )
    graph = walked(SEED, world)
    assert graph.gaps == (gap,)
    assert reached(graph) == {SEED, IP, OTHER_IP, "friend.test"}
    node = graph.nodes[host(IP)]
    assert (node.role, node.degree, node.expanded) == ("unmeasured", None, False)
    assert node.reason == "its passive DNS could not be read"


def test_a_last_hop_says_that_it_is_one() -> None:
    graph = walked(SEED, PassiveDns.of(seen(SEED, IP)), depth=1)
    assert graph.nodes[host(IP)].reason == "last hop"
    assert graph.nodes[host(IP)].role == "unmeasured"


# --- rounds and budgets ---------------------------------------------------------------------------


def fan(count: int) -> PassiveDns:
    return PassiveDns.of(*(seen(SEED, f"198.51.100.{n}", days_ago=(40, n)) for n in range(count)))


def test_a_round_asks_about_sixteen_hosts_the_freshest_first() -> None:
    world = fan(20)
    walked(SEED, world)
    assert [len(asked) for asked in world.rounds] == [1, 16, 4]
    assert [one.value for one in world.asked[1:]] == [f"198.51.100.{n}" for n in range(20)]


def test_nearer_and_dedicated_hosts_come_first() -> None:
    world = PassiveDns.of(
        seen(SEED, IP),
        seen(SEED, OTHER_IP, days_ago=(170, 150)),
        seen("a.test", IP),
        seen("a.test", "203.0.113.3"),
        seen("far.test", OTHER_IP, days_ago=(170, 150)),
    )
    walked(SEED, world, depth=4, round_size=1)
    assert [one.value for one in world.asked[:4]] == [SEED, IP, OTHER_IP, "a.test"]


def test_an_address_of_a_cloud_comes_after_one_that_is_not() -> None:
    world = PassiveDns.of(seen(SEED, IP), seen(SEED, OTHER_IP, days_ago=(30, 3)))
    walked(SEED, world, listed={IP: "cloud"}, round_size=1)
    assert world.asked == [host(SEED), host(OTHER_IP), host(IP)]


def test_of_several_arrivals_at_a_host_the_most_promising_decides_its_turn() -> None:
    world = PassiveDns.of(
        seen(SEED, IP, days_ago=(300, 250)),
        seen(SEED, IP, days_ago=(30, 2)),
        seen(SEED, OTHER_IP, days_ago=(60, 50)),
    )
    walked(SEED, world, round_size=1)
    assert world.asked == [host(SEED), host(IP), host(OTHER_IP)]


def test_what_lies_behind_a_shared_address_comes_later() -> None:
    others = [seen(f"n{number}.test", IP) for number in range(3)]
    world = PassiveDns.of(seen(SEED, IP), seen(SEED, OTHER_IP), seen("z.test", OTHER_IP), *others)
    walked(SEED, world, depth=3, round_size=1, dedicated_degree=2)
    assert [one.value for one in world.asked[:4]] == [SEED, IP, OTHER_IP, "z.test"]


def test_the_limit_of_hosts_is_one_gap_that_says_how_many() -> None:
    graph = walked(SEED, fan(20), max_hosts=5)
    assert len(graph.nodes) == 5
    assert graph.gaps == (
        Gap("walk", "the limit of 5 hosts was reached: 16 hosts were not followed"),
    )


def test_the_limit_of_hosts_never_loses_a_seed() -> None:
    seeds = [host(f"s{number}.test") for number in range(4)]
    graph = walk(seeds, PassiveDns.of(), at=AT, rules=rules(max_hosts=2), budget=Budget())
    assert set(graph.nodes) == set(seeds)
    assert graph.gaps == ()


@pytest.mark.parametrize(
    ("limit", "rounds", "left"), [(2, 0, "1 host was"), (3, 1, "20 hosts were"), (60, 3, "2 hosts")]
)
def test_the_limit_of_requests_is_one_gap_that_says_how_many(
    limit: int, rounds: int, left: str
) -> None:
    world = fan(20)
    graph = walked(SEED, world, budget=Budget(max_requests=limit))
    assert len(world.rounds) == rounds
    (gap,) = graph.gaps
    assert gap.stage == "walk"
    assert gap.reason.startswith(f"the limit of {limit} requests was reached: {left}")


def test_a_budget_that_is_just_enough_leaves_no_gap() -> None:
    world = fan(20)  # 21 hosts: one reputation each, both directions of each
    assert walked(SEED, world, budget=Budget(max_requests=63)).gaps == ()
    assert len(walked(SEED, world, budget=Budget(max_requests=62)).gaps) == 1


def test_the_end_of_time_is_one_gap_that_says_how_many() -> None:
    world = fan(20)
    graph = walked(SEED, world, budget=Budget(expired=lambda: len(world.rounds) >= 2))
    assert graph.gaps == (Gap("walk", "the time was over: 4 hosts were not followed"),)
    assert len(graph.nodes) == 21


def test_a_host_left_by_the_budget_says_so_and_is_no_last_hop() -> None:
    world = fan(20)
    graph = walked(SEED, world, budget=Budget(expired=lambda: len(world.rounds) >= 2))
    left = [node for node in graph.nodes.values() if not node.expanded]
    assert {node.reason for node in left} == {"the time was over"}
    assert len(left) == 4


# --- several seeds --------------------------------------------------------------------------------


def test_several_seeds_share_one_walk_and_each_host_is_asked_once() -> None:
    world = PassiveDns.of(
        seen("a.test", IP), seen("b.test", IP), seen("b.test", OTHER_IP), seen("c.test", OTHER_IP)
    )
    seeds = [host("a.test"), host("b.test"), host("a.test")]
    graph = walk(seeds, world, at=AT, rules=rules(), budget=Budget())
    assert list(graph.paths) == seeds[:2]
    assert sorted(world.asked) == sorted(set(world.asked))
    assert set(graph.paths[seeds[0]]) == hosts(["a.test", IP, "b.test"])
    assert set(graph.paths[seeds[1]]) == hosts(["b.test", IP, OTHER_IP, "a.test", "c.test"])


def test_seeds_take_turns_so_that_a_busy_one_starves_nobody() -> None:
    busy = [seen("busy.test", f"198.51.100.{n}", days_ago=(40, 0)) for n in range(30)]
    world = PassiveDns.of(*busy, seen("quiet.test", IP, days_ago=(300, 250)))
    walk([host("busy.test"), host("quiet.test")], world, at=AT, rules=rules(), budget=Budget())
    assert world.rounds[1][1] == host(IP)
    assert len(world.rounds[1]) == 16


# --- the last hop measured ------------------------------------------------------------------------


def test_measure_reads_the_degree_of_unmeasured_hosts_and_follows_none() -> None:
    world = PassiveDns.of(seen(SEED, IP), *crowd(20))
    graph = walked(SEED, world, depth=1)
    found = measure(graph, [host(IP), host(SEED), host(IP)], world, rules=rules())
    node = found.nodes[host(IP)]
    assert (node.role, node.degree, node.expanded) == ("shared", 21, False)
    assert world.rounds[1:] == [(host(IP),)]
    assert found.paths == graph.paths
    assert found.gaps == ()


def test_measure_asks_nothing_when_everything_is_known() -> None:
    world = PassiveDns.of(seen(SEED, IP))
    graph = walked(SEED, world)
    assert measure(graph, graph.nodes, world, rules=rules()) is graph
    assert len(world.rounds) == 2


def test_measure_keeps_a_gap_where_a_host_could_not_be_read() -> None:
    gap = Gap("passiveDns", "the API failed", host(IP))
    world = PassiveDns.of(seen(SEED, IP), gaps={host(IP): gap})
    graph = measure(walked(SEED, world, depth=1), [host(IP)], world, rules=rules(depth=1))
    assert graph.gaps == (gap,)
    assert graph.nodes[host(IP)].role == "unmeasured"


@pytest.mark.parametrize(("hops", "factor"), [(0, 1.0), (1, 0.9), (2, 0.45), (3, 0.225)])
def test_distance_leaves_nine_tenths_and_then_half_each_hop(hops: int, factor: float) -> None:
    assert hop_factor(hops) == pytest.approx(factor)


def test_a_path_over_a_former_tenant_never_hides_one_over_a_present_tenant() -> None:
    world = PassiveDns.of(
        seen("former.test", IP, days_ago=(300, 90)),
        seen("present.test", IP, days_ago=(200, 5)),
        seen("former.test", OTHER_IP, days_ago=(300, 1)),
        seen("present.test", OTHER_IP, days_ago=(200, 2)),
        seen("friend.test", OTHER_IP, days_ago=(150, 3)),
    )
    for depth in (2, 3):
        graph = walked(IP, world, depth=depth)
        for to in hosts([OTHER_IP, "friend.test"]) & set(graph.paths[host(IP)]):
            ways = {path[0].answer.value for path in graph.paths[host(IP)][to]}
            assert "present.test" in ways


# --- against every path there is ------------------------------------------------------------------

NAMES = ("a.one.test", "b.one.test", "one.test", "two.test", "c.two.test", "three.test")
ADDRESSES = ("203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8::1")
DAYS = (-3, 0, 2, 9, 16, 17, 40, 59, 61, 200, 364, 366, 500)
"""Days before the question: on, inside and outside slack, look-back and the age of a tenant."""


@st.composite
def sightings(draw: st.DrawFn) -> Resolution:
    queried = draw(st.sampled_from(NAMES))
    answer = draw(st.sampled_from(ADDRESSES + NAMES))
    if answer == queried:
        answer = draw(st.sampled_from(ADDRESSES))
    first, last = sorted((draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))), reverse=True)
    kind = draw(st.sampled_from(("A", "A", "A", "CNAME", "NS")))
    return seen(queried, answer, days_ago=(first, last), kind=kind)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[PassiveDns, WalkRules]:
    records = draw(st.lists(sightings(), min_size=3, max_size=16))
    listed = draw(
        st.dictionaries(
            st.sampled_from(ADDRESSES + NAMES),
            st.sampled_from(ROLES),
            max_size=2,
        )
    )
    return PassiveDns.of(*records), rules(
        listed,
        depth=draw(st.integers(0, 3)),
        lookback_days=draw(st.sampled_from((0, 365))),
        hub_degree=draw(st.integers(2, 4)),
        dedicated_degree=draw(st.integers(1, 2)),
        flux_addresses=draw(st.integers(1, 4)),
        fold_subdomains=draw(st.integers(1, 3)),
        round_size=draw(st.sampled_from((1, 2, 16))),
        max_hosts=1_000,
    )


ROLES: tuple[Role, ...] = ("cloud", "cdn", "parking")
PLENTY = Budget(max_requests=10_000)
SEEDS = st.lists(st.sampled_from(ADDRESSES + NAMES), min_size=1, max_size=3, unique=True)


def dense(number: int) -> tuple[PassiveDns, WalkRules]:
    """Return a small world in which most hosts are reached over several paths and intervals."""
    chance = random.Random(number)
    records = []
    for _ in range(chance.randint(10, 26)):
        first, last = sorted(chance.choices(DAYS, k=2), reverse=True)
        name, answer = chance.choice(NAMES), chance.choice(ADDRESSES)
        records.append(seen(name, answer, days_ago=(first, last)))
    return PassiveDns.of(*records), rules(
        {chance.choice(ADDRESSES): chance.choice(ROLES)} if number % 3 == 0 else {},
        depth=chance.choice((2, 3, 3)),
        lookback_days=chance.choice((0, 365)),
        hub_degree=chance.choice((3, 9)),
        dedicated_degree=chance.choice((1, 2, 3)),
        fold_subdomains=chance.choice((1, 9)),
        round_size=chance.choice((1, 2, 16)),
    )


def beats(truth: BruteForce, one: Path, other: Path) -> bool:
    """Return whether whatever the other path can reach, this one of equal length can as well."""
    if len(one) != len(other) or truth.strength(one) < truth.strength(other):
        return False
    if len(one) == truth.rules.depth:
        return True
    return one[-1].first <= other[-1].first and one[-1].last >= other[-1].last


def nothing_is_lost(seeds: Sequence[Host], fetch: PassiveDns, chosen: WalkRules) -> None:
    """Assert that the walk finds each host as near and as strongly as any path leads there."""
    truth = BruteForce(fetch.records, AT, chosen)
    graph = walk(seeds, fetch, at=AT, rules=chosen, budget=PLENTY)
    for seed in seeds:
        every = truth.paths(seed)
        mine = graph.paths[seed]
        assert set(mine) == set(every)
        for one, paths in every.items():
            assert set(mine[one]) <= set(paths)
            assert min(map(len, mine[one])) == min(map(len, paths))
            best = max(map(truth.strength, paths))
            assert max(map(truth.strength, mine[one])) == pytest.approx(best)
            assert not any(
                beats(truth, one_way, other)
                for one_way, other in permutations(mine[one], 2)
                if not seed.is_address
            )
    assert graph.gaps == ()
    assert len(fetch.asked) == len(set(fetch.asked))


@pytest.mark.parametrize("start", range(0, 1_200, 300))
def test_in_dense_worlds_the_walk_loses_nothing_that_any_path_reaches(start: int) -> None:
    for number in range(start, start + 300):
        fetch, chosen = dense(number)
        nothing_is_lost([host(NAMES[number % 6]), host(ADDRESSES[number % 4])], fetch, chosen)


@settings(max_examples=150, deadline=None)
@given(world=worlds(), seeds=SEEDS)
def test_in_any_world_the_walk_loses_nothing_that_any_path_reaches(
    world: tuple[PassiveDns, WalkRules], seeds: list[str]
) -> None:
    nothing_is_lost([host(seed) for seed in seeds], *world)


@settings(max_examples=150, deadline=None)
@given(world=worlds(), seed=st.sampled_from(ADDRESSES + NAMES))
def test_every_host_gets_the_role_and_degree_that_counting_gives(
    world: tuple[PassiveDns, WalkRules], seed: str
) -> None:
    fetch, chosen = world
    truth = BruteForce(fetch.records, AT, chosen)
    graph = walk([host(seed)], fetch, at=AT, rules=chosen, budget=PLENTY)
    graph = measure(graph, graph.nodes, fetch, rules=chosen)
    for one, node in graph.nodes.items():
        if one in fetch.asked:
            assert node.degree == min(truth.degree(one), degree_limit(one, chosen) + 1)
            assert node.expanded <= truth.followed(one)
            assert (node.role in ("hub", "flux")) is not truth.followed(one)
        else:
            assert not node.expanded


@settings(max_examples=100, deadline=None)
@given(world=worlds(), seeds=SEEDS, shuffle=st.integers(0, 2**32))
def test_shuffled_and_repeated_records_in_another_order_of_answers_give_the_same_graph(
    world: tuple[PassiveDns, WalkRules], seeds: list[str], shuffle: int
) -> None:
    fetch, chosen = world
    order = random.Random(shuffle)
    messy = {
        one: tuple(order.sample((*records, *records), len(records) * 2))
        for one, records in fetch.records.items()
    }

    def mixed(asked: Sequence[Host]) -> Mapping[Host, Resolutions | Gap]:
        answers = list(PassiveDns(messy)(asked).items())
        order.shuffle(answers)
        return dict(answers)

    wanted = [host(seed) for seed in seeds]
    # Limits bite here: a limit may cut a walk short, but always at the same place.
    chosen = replace(chosen, max_hosts=6)
    budget = Budget(max_requests=20)
    one = walk(wanted, fetch, at=AT, rules=chosen, budget=budget)
    two = walk(wanted, mixed, at=AT, rules=chosen, budget=budget)
    assert one == two
    assert list(one.nodes) == list(two.nodes)
    assert [list(paths) for paths in one.paths.values()] == [
        list(paths) for paths in two.paths.values()
    ]


@settings(max_examples=60, deadline=None)
@given(world=worlds(), seed=st.sampled_from(NAMES))
def test_an_unrelated_hub_changes_nothing(world: tuple[PassiveDns, WalkRules], seed: str) -> None:
    fetch, chosen = world
    hub = PassiveDns.of(*(seen(f"x{number}.invalid", "192.0.2.200") for number in range(9)))
    larger = PassiveDns({**fetch.records, **hub.records})
    graph = walk([host(seed)], fetch, at=AT, rules=chosen, budget=PLENTY)
    assert walk([host(seed)], larger, at=AT, rules=chosen, budget=PLENTY) == graph


@settings(max_examples=60, deadline=None)
@given(world=worlds(), seed=st.sampled_from(NAMES))
def test_a_hub_on_the_way_is_named_and_takes_nothing_else_away(
    world: tuple[PassiveDns, WalkRules], seed: str
) -> None:
    fetch, chosen = world
    chosen = replace(chosen, depth=max(chosen.depth, 1), flux_addresses=40)
    hub = [seen(f"x{number}.invalid", "192.0.2.200") for number in range(9)]
    extra = PassiveDns.of(*hub, seen(seed, "192.0.2.200"))
    together = {
        one: (*fetch.records.get(one, ()), *extra.records.get(one, ()))
        for one in {*fetch.records, *extra.records}
    }
    before = walk([host(seed)], fetch, at=AT, rules=chosen, budget=PLENTY)
    after = walk([host(seed)], PassiveDns(together), at=AT, rules=chosen, budget=PLENTY)
    expanded = host(seed) in fetch.asked and before.nodes[host(seed)].expanded
    added = {host("192.0.2.200")} if expanded else set()
    assert set(after.paths[host(seed)]) == set(before.paths[host(seed)]) | added
