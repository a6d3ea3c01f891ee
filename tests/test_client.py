from dataclasses import replace

import pytest

from mdti.client import MdtiClient
from mdti.errors import ApiError, ApiGone, BadAnswer, ConsentMissing, InputError, MdtiError, Missing
from mdti.graph_api import path_of
from mdti.models import Article, Host, Reputation, Resolutions
from mdti.sandbox.faults import Fault
from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.identity import GRAPH
from mdti.sandbox.odata import Paging
from tests.tenant import Tenant

PASSIVE_DNS = "GET *passivedns*"
SERVER = Host("ipv4", "198.51.100.23")
SERVER6 = Host("ipv6", "2001:db8:23::17")
SILENT = Host("name", "telemetry-cache.example")
UNSEEN = Host("name", "never-seen.example")
HUB = Host("ipv4", "198.18.10.10")


class Client:
    """The app's client with a deadline, and the requests that it made."""

    def __init__(self, tenant: Tenant) -> None:
        app = tenant.app()
        self.tenant = tenant
        self.deadline = app.deadline(600)
        self.client: MdtiClient = app._client

    def passive_dns(self, *hosts: Host, most: int = 10_000) -> list[Resolutions | MdtiError]:
        answers = self.client.passive_dns(
            hosts, enough=lambda _, records: len(records) > most, deadline=self.deadline
        )
        return [answers[host] for host in hosts]

    def reputation(self, host: Host) -> Reputation | MdtiError:
        return self.client.reputations([host], deadline=self.deadline)[host]

    @property
    def queries(self) -> list[str]:
        return [
            "&".join(f"{name}={value}" for name, value in seen.query.items())
            for seen in self.tenant.asked()
        ]


@pytest.fixture
def client(tenant: Tenant) -> Client:
    return Client(tenant)


def options(tenant: Tenant, **changed: object) -> None:
    tenant.sandbox.graph.options = replace(GraphOptions(), **changed)  # type: ignore[arg-type]


def answers(found: Resolutions | MdtiError) -> list[str]:
    assert isinstance(found, Resolutions), found
    return sorted({record.answer.value for record in found.records})


def test_names_are_asked_in_both_directions_and_addresses_in_one(
    client: Client, tenant: Tenant
) -> None:
    silent, server = client.passive_dns(SILENT, SERVER)
    assert answers(silent) == ["198.51.100.23"]
    assert len(answers(server)) == 4
    paths = sorted(seen.path.rpartition("/hosts/")[2] for seen in tenant.asked())
    assert paths == [
        "198.51.100.23/passiveDns",
        "telemetry-cache.example/passiveDns",
        "telemetry-cache.example/passiveDnsReverse",
    ]


def test_an_address_whose_names_are_in_the_other_direction_is_asked_there(
    client: Client, tenant: Tenant
) -> None:
    tenant.faults(Fault(kind="gone", route="GET *passivedns"))
    options(tenant, addresses_in_reverse=True)
    (found,) = client.passive_dns(SERVER)
    assert len(answers(found)) == 4


def test_ipv6_addresses_are_quoted_into_one_segment(client: Client, tenant: Tenant) -> None:
    (found,) = client.passive_dns(SERVER6)
    assert answers(found) == ["ferry-notes.example", "quillpost.example"]
    assert tenant.asked()[0].path.endswith("/hosts/2001%3Adb8%3A23%3A%3A17/passiveDns")


@pytest.mark.parametrize(
    ("changed", "last"),
    [
        ({}, "$top=1000"),
        ({"paging": Paging(max_page_size=100, refuse_large_top=True)}, ""),
        ({"filter_required": True}, "$filter=recordType eq 'CNAME'"),
    ],
)
def test_each_dialect_is_found_once_and_then_spoken(
    client: Client, tenant: Tenant, changed: dict[str, object], last: str
) -> None:
    options(tenant, **changed)
    (first,) = client.passive_dns(SERVER)
    tenant.sandbox.forget()
    (again,) = client.passive_dns(SERVER)
    assert again == first
    assert len(answers(first)) == 4
    assert last in client.queries
    assert {seen.status for seen in tenant.asked()} == {200}


