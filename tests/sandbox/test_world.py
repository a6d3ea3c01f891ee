from datetime import UTC, datetime, timedelta, timezone

from mdti.sandbox.world import World, spelling
from tests.sandbox.conftest import NOW


def test_a_moment_is_a_time_or_days_ago() -> None:
    world = World(NOW + timedelta(microseconds=5))
    local = datetime(2026, 1, 1, 2, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))

    assert world.at(1.5) == NOW - timedelta(hours=36)
    assert world.at(local) == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_resolution_is_found_from_both_sides_in_any_spelling() -> None:
    world = World(NOW)
    world.resolution("Beacon.Example.", "2001:DB8:0::1", 40, 2)
    record = world.answers("beacon.example")[0]

    assert record.record_type == "AAAA"
    assert (record.first, record.last) == (world.at(40), world.at(2))
    assert list(world.askers("2001:db8::1")) == [record]
    assert world.hosts.keys() == {"beacon.example", "2001:db8::1"}


def test_a_hosts_life_spans_all_its_records() -> None:
    world = World(NOW)
    world.resolution("a.example", "192.0.2.1", 40, 20)
    world.resolution("a.example", "b.example", 90, None, collected=5)

    facts = world.hosts["a.example"]
    assert (facts.first, facts.last) == (world.at(90), world.at(5))
    assert [record.record_type for record in world.answers("a.example")] == ["A", "CNAME"]


def test_a_rule_makes_an_unjudged_host_malicious_and_keeps_a_given_score() -> None:
    world = World(NOW)
    world.rule("a.example", "Registrar", "Seen before")
    world.reputation("b.example", 30)
    world.rule("b.example", "Registrar", "Seen before", severity="low")

    assert world.hosts["a.example"].score == 100
    assert world.hosts["b.example"].score == 30


def test_indicators_know_their_kind() -> None:
    world = World(NOW)
    profile = world.profile("Paper Drizzle")
    for artifact in ("a.example", "192.0.2.1"):
        world.indicator(profile, artifact)
    world.indicator(profile, "ab" * 32, kind="sha256")

    assert [item.kind for item in profile.indicators] == ["hostname", "ipAddress", "sha256"]
    assert world.hosts.keys() == {"a.example", "192.0.2.1"}


def test_ids_follow_from_titles() -> None:
    one, two = World(NOW), World(NOW)

    assert one.profile("Paper Drizzle").id == two.profile("Paper Drizzle").id
    assert one.article("A title").id == two.article("A title").id
    assert one.profile("A").id != one.profile("B").id


def test_addresses_have_one_spelling() -> None:
    assert spelling("2001:DB8::0:1") == "2001:db8::1"
    assert spelling("WWW.Example.") == "www.example"
