"""What is decided of a single host: role, degree, weight, and the reason it is not followed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mdti.infrastructure import Standing
from mdti.models import Resolutions, Role
from mdti.pruning import (
    BEGINNING,
    STOP_ROLES,
    Node,
    degree,
    degree_limit,
    explained,
    folded,
    lookback_start,
    measured,
    unread,
    usable,
)
from tests.builders import AT, ago, host, rules, seen

IP = "203.0.113.1"
NAME = "seed.example"


@pytest.mark.parametrize(
    ("role", "cloud", "factor"),
    [
        ("dedicated", False, 1.0),
        ("cloud", True, 0.7),
        ("shared", False, 0.5),
        ("shared", True, 0.35),
        ("unmeasured", False, 0.5),
        ("unmeasured", True, 0.35),
    ],
)
def test_an_address_leaves_of_an_attribution_what_its_role_says(
    role: Role, cloud: bool, factor: float
) -> None:
    assert Node(host(IP), role, cloud=cloud).factor == pytest.approx(factor)


@pytest.mark.parametrize("role", sorted(STOP_ROLES))
def test_a_stop_role_leaves_nothing(role: Role) -> None:
    assert Node(host(IP), role).factor == 0.0
    assert Node(host(NAME), role).factor == 0.0


def test_a_name_leaves_everything() -> None:
    assert Node(host(NAME), "name", cloud=True).factor == 1.0


def test_records_are_clipped_to_the_question_ordered_and_unique() -> None:
    late = seen(NAME, IP, days_ago=(5, -5))
    clipped = replace(late, last=AT)
    old = seen(NAME, "203.0.113.9", days_ago=(9, 8))
    future = seen(NAME, IP, days_ago=(-1, -2))
    other = seen(NAME, "ns.test", kind="NS")
    assert usable([late, old, clipped, future, other, old], AT) == (clipped, old)


def test_the_degree_of_a_name_counts_addresses_and_not_names() -> None:
    edges = [
        seen(NAME, IP),
        seen(NAME, IP, days_ago=(90, 80)),
        seen(NAME, "2001:db8::1", kind="AAAA"),
        seen(NAME, "alias.test", kind="CNAME"),
        seen(NAME, "203.0.113.9", days_ago=(900, 366)),
    ]
    assert degree(host(NAME), edges, at=AT, rules=rules()) == 2
    assert degree(host(NAME), edges, at=AT, rules=rules(lookback_days=0)) == 3


def test_limits_differ_for_addresses_and_names() -> None:
    chosen = rules(hub_degree=7, flux_addresses=3)
    assert [degree_limit(host(one), chosen) for one in (IP, NAME)] == [7, 3]


def test_folding_keeps_the_time_of_each_sighting_and_leaves_other_domains_alone() -> None:
    wild = [seen(IP, f"w{n}.zone.test", days_ago=(40 + n % 2, 3)) for n in range(3)]
    edges = tuple(sorted((*wild, seen(IP, "www.other.test"))))
    kept, many = folded(host(IP), edges, rules=rules(fold_subdomains=2))
    assert many == {host("zone.test"): 3}
    assert [(edge.answer.value, edge.first) for edge in kept] == [
        ("www.other.test", ago(30)),
        ("zone.test", ago(41)),
        ("zone.test", ago(40)),
    ]
    assert folded(host(IP), edges, rules=rules(fold_subdomains=3)) == (edges, {})
    assert folded(host(NAME), edges, rules=rules(fold_subdomains=0)) == (edges, {})


def test_the_look_back_begins_so_many_days_before_and_never_before_all_time() -> None:
    assert lookback_start(AT, rules(lookback_days=10)) == AT - timedelta(days=10)
    assert lookback_start(AT, rules(lookback_days=0)) == BEGINNING
    assert lookback_start(BEGINNING, rules(lookback_days=10)) == BEGINNING


@pytest.mark.parametrize(
    ("standing", "of_address", "of_name"),
    [(None, "unmeasured", "name"), ("cloud", "unmeasured", "name"), ("cdn", "cdn", "cdn")],
)
def test_before_it_is_read_a_host_is_what_public_lists_say(
    standing: Role | None, of_address: Role, of_name: Role
) -> None:
    known = Standing(standing, "Contoso") if standing else None
    for text, role in ((IP, of_address), (NAME, of_name)):
        node = unread(host(text), known)
        assert node.role == role
        assert node.cloud is (standing == "cloud")
        assert node.provider == ("Contoso" if standing else None)


def test_a_host_without_passive_dns_has_degree_nothing_and_was_never_seen() -> None:
    node = measured(unread(host(IP), None), Resolutions((), "all"), (), AT, rules())
    assert (node.role, node.degree, node.last_seen, node.expanded) == ("dedicated", 0, None, True)


def test_a_name_with_few_addresses_stays_what_it_was() -> None:
    edges = (seen(NAME, IP),)
    node = measured(unread(host(NAME), None), Resolutions(edges, "all"), edges, AT, rules())
    assert (node.role, node.degree, node.last_seen, node.expanded) == ("name", 1, ago(2), True)


def test_a_name_read_to_the_limit_is_flux_with_a_lower_bound() -> None:
    edges = (seen(NAME, IP),)
    node = measured(unread(host(NAME), None), Resolutions(edges, "oversize"), edges, AT, rules())
    assert explained(node).reason == "at least 1 addresses: too many to mean anything"


def test_a_reason_that_is_known_stays() -> None:
    node = Node(host(IP), "hub", reason="the time was over")
    assert explained(node, folds=3) == node
    assert explained(Node(host(IP), "dedicated", expanded=True)).reason == ""
    assert explained(Node(host(NAME), "name"), folds=30).reason == "stands for 30 names below it"
    assert explained(Node(host(NAME), "name")).reason == "last hop"