def test_a_host_that_graph_refuses_in_every_dialect_changes_none(
    client: Client, tenant: Tenant
) -> None:
    tenant.faults(Fault(kind="error", status=400, route="GET */telemetry-cache.example/*"))
    silent, server = client.passive_dns(SILENT, SERVER)
    assert isinstance(silent, ApiError)
    assert len(answers(server)) == 4
    assert silent.status == 400
    tenant.sandbox.forget()
    client.passive_dns(SERVER)
    assert client.queries == ["$top=1000"]


def test_small_pages_give_the_same_records(client: Client, tenant: Tenant) -> None:
    whole = client.passive_dns(SERVER, SILENT, HUB)
    for size in (1, 2, 7):
        options(tenant, paging=Paging(page_size=size, max_page_size=size, next_link="skip"))
        assert client.passive_dns(SERVER, SILENT) == whole[:2]
    options(tenant, paging=Paging(page_size=90, max_page_size=90))
    assert client.passive_dns(HUB) == whole[2:]


def test_reading_stops_when_the_degree_decides(client: Client, tenant: Tenant) -> None:
    options(tenant, paging=Paging(page_size=50, max_page_size=50))
    (found,) = client.passive_dns(HUB, most=100)
    assert isinstance(found, Resolutions)
    assert (found.end, len(found.records)) == ("hub", 150)
    assert len(tenant.asked()) == 3


