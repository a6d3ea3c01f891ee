"""Look-ups on good days and bad ones, through the app and over the wire."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from mdti.errors import (
    ApiGone,
    ConsentMissing,
    IdentityError,
    LicenceMissing,
    MdtiError,
    SettingError,
    Unauthorized,
)
from mdti.lookup import MAX_ARTICLES
from mdti.sandbox.faults import Fault, Faults, RateLimit
from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.identity import GRAPH
from mdti.sandbox.odata import Paging
from mdti.sandbox.world import World
from tests.tenant import SEED, Tenant, escalated, finding, stages

REPUTATION = "GET */reputation"
PASSIVE_DNS = "GET *passivedns*"
PROFILES = "GET */intelprofiles*"
INDICATORS = "GET */indicators"
ALL = "GET /graph/*"
HOUR = 3_600.0

SEEDS = (
    SEED,
    "198.51.100.23",
    "lighthouse-broker.example",
    "parcel-notice.example",
    "updates.parcel-hub.example",
    "pay-orchard.example",
    "orchard-bakery.example",
)


HUB_SEED = "squall-pay.example"


def findings(tenant: Tenant, **settings: str) -> list[str]:
    """Return what each seed gives, one after the other, in an app with an empty store."""
    app = tenant.fresh(**settings)
    return [finding(tenant.look_up_one(app, seed)) for seed in SEEDS]


@pytest.mark.parametrize("route", [REPUTATION, PASSIVE_DNS, PROFILES, INDICATORS, ALL])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="throttle", retry_after=2, count=3),
        Fault(kind="throttle", count=3),
        Fault(kind="error", status=500, count=3),
        Fault(kind="error", status=502, count=3),
        Fault(kind="error", status=503, count=3),
        Fault(kind="noLicence", count=3),
        Fault(kind="cut", count=3),
        Fault(kind="drop", count=3),
        Fault(kind="expiredToken", count=1),
        Fault(kind="slow", seconds=1),
        Fault(kind="duplicates", times=5),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.retry_after}",
)
def test_nothing_is_lost_when_the_server_recovers_in_time(
    tenant: Tenant, fault: Fault, route: str
) -> None:
    undisturbed = finding(tenant.look_up_one(tenant.fresh()))
    tenant.faults(replace(fault, route=route))
    assert finding(tenant.look_up_one(tenant.fresh())) == undisturbed


@pytest.mark.parametrize(
    ("route", "stage"),
    [(REPUTATION, "reputation"), (PASSIVE_DNS, "passiveDns"), (PROFILES, "actorIndex")],
)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="throttle", retry_after=2),
        Fault(kind="throttle"),
        Fault(kind="throttle", retry_after=3_000),
        Fault(kind="error", status=503),
        Fault(kind="html"),
        Fault(kind="cut"),
        Fault(kind="drop"),
        Fault(kind="slow", seconds=400),
        Fault(kind="latency", seconds=400),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.retry_after}",
)
def test_a_look_up_ends_says_what_is_missing_and_is_whole_once_the_server_recovers(
    tenant: Tenant, fault: Fault, route: str, stage: str
) -> None:
    undisturbed = finding(tenant.look_up_one(tenant.fresh()))
    app = tenant.fresh(LOOKUP_CONCURRENCY="1")
    tenant.faults(replace(fault, route=route))
    lookup = tenant.look_up_one(app, timeoutSeconds=90)
    assert stage in stages(lookup)
    assert not lookup.complete
    tenant.faults()
    tenant.pass_time(seconds=HOUR)
    # A slow answer that nobody waits for any more may still let time pass.
    assert finding(tenant.look_up_one(app, timeoutSeconds=600)) == undisturbed


@pytest.mark.parametrize("route", [REPUTATION, PASSIVE_DNS, PROFILES, ALL])
def test_a_look_up_that_is_refused_again_and_again_ends_within_its_time(
    tenant: Tenant, route: str
) -> None:
    tenant.faults(Fault(kind="throttle", route=route, retry_after=7))
    before = tenant.clock.seconds
    lookup = tenant.look_up_one(tenant.app(LOOKUP_CONCURRENCY="1"), timeoutSeconds=60)
    assert tenant.clock.seconds - before <= 60
    assert lookup.stats.throttled > 0
    assert not lookup.complete


@pytest.mark.parametrize("kind", ["loop", "foreignLink"])
@pytest.mark.parametrize(
    ("route", "stage"), [(PASSIVE_DNS, "passiveDns"), (PROFILES, "actorIndex")]
)
def test_links_that_lead_in_a_circle_or_elsewhere_are_not_followed(
    tenant: Tenant, kind: str, route: str, stage: str
) -> None:
    tenant.faults(Fault(kind=kind, route=route))
    lookup = tenant.look_up_one(tenant.app())
    assert stages(lookup) == {stage}
    assert len(tenant.asked()) < 20


def test_reputations_that_fail_leave_what_the_profiles_say(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="error", route=REPUTATION))
    lookup = tenant.look_up_one(tenant.app())
    assert {item.kind for item in lookup.actors[0].evidence} == {"intelProfile"}
    assert {gap.stage for gap in lookup.gaps} == {"reputation"}
    assert {str(gap.host and gap.host.value) for gap in lookup.gaps} >= {SEED, "198.51.100.23"}


def test_an_article_that_cannot_be_read_is_a_gap(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="gone", route="GET */articles/*"))
    lookup = tenant.look_up_one(tenant.app(), "parcel-notice.example")
    assert [(gap.stage, gap.host and gap.host.value) for gap in lookup.gaps] == [
        ("article", "parcel-notice.example")
    ]
    assert lookup.actors == ()


def test_articles_beyond_the_limit_are_a_gap(tenant: Tenant) -> None:
    world = tenant.sandbox.world
    for number in range(MAX_ARTICLES + 2):
        world.article_rule("weather-today.example", world.article(f"Report {number}"))
    lookup = tenant.look_up_one(tenant.app(), "weather-today.example")
    assert [gap.reason for gap in lookup.gaps] == ["2 linked articles were not read"]


@pytest.mark.parametrize("kind", ["throttle", "error", "cut", "drop", "noLicence"])
def test_nothing_is_lost_in_batches_when_the_server_recovers_in_time(
    tenant: Tenant, kind: str
) -> None:
    undisturbed = finding(tenant.look_up_one(tenant.fresh()))
    for route in (REPUTATION, "POST *batch"):
        tenant.faults(Fault(kind=kind, route=route, count=2))
        assert finding(tenant.look_up_one(tenant.fresh(GRAPH_BATCH="on"))) == undisturbed


def test_records_that_a_later_api_might_send_are_read_as_far_as_they_go(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="odd"))
    lookup = tenant.look_up_one(tenant.app(), "198.51.100.23")
    assert escalated(lookup) == ["Paper Drizzle"]
    assert {gap.reason for gap in lookup.gaps} == {
        "1 record could not be read",
        "2 records could not be read",
    }


def test_a_token_that_dies_midway_is_renewed_once_for_all(tenant: Tenant) -> None:
    undisturbed = finding(tenant.look_up_one(tenant.fresh()))
    app = tenant.fresh()
    app.refresh_index()
    tenant.sandbox.tokens.revoke()
    tenant.sandbox.forget()
    assert finding(tenant.look_up_one(app)) == undisturbed
    assert len(tenant.asked("identity")) == 1


@pytest.mark.parametrize(
    "options",
    [
        GraphOptions(paging=Paging(page_size=2, max_page_size=2)),
        GraphOptions(paging=Paging(page_size=30, max_page_size=30, next_link="skip")),
        GraphOptions(paging=Paging(max_page_size=100, refuse_large_top=True)),
        GraphOptions(filter_required=True),
        GraphOptions(missing_as_404=frozenset({"reputation", "lists"})),
        GraphOptions(addresses_in_reverse=True),
        GraphOptions(odd_types=False),
        GraphOptions(batch=False),
    ],
    ids=["2 a page", "30 a page", "refused $top", "filter", "404", "reverse", "types", "no batch"],
)
def test_every_dialect_of_graph_gives_the_same_answers(
    tenant: Tenant, options: GraphOptions
) -> None:
    undisturbed = findings(tenant)
    tenant.sandbox.graph.options = options
    assert findings(tenant) == undisturbed


def test_a_hub_is_a_hub_however_many_of_its_names_a_page_shows(tenant: Tenant) -> None:
    seen = set()
    for size in (1_000, 90, 30):
        tenant.sandbox.graph.options = GraphOptions(paging=Paging(max_page_size=size))
        lookup = tenant.look_up_one(tenant.fresh(), HUB_SEED)
        seen.add(finding(lookup))
        assert {report.host.value: report.role for report in lookup.hosts} == {
            HUB_SEED: "name",
            "198.18.10.10": "hub",
        }
        assert (escalated(lookup), lookup.complete) == (["Velvet Squall"], True)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"LOOKUP_CONCURRENCY": "1"},
        {"LOOKUP_CONCURRENCY": "32"},
        {"GRAPH_BATCH": "on"},
        {"GRAPH_BATCH": "on", "LOOKUP_CONCURRENCY": "1"},
        {"GRAPH_API_VERSION": "beta"},
    ],
    ids=str,
)
def test_the_way_of_asking_does_not_change_the_answer(
    tenant: Tenant, settings: dict[str, str]
) -> None:
    assert findings(tenant, **settings) == findings(tenant)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_and_duplicated_records_give_the_same_answers(tenant: Tenant, seed: int) -> None:
    undisturbed = findings(tenant)
    _shuffle(tenant.sandbox.world, Random(seed))
    tenant.faults(Fault(kind="duplicates", times=3))
    assert findings(tenant) == undisturbed


def test_an_unrelated_hub_changes_nothing(tenant: Tenant) -> None:
    undisturbed = findings(tenant)
    world = tenant.sandbox.world
    for number in range(300):
        world.resolution(f"elsewhere-{number}.example", "198.18.77.77", 300, 0)
    assert findings(tenant) == undisturbed


def test_a_neighbour_that_became_a_hub_ends_the_walk_there(tenant: Tenant) -> None:
    for number in range(300):
        tenant.sandbox.world.resolution(f"crowd-{number}.example", "198.51.100.23", 300, 0)
    lookup = tenant.look_up_one(tenant.app())
    assert [report.role for report in lookup.hosts] == ["name", "hub"]
    assert (lookup.actors, lookup.complete) == ((), True)


def test_a_cold_and_a_warm_memory_give_the_same_answers(tenant: Tenant) -> None:
    app = tenant.fresh()
    cold = findings(tenant)
    for seed in reversed(SEEDS):
        tenant.look_up_one(app, seed)
    tenant.pass_time(hours=2)
    tenant.sandbox.forget()
    assert [finding(tenant.look_up_one(app, seed)) for seed in SEEDS] == cold
    assert tenant.asked() == ()


def test_several_seeds_share_one_walk_and_have_the_same_actors_as_each_alone(
    tenant: Tenant,
) -> None:
    app = tenant.fresh()
    alone = [tenant.look_up_one(app, seed) for seed in SEEDS]
    cost = sum(lookup.stats.requests for lookup in alone)
    together = tenant.look_up(tenant.fresh(), *SEEDS)
    assert [lookup.actors for lookup in together] == [lookup.actors for lookup in alone]
    assert [lookup.resolutions for lookup in together] == [lookup.resolutions for lookup in alone]
    assert {lookup.stats for lookup in together} == {together[0].stats}
    assert together[0].stats.requests <= cost


def test_seeds_that_repeat_are_answered_as_often_and_asked_once(tenant: Tenant) -> None:
    app = tenant.app()
    one, other = app._lookups.look_up(
        app.parse_lookup({"ioc": SEED}).hosts * 2,
        options=app.parse_lookup({"ioc": SEED}).options,
        deadline=app.deadline(60),
    )
    assert one == other
    assert sum(seen.path.endswith(f"{SEED}/reputation") for seen in tenant.asked()) == 1


def test_the_answer_is_about_the_moment_that_was_asked_for(tenant: Tenant) -> None:
    app = tenant.app()
    past = tenant.sandbox.world.now - timedelta(days=211)
    request = app.parse_lookup({"ioc": "203.0.113.77"})
    (then,) = app.look_up(request, at=past)
    (later,) = app.look_up(request, at=tenant.now() + timedelta(days=9))
    assert escalated(then) == ["Velvet Squall"]
    assert "orchard-bakery.example" not in {report.host.value for report in then.hosts}
    assert escalated(later) == []
    assert later.at == tenant.now()


def test_the_limits_of_hosts_and_requests_are_gaps(tenant: Tenant) -> None:
    few_hosts = tenant.look_up_one(tenant.fresh(), maxHosts=2)
    assert [gap.reason for gap in few_hosts.gaps] == [
        "the limit of 2 hosts was reached: 3 hosts were not followed"
    ]
    few_requests = tenant.look_up_one(tenant.fresh(LOOKUP_MAX_REQUESTS="3"))
    assert stages(few_requests) == {"walk"}


def test_our_own_hosts_are_named_and_not_followed(tenant: Tenant) -> None:
    lookup = tenant.look_up_one(tenant.app(LOOKUP_ALLOWLIST="198.51.100.0/25"))
    assert {report.host.value: report.role for report in lookup.hosts} == {
        SEED: "name",
        "198.51.100.23": "allowlisted",
    }
    assert lookup.actors == ()


def test_depth_zero_looks_at_the_seed_alone(tenant: Tenant) -> None:
    lookup = tenant.look_up_one(tenant.app(), "invoice-inkwell.example", depth=0)
    assert [report.host.value for report in lookup.hosts] == ["invoice-inkwell.example"]
    assert escalated(lookup) == ["Paper Drizzle"]


def test_a_server_that_throttles_loses_nothing(tenant: Tenant) -> None:
    undisturbed = findings(tenant)
    limit = RateLimit(rate=5, burst=5)
    tenant.sandbox.faults = Faults(limit=limit, clock=tenant.clock)
    assert findings(tenant, LOOKUP_CONCURRENCY="2") == undisturbed


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="noLicence"), LicenceMissing),
        (Fault(kind="noConsent"), ConsentMissing),
        (Fault(kind="gone"), ApiGone),
        (Fault(kind="gone", status=410), ApiGone),
        (Fault(kind="expiredToken"), Unauthorized),
    ],
    ids=["licence", "consent", "gone", "gone-410", "identity"],
)
def test_an_api_that_cannot_be_used_is_an_error_and_never_no_actor(
    tenant: Tenant, fault: Fault, error: type[MdtiError], warm: bool
) -> None:
    app = tenant.app()
    if warm:
        app.refresh_index()
    tenant.faults(replace(fault, route=ALL))
    with pytest.raises(error) as caught:
        tenant.look_up_one(app)
    assert caught.value.hint


def test_an_api_that_went_away_since_is_said_though_reputations_are_remembered(
    tenant: Tenant,
) -> None:
    app = tenant.app()
    tenant.look_up_one(app, "198.51.100.23", depth=1)
    tenant.faults(Fault(kind="gone", route=ALL))
    lookup = tenant.look_up_one(app)
    assert stages(lookup) == {"passiveDns"}
    assert "has no threat intelligence API" in lookup.gaps[0].reason


def test_an_identity_without_the_permission_lacks_consent(tenant: Tenant) -> None:
    tenant.sandbox.identity.withdraw(GRAPH, "ThreatIntelligence.Read.All")
    with pytest.raises(ConsentMissing, match=r"ThreatIntelligence\.Read\.All is not granted"):
        tenant.look_up_one(tenant.app())


@pytest.mark.parametrize(
    "fault", [Fault(kind="error", status=400), Fault(kind="html")], ids=["error", "html"]
)
def test_an_identity_endpoint_that_is_broken_is_said(tenant: Tenant, fault: Fault) -> None:
    tenant.faults(replace(fault, route="* /identity/*"))
    with pytest.raises(IdentityError, match="managed identity") as caught:
        tenant.look_up_one(tenant.app())
    assert caught.value.hint


def test_licence_consent_api_and_identity_have_four_messages(tenant: Tenant) -> None:
    said = []
    for fault in (
        Fault(kind="noLicence", route=ALL),
        Fault(kind="noConsent", route=ALL),
        Fault(kind="gone", route=ALL),
        Fault(kind="error", route="* /identity/*", status=400),
    ):
        tenant.faults(fault)
        with pytest.raises(MdtiError) as caught:
            tenant.look_up_one(tenant.fresh())
        document = caught.value.to_json()["error"]
        said.append((document["code"], document["message"], document["details"]["hint"]))
    assert [code for code, _, _ in said] == [
        "licenceMissing",
        "consentMissing",
        "apiGone",
        "identityUnavailable",
    ]
    assert len({message for _, message, _ in said}) == len({hint for _, _, hint in said}) == 4


def test_a_sovereign_cloud_is_told_that_it_has_no_threat_intelligence(tenant: Tenant) -> None:
    app = tenant.app(GRAPH_ENDPOINT="https://graph.microsoft.us")
    request = app.parse_lookup({"ioc": "198.51.101.1"})
    with pytest.raises(ApiGone) as caught:
        app.look_up(request)
    assert caught.value.hint
    assert tenant.asked() == ()


def test_a_setting_that_is_wrong_is_named(tenant: Tenant) -> None:
    with pytest.raises(SettingError, match="LOOKUP_CONCURRENCY must be a whole number"):
        tenant.look_up_one(tenant.app(LOOKUP_CONCURRENCY="many"))


def test_a_store_that_is_a_file_costs_time_and_not_the_answer(tenant: Tenant) -> None:
    undisturbed = tenant.look_up_one(tenant.fresh())
    (tenant.folder / "blocked").write_text("not a folder")
    lookup = tenant.look_up_one(tenant.app(state="blocked"))
    assert stages(lookup) == {"actorIndex"}
    assert lookup.hosts == undisturbed.hosts


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_costs_time_and_not_the_answer(tenant: Tenant) -> None:
    undisturbed = tenant.look_up_one(tenant.fresh())
    (tenant.folder / "locked").mkdir(mode=0o500)
    lookup = tenant.look_up_one(tenant.app(state="locked"))
    assert stages(lookup) == {"actorIndex"}
    assert lookup.hosts == undisturbed.hosts


def test_many_look_ups_at_once_answer_as_one_after_the_other(tenant: Tenant) -> None:
    alone = findings(tenant)
    app = tenant.fresh()
    with ThreadPoolExecutor(len(SEEDS)) as threads:
        lookups = list(threads.map(lambda seed: tenant.look_up_one(app, seed), SEEDS))
    assert [finding(lookup) for lookup in lookups] == alone


def _shuffle(world: World, random: Random) -> None:
    for records in (*world._answers.values(), *world._askers.values()):
        random.shuffle(records)
    for profile in world.profiles.values():
        random.shuffle(profile.indicators)
    profiles = list(world.profiles.items())
    random.shuffle(profiles)
    world.profiles = dict(profiles)
