import re
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from mdti.sandbox import story
from mdti.sandbox.world import ACTOR_RULE, World
from tests.sandbox.conftest import NOW

UNSEEN = {"never-seen.example"}
LISTED = {story.CDN_ADDRESS, story.SINKHOLE_ADDRESS, story.PARKING_ADDRESS}
EXAMPLES = [
    ip_network(text)
    for text in (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "198.18.0.0/15",
        "2001:db8::/32",
        "10.9.8.7/32",
    )
]


@pytest.fixture(scope="module")
def world() -> World:
    return story.build(NOW)


def told() -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", (story.__doc__ or "").replace("`now`", "")))


def members(world: World, title: str) -> set[str]:
    profile = next(item for item in world.profiles.values() if item.title == title)
    return {indicator.artifact for indicator in profile.indicators}


def neighbours(world: World, address: str) -> set[str]:
    return {record.name for record in world.askers(address)}


def test_every_host_the_story_tells_of_exists(world: World) -> None:
    zones = {"plume-pages.example"}

    assert told() >= {"invoice-inkwell.example", "198.51.100.23", "2001:db8:23::17"}
    assert told() - zones - world.hosts.keys() == UNSEEN
    assert any(name.endswith(".plume-pages.example") for name in world.hosts)


def test_every_name_and_address_is_for_examples_or_on_a_public_list(world: World) -> None:
    for host in world.hosts:
        if host in LISTED:
            continue
        if re.fullmatch(r"[\d.]+|.*:.*", host):
            address = ip_address(host)
            assert any(address in net for net in EXAMPLES if net.version == address.version), host
        else:
            # Nobody can register an underscore below the dynamic-DNS provider.
            assert host.endswith((".example", ".test")) or re.fullmatch(
                r"[a-z]+_[a-z]+\.duckdns\.org", host
            ), host


def test_nothing_lies_in_the_future_and_all_moves_with_now(world: World) -> None:
    later = story.build(NOW + timedelta(days=3000))

    for host, facts in world.hosts.items():
        assert facts.first <= facts.last <= NOW
        assert later.hosts[host].last - facts.last == timedelta(days=3000)


def test_the_same_seed_tells_the_same_story(world: World) -> None:
    again, other = story.build(NOW), story.build(NOW, seed=8)

    assert again.hosts == world.hosts
    assert again.profiles == world.profiles
    assert other.hosts.keys() != world.hosts.keys()


def test_the_cast_is_four_actors_and_a_tool(world: World) -> None:
    kinds = {profile.title: profile.kind for profile in world.profiles.values()}

    assert kinds == {
        "Paper Drizzle": "actor",
        "Velvet Squall": "actor",
        "Marble Thunderhead": "actor",
        "Copper Mist": "actor",
        "LampLoader": "tool",
    }
    named = {cve for item in world.profiles.values() for cve in _cves(item.tradecraft)}
    assert named == set(world.vulnerabilities)


def _cves(text: str) -> list[str]:
    return re.findall(r"CVE-\d{4}-\d+", text)


def test_the_silent_name_shares_a_dedicated_server_with_an_actor(world: World) -> None:
    silent = world.hosts["telemetry-cache.example"]
    shared = neighbours(world, "198.51.100.23")

    assert silent.score is None
    assert not silent.rules
    assert "telemetry-cache.example" in shared
    assert len(shared & members(world, "Paper Drizzle")) == 2
    assert len(shared) <= 10


def test_the_recycled_address_changed_hands_long_before_the_shop_came(world: World) -> None:
    records = {record.name: record for record in world.askers("203.0.113.77")}
    gap = records["orchard-bakery.example"].first - (records["squall-gate.example"].last or NOW)

    assert gap > timedelta(days=100)
    assert "squall-gate.example" in members(world, "Velvet Squall")


@pytest.mark.parametrize(
    ("address", "least", "most"),
    [("198.18.10.10", 400, 400), ("203.0.113.50", 11, 100), ("198.51.100.60", 31, 31)],
)
def test_hubs_shared_hosting_and_the_wildcard_have_their_size(
    world: World, address: str, least: int, most: int
) -> None:
    assert least <= len(neighbours(world, address)) <= most


@pytest.mark.parametrize(
    ("address", "actor", "bystander"),
    [
        (story.CDN_ADDRESS, "quill-mirror.example", "www.lanternfoods.example"),
        (story.PARKING_ADDRESS, "velvet-drop.example", "lost-kitten.example"),
        (story.SINKHOLE_ADDRESS, "squall-gate.example", "old-ransom-note.example"),
        ("198.18.10.10", "squall-pay.example", "corner-books.example"),
        ("203.0.113.50", "pay-orchard.example", "village-florist.example"),
    ],
)
def test_bystanders_share_an_address_with_an_actor(
    world: World, address: str, actor: str, bystander: str
) -> None:
    assert {actor, bystander} <= neighbours(world, address)


def test_the_ambiguous_server_belongs_to_two_actors(world: World) -> None:
    shared = neighbours(world, "203.0.113.120")

    assert len(shared & members(world, "Marble Thunderhead")) == 1
    assert len(shared & members(world, "Copper Mist")) == 1
    rule = world.hosts["twin-harbour.example"].rules[0]
    assert (rule.name, rule.description) == (ACTOR_RULE, "Velvet Squall, Copper Mist")
