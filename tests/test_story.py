"""Every outcome that the sandbox's story promises, looked up through the app."""

from collections.abc import Iterator

import pytest

from mdti.app import App
from mdti.models import Actor, EvidenceKind, Lookup
from mdti.sandbox import story
from tests.tenant import Tenant, escalated, tenant_in

DRIZZLE, SQUALL = "Paper Drizzle", "Velvet Squall"
MARBLE, MIST = "Marble Thunderhead", "Copper Mist"


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    with (
        pytest.MonkeyPatch.context() as patch,
        tenant_in(tmp_path_factory.mktemp("tenant"), patch) as tenant,
    ):
        yield tenant


@pytest.fixture(scope="module")
def app(tenant: Tenant) -> App:
    return tenant.app()


@pytest.fixture
def told(tenant: Tenant, app: App) -> "Story":
    return Story(tenant, app)


class Story:
    def __init__(self, tenant: Tenant, app: App) -> None:
        self._tenant, self._app = tenant, app

    def __call__(self, ioc: str) -> Lookup:
        lookup = self._tenant.look_up_one(self._app, ioc)
        assert lookup.complete, lookup.gaps
        return lookup


def actor(lookup: Lookup, name: str) -> Actor:
    return next(actor for actor in lookup.actors if actor.name == name)


def evidence(lookup: Lookup, name: str) -> set[tuple[str, EvidenceKind, int]]:
    return {(item.host.value, item.kind, item.hops) for item in actor(lookup, name).evidence}


def roles(lookup: Lookup) -> dict[str, str]:
    return {report.host.value: report.role for report in lookup.hosts}


@pytest.mark.parametrize(
    ("ioc", "actors"),
    [
        ("invoice-inkwell.example", [DRIZZLE]),
        ("quillpost.example", [DRIZZLE]),
        ("198.51.100.23", [DRIZZLE]),
        ("telemetry-cache.example", [DRIZZLE]),
        ("2001:db8:23::17", [DRIZZLE]),
        ("ferry-notes.example", [DRIZZLE]),
        ("mdti_ferry.duckdns.org", [DRIZZLE]),
        ("courier-desk.example", [DRIZZLE]),
        ("quill-mirror.example", [DRIZZLE]),
        ("drizzle-mirror.example", [DRIZZLE]),
        ("squall-gate.example", [SQUALL]),
        ("squall-pay.example", [SQUALL]),
        ("velvet-drop.example", [SQUALL]),
        ("vault-key.example", [SQUALL]),
        ("198.51.100.77", [SQUALL]),
        ("old-ransom-note.example", [MARBLE]),
        ("pay-orchard.example", [MARBLE]),
        ("parcel-notice.example", [MARBLE]),
        ("marble-stage.example", [MARBLE]),
        ("mist-stage.example", [MIST]),
        ("updates.parcel-hub.example", [MIST]),
        ("www.tin-relay.example", [MIST]),
        ("edge.copper-relay.example", [MIST]),
        ("198.51.100.91", [MIST]),
        ("twin-harbour.example", [MIST, SQUALL]),
    ],
)
def test_the_infrastructure_of_an_actor_names_its_actor(
    told: Story, ioc: str, actors: list[str]
) -> None:
    assert escalated(told(ioc)) == actors


@pytest.mark.parametrize(
    "ioc",
    [
        "www.lanternfoods.example",
        "mail.lanternfoods.example",
        "weather-today.example",
        "never-seen.example",
        "orchard-bakery.example",
        "corner-books.example",
        "lost-kitten.example",
        "mdti_bakery.duckdns.org",
        "carousel-night.example",
        "lamp-panel.example",
        "free-prize-wheel.example",
        "page-00.plume-pages.example",
        "198.18.10.10",
        story.CDN_ADDRESS,
        story.PARKING_ADDRESS,
        story.SINKHOLE_ADDRESS,
    ],
)
def test_bystanders_and_shared_infrastructure_name_nobody(told: Story, ioc: str) -> None:
    assert told(ioc).actors == ()


def test_the_silent_name_is_given_away_by_the_server_it_shares_at_the_same_time(
    told: Story,
) -> None:
    lookup = told("telemetry-cache.example")
    assert lookup.reputation is not None
    assert (lookup.reputation.score, lookup.reputation.rules) == (0, ())
    assert evidence(lookup, DRIZZLE) == {
        ("invoice-inkwell.example", "intelProfile", 2),
        ("invoice-inkwell.example", "reputationRule", 2),
        ("quillpost.example", "intelProfile", 2),
    }
    for item in actor(lookup, DRIZZLE).evidence:
        there, back = item.path
        assert there.answer.value == back.queried.value == "198.51.100.23"
        assert there.first <= back.last
        assert back.first <= there.last
    assert roles(lookup)["198.51.100.23"] == "dedicated"