def test_a_collection_that_goes_on_for_ever_is_oversize(
    client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.client.MAX_RECORDS", 120)
    options(tenant, paging=Paging(page_size=50, max_page_size=50))
    (found,) = client.passive_dns(HUB)
    assert isinstance(found, Resolutions)
    assert (found.end, len(found.records)) == ("oversize", 150)


def test_a_page_that_is_gone_is_an_error_and_not_the_end(client: Client, tenant: Tenant) -> None:
    options(tenant, paging=Paging(page_size=2, max_page_size=2))
    tenant.faults(Fault(kind="gone", route=PASSIVE_DNS, after=1))
    (found,) = client.passive_dns(SERVER)
    assert isinstance(found, BadAnswer)


def test_duplicated_records_count_once(client: Client, tenant: Tenant) -> None:
    plain = client.passive_dns(SERVER, SILENT)
    tenant.faults(Fault(kind="duplicates", times=5))
    assert client.passive_dns(SERVER, SILENT) == plain


def test_a_host_that_graph_does_not_know_is_unknown_and_has_no_passive_dns(
    client: Client, tenant: Tenant
) -> None:
    options(tenant, missing_as_404=frozenset({"reputation", "lists"}))
    assert client.reputation(UNSEEN) == Reputation(0, "unknown", ())
    assert client.passive_dns(UNSEEN) == [Resolutions((), "all")]


@pytest.mark.parametrize("status", [404, 410])
def test_an_api_that_is_gone_is_told_from_hosts_that_are_unknown(
    client: Client, tenant: Tenant, status: int
) -> None:
    tenant.faults(Fault(kind="gone", route="GET /graph/*", status=status))
    assert isinstance(client.reputation(SILENT), ApiGone)
    assert isinstance(client.passive_dns(SILENT)[0], ApiGone)
    assert isinstance(client.passive_dns(SERVER)[0], ApiGone)
    with pytest.raises(ApiGone):
        client.client.intel_profiles(deadline=client.deadline)


def test_one_host_that_fails_costs_the_others_nothing(client: Client, tenant: Tenant) -> None:
    tenant.faults(Fault(kind="html", route="GET */hosts/198.51.100.23/*"))
    silent, server = client.passive_dns(SILENT, SERVER)
    assert isinstance(silent, Resolutions)
    assert isinstance(server, BadAnswer)


def test_unknown_words_and_missing_texts_are_tolerated(client: Client, tenant: Tenant) -> None:
    tenant.faults(Fault(kind="odd"))
    found = client.reputation(Host("name", "invoice-inkwell.example"))
    assert isinstance(found, Reputation)
    assert (found.score, found.classification) == (100, "unknownFutureValue")
    assert [(rule.name, rule.description, rule.url) for rule in found.rules] == [
        ("Cyber Threat Intelligence", "", None),
        ("Registrar", "", None),
    ]
    (server,) = client.passive_dns(SERVER)
    assert isinstance(server, Resolutions)
    assert (len(server.records), server.unreadable) == (2, 2)
    assert all(record.first <= record.last for record in server.records)
    assert len(client.client.intel_profiles(deadline=client.deadline)) == 5


def test_profiles_and_their_indicators_are_read_page_by_page(
    client: Client, tenant: Tenant
) -> None:
    whole = client.client.intel_profiles(deadline=client.deadline)
    options(tenant, paging=Paging(page_size=2, max_page_size=2))
    assert client.client.intel_profiles(deadline=client.deadline) == whole
    ids = [profile.id for profile in whole]
    listed = client.client.profile_indicators(ids, deadline=client.deadline)
    sizes = [0 if isinstance(found, MdtiError) else len(found) for found in listed.values()]
    assert sizes == [len(p.indicators) for p in tenant.sandbox.world.profiles.values()]


def test_indicators_beyond_what_can_be_kept_are_an_error_of_their_profile(
    client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.client.MAX_INDICATORS", 2)
    options(tenant, paging=Paging(page_size=1, max_page_size=1))
    ids = list(tenant.sandbox.world.profiles)
    listed = client.client.profile_indicators(ids, deadline=client.deadline)
    sizes = [len(profile.indicators) for profile in tenant.sandbox.world.profiles.values()]
    assert [isinstance(listed[profile_id], BadAnswer) for profile_id in ids] == [
        size > 2 for size in sizes
    ]


def test_articles_are_read_and_a_missing_one_is_an_error(client: Client, tenant: Tenant) -> None:
    (some, *_) = tenant.sandbox.world.articles
    found = client.client.articles([some, "ffffffff"], deadline=client.deadline)
    article = found[some]
    assert isinstance(article, Article)
    assert article.tags[0] == "Paper Drizzle"
    assert "CVE-2099-20931" in article.text
    assert isinstance(found["ffffffff"], Missing)


def test_hunting_gives_rows_and_says_which_permission_is_missing(
    client: Client, tenant: Tenant
) -> None:
    query = 'DeviceTvmSoftwareVulnerabilities\n| where CveId in ("CVE-2099-20931")\n| take 2'
    assert len(client.client.hunt(query, deadline=client.deadline)) == 2
    tenant.sandbox.identity.withdraw(GRAPH, "ThreatHunting.Read.All")
    other = Client(tenant)
    with pytest.raises(ConsentMissing, match=r"ThreatHunting\.Read\.All"):
        other.client.hunt(query, deadline=other.deadline)


@pytest.mark.parametrize("segment", ["", ".", "..", "..."])
def test_no_segment_of_a_path_can_leave_its_place(segment: str) -> None:
    with pytest.raises(InputError):
        path_of("hosts", segment)
    assert path_of("hosts", "a/../b?c#d") == (
        "/security/threatIntelligence/hosts/a%2F..%2Fb%3Fc%23d"
    )


def test_records_are_those_of_the_contract(client: Client) -> None:
    (found,) = client.passive_dns(SILENT)
    assert isinstance(found, Resolutions)
    (record,) = found.records
    assert (record.queried, record.answer, record.record_type) == (SILENT, SERVER, "A")
    assert (record.last - record.first).days == 20