def test_records_of_other_types_and_private_answers_are_not_followed(told: Story) -> None:
    assert "ns1.quiet-registrar.example" not in roles(told("telemetry-cache.example"))
    assert "10.9.8.7" not in roles(told("courier-desk.example"))


def test_an_earlier_name_of_an_actor_means_the_actor(told: Story) -> None:
    lookup = told("courier-desk.example")
    assert evidence(lookup, DRIZZLE) == {("courier-desk.example", "watchList", 0)}
    assert "DEV-9301" in actor(lookup, DRIZZLE).aliases


def test_ipv6_is_followed_like_ipv4(told: Story) -> None:
    path = actor(told("ferry-notes.example"), DRIZZLE).evidence[0].path
    assert [edge.record_type for edge in path] == ["AAAA", "AAAA"]


def test_names_of_one_dynamic_dns_provider_have_nothing_in_common(told: Story) -> None:
    assert "mdti_bakery.duckdns.org" not in roles(told("mdti_ferry.duckdns.org"))
    assert "duckdns.org" not in roles(told("mdti_ferry.duckdns.org"))


def test_the_shop_on_a_recycled_address_does_not_inherit_the_blame(told: Story) -> None:
    assert "squall-gate.example" not in roles(told("orchard-bakery.example"))
    assert escalated(told("203.0.113.77")) == []


@pytest.mark.parametrize(
    ("ioc", "address", "role", "bystander"),
    [
        ("squall-gate.example", story.SINKHOLE_ADDRESS, "sinkhole", "old-ransom-note.example"),
        ("velvet-drop.example", story.PARKING_ADDRESS, "parking", "lost-kitten.example"),
        ("quill-mirror.example", story.CDN_ADDRESS, "cdn", "www.lanternfoods.example"),
        ("squall-pay.example", "198.18.10.10", "hub", "corner-books.example"),
    ],
)
def test_shared_infrastructure_is_named_and_not_followed(
    told: Story, ioc: str, address: str, role: str, bystander: str
) -> None:
    hosts = roles(told(ioc))
    assert hosts[address] == role
    assert bystander not in hosts


def test_a_neighbour_on_shared_hosting_is_a_hint_and_no_more(told: Story) -> None:
    lookup = told("village-florist.example")
    assert roles(lookup)["203.0.113.50"] == "shared"
    assert escalated(lookup) == []
    assert actor(lookup, MARBLE).confidence == "low"


def test_an_article_connects_a_host_to_an_actor(told: Story) -> None:
    lookup = told("parcel-notice.example")
    assert evidence(lookup, MARBLE) == {("parcel-notice.example", "article", 0)}
    assert actor(lookup, MARBLE).confidence == "medium"


def test_aliases_lead_to_the_name_and_on_to_the_address(told: Story) -> None:
    path = actor(told("www.tin-relay.example"), MIST).evidence[0].path
    assert path[0].record_type == "CNAME"
    assert roles(told("www.tin-relay.example"))["198.51.100.91"] == "dedicated"


def test_a_server_of_two_actors_names_both_and_escalates_neither(told: Story) -> None:
    lookup = told("lighthouse-broker.example")
    assert [(actor.name, actor.qualifies) for actor in lookup.actors] == [
        (MIST, True),
        (MARBLE, True),
    ]
    assert escalated(lookup) == []


def test_a_malicious_host_of_nobody_has_a_reputation_and_no_actor(told: Story) -> None:
    reputation = told("free-prize-wheel.example").reputation
    assert reputation is not None
    assert (reputation.score, reputation.classification) == (92, "malicious")


def test_a_wildcard_zone_counts_as_one_neighbour(told: Story) -> None:
    hosts = told("drizzle-mirror.example").hosts
    (zone,) = (report for report in hosts if report.host.value == "plume-pages.example")
    assert zone.reason == "stands for 30 names below it"


def test_a_name_that_turns_through_many_addresses_is_flux(told: Story) -> None:
    (report,) = told("carousel-night.example").hosts
    assert (report.role, report.expanded) == ("flux", False)
