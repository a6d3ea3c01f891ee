"""Whole incidents, as Sentinel's trigger sends them, to briefs."""

from typing import Any

import pytest

from mdti.errors import ApiGone, ConsentMissing, InputError, LicenceMissing, MdtiError
from mdti.incident_models import Brief
from mdti.sandbox import triggers
from mdti.sandbox.cast import LOADER_SHA256
from mdti.sandbox.faults import Fault
from tests.tenant import Tenant, brief_of, escalated

DRIZZLE, SQUALL = "Paper Drizzle", "Velvet Squall"
MARBLE, MIST = "Marble Thunderhead", "Copper Mist"
HASH = {"algorithm": "SHA256", "hashValue": LOADER_SHA256}


def prompted(brief: Brief) -> list[str]:
    return [prompt.actor for prompt in brief.copilot_prompts]


def html(brief: Brief) -> str:
    assert brief.comment is not None
    return brief.comment.html


def with_entities(tenant: Tenant, *entities: dict[str, Any]) -> dict[str, Any]:
    body = tenant.incident("oneActor")
    body["object"]["properties"]["relatedEntities"] = list(entities)
    return body


@pytest.mark.parametrize(
    ("name", "actors", "after", "prompts"),
    [
        ("invoice", [DRIZZLE], ("High", "Active", (DRIZZLE,)), [DRIZZLE]),
        ("oneActor", [DRIZZLE], ("High", "Active", (DRIZZLE,)), [DRIZZLE]),
        (
            "threeActors",
            [MIST, DRIZZLE, SQUALL],
            ("High", "Active", (MIST, DRIZZLE, SQUALL)),
            [MIST, DRIZZLE, SQUALL],
        ),
        ("ambiguous", [MIST, MARBLE], ("High", "Active", ("actor:ambiguous",)), [MIST, MARBLE]),
        ("malicious", [], ("Medium", "New", ("mdti:malicious",)), []),
        ("none", [], ("Low", "New", ()), []),
        ("private", [], ("Medium", "New", ()), []),
        ("empty", [], ("Medium", "New", ()), []),
        ("bare", [], ("Medium", "New", ()), []),
        ("closed", [DRIZZLE], ("Medium", "Closed", ()), []),
    ],
)
def test_each_incident_of_the_story_gets_its_brief(
    tenant: Tenant,
    name: str,
    actors: list[str],
    after: tuple[str, str, tuple[str, ...]],
    prompts: list[str],
) -> None:
    brief = brief_of(tenant.app(), tenant.incident(name))
    assert [actor.name for actor in brief.actors] == actors
    assert (brief.severity, brief.status, brief.tags) == after
    assert brief.raises == (brief.severity == "High")
    assert prompted(brief) == prompts
    assert brief.complete


def test_the_demo_looks_up_every_kind_of_entity_and_says_what_it_left_out(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(), tenant.incident("invoice"))
    assert {lookup.seed.value for lookup in brief.lookups} == {
        "198.51.100.23",
        "telemetry-cache.example",
        "invoice-inkwell.example",
        "courier-desk.example",
        "198.51.100.26",
        "www.lanternfoods.example",
    }
    assert {(left.kind, left.value) for left in brief.left_out} == {
        ("Host", "wks-12.corp.lanternfoods.example"),
        ("Ip", "10.20.30.40"),
    }
    assert [match.hash.value for match in brief.hash_matches] == [LOADER_SHA256]
    assert [query.title for query in brief.hunting_queries]
    asked = " ".join(seen.path for seen in tenant.asked())
    assert "10.20.30.40" not in asked
    assert "wks-12" not in asked


def test_the_envelope_of_the_trigger_may_be_missing(tenant: Tenant) -> None:
    body = tenant.incident("oneActor")
    whole = brief_of(tenant.fresh(), body)
    bare = brief_of(tenant.fresh(), body["object"])
    assert (bare.tags, bare.comment) == (whole.tags, whole.comment)


@pytest.mark.parametrize("body", [None, [], {}, {"object": {}}, {"object": {"id": "x"}}])
def test_a_body_without_an_incident_is_refused_before_anything_is_asked(
    tenant: Tenant, body: object
) -> None:
    with pytest.raises(InputError):
        tenant.app().parse_incident(body)
    assert tenant.sandbox.requests == ()


def test_nothing_to_look_up_asks_nothing_about_hosts(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(), tenant.incident("private"))
    assert (brief.comment, brief.lookups) == (None, ())
    assert not any("/hosts/" in seen.path for seen in tenant.asked())


def test_our_own_hosts_are_left_out(tenant: Tenant) -> None:
    app = tenant.app(LOOKUP_ALLOWLIST="*.lanternfoods.example")
    brief = brief_of(app, tenant.incident("invoice"))
    assert "www.lanternfoods.example" in {left.value for left in brief.left_out}
    assert not any("lanternfoods" in seen.path for seen in tenant.asked())


def test_several_seeds_share_one_walk(tenant: Tenant) -> None:
    brief_of(tenant.app(), tenant.incident("invoice"))
    paths = [seen.path for seen in tenant.asked()]
    assert len(paths) == len(set(paths))


def test_several_seeds_share_one_budget(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(LOOKUP_MAX_REQUESTS="12"), tenant.incident("invoice"))
    assert {gap.stage for gap in brief.gaps} == {"walk"}
    questions = [seen for seen in tenant.asked() if "passiveDns" in seen.path]
    assert len(questions) <= 12
    assert "INCOMPLETE" in html(brief)


def test_the_brief_is_about_the_time_of_the_incident(tenant: Tenant) -> None:
    body = tenant.incident("oneActor")
    brief = brief_of(tenant.app(), body)
    last = body["object"]["properties"]["lastActivityTimeUtc"]
    assert f"{brief.lookups[0].at:%Y-%m-%dT%H:%M:%SZ}" == last


def test_the_same_findings_get_the_same_comment(tenant: Tenant) -> None:
    app, body = tenant.app(), tenant.incident("oneActor")
    one = brief_of(app, body)
    tenant.pass_time(hours=30)
    other = brief_of(app, body)
    assert one.comment is not None
    assert other.comment is not None
    assert one.comment.id == other.comment.id
    assert prompted(one) == prompted(other)


def test_an_incomplete_brief_without_an_actor_has_a_comment_of_its_own(tenant: Tenant) -> None:
    body = tenant.incident("none")
    tenant.faults(Fault(kind="html", route="GET *passivedns*"))
    incomplete = brief_of(tenant.app(), body)
    tenant.faults()
    whole = brief_of(tenant.app(), body)
    assert incomplete.comment is not None
    assert whole.comment is not None
    assert incomplete.comment.id != whole.comment.id
    assert (incomplete.complete, whole.complete) == (False, True)


def test_file_hashes_alone_are_answered_and_several_actors_share_one(tenant: Tenant) -> None:
    body = with_entities(tenant, triggers.entity("FileHash", "loader", HASH))
    brief = brief_of(tenant.fresh(), body)
    assert (brief.tags, brief.raises) == ((DRIZZLE,), True)
    world = tenant.sandbox.world
    squall = next(p for p in world.profiles.values() if p.title == SQUALL)
    world.indicator(squall, LOADER_SHA256, kind="sha256")
    shared = brief_of(tenant.fresh(), body)
    assert [actor.name for actor in shared.actors] == [DRIZZLE, SQUALL]
    assert not shared.raises


@pytest.mark.parametrize("kind", ["gone", "html", "error"])
def test_file_hashes_that_cannot_be_answered_are_a_gap(tenant: Tenant, kind: str) -> None:
    tenant.faults(Fault(kind=kind, route="GET /graph/*"))
    body = with_entities(tenant, triggers.entity("FileHash", "loader", HASH))
    brief = brief_of(tenant.app(), body)
    assert [gap.stage for gap in brief.gaps] == ["actorIndex"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("noConsent", ConsentMissing), ("noLicence", LicenceMissing), ("gone", ApiGone)],
)
def test_an_api_that_cannot_be_used_fails_the_brief(
    tenant: Tenant, kind: str, error: type[MdtiError]
) -> None:
    tenant.faults(Fault(kind=kind, route="GET /graph/*"))
    with pytest.raises(error):
        brief_of(tenant.app(), tenant.incident("oneActor"))


def test_observing_changes_nothing_and_says_what_would_have_been(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(BRIEF_MODE="observe"), tenant.incident("oneActor"))
    assert (brief.raises, brief.severity, brief.status) == (False, "Medium", "New")
    assert (brief.tags, prompted(brief)) == ((), [])
    assert "Observe mode" in html(brief)


def test_an_actor_that_was_described_lately_is_linked_to_and_not_asked_about(
    tenant: Tenant,
) -> None:
    app = tenant.app()
    first = tenant.incident("oneActor")
    assert prompted(brief_of(app, first)) == [DRIZZLE]
    elsewhere = brief_of(tenant.app(), tenant.incident("threeActors"))
    assert prompted(elsewhere) == [MIST, SQUALL]
    assert f"#{first['object']['properties']['incidentNumber']}" in html(elsewhere)
    assert prompted(brief_of(app, first)) == [DRIZZLE]


def test_an_actor_is_asked_about_again_after_its_days(tenant: Tenant) -> None:
    app = tenant.app()
    brief_of(app, tenant.incident("oneActor"))
    tenant.pass_time(days=8)
    assert DRIZZLE in prompted(brief_of(app, tenant.incident("threeActors")))


def test_reuse_can_be_switched_off(tenant: Tenant) -> None:
    app = tenant.app(COPILOT_REUSE_DAYS="0")
    brief_of(app, tenant.incident("oneActor"))
    assert DRIZZLE in prompted(brief_of(app, tenant.incident("threeActors")))


def test_two_graphs_on_one_store_never_share_a_description(tenant: Tenant) -> None:
    brief_of(tenant.app(), tenant.incident("oneActor"))
    other = tenant.app(GRAPH_API_VERSION="beta")
    assert DRIZZLE in prompted(brief_of(other, tenant.incident("threeActors")))


def test_a_damaged_memory_of_descriptions_asks_again(tenant: Tenant) -> None:
    app = tenant.app()
    brief_of(app, tenant.incident("oneActor"))
    (kept,) = (tenant.folder / "state" / "described").iterdir()
    for body in (b"", b"[]", b"{}", b'{"at": "yesterday"}'):
        kept.write_bytes(body)
        assert DRIZZLE in prompted(brief_of(app, tenant.incident("threeActors")))


def test_a_store_that_is_unavailable_costs_the_memory_and_not_the_brief(tenant: Tenant) -> None:
    (tenant.folder / "blocked").write_text("not a folder")
    brief = brief_of(tenant.app(state="blocked"), tenant.incident("oneActor"))
    assert [escalated(lookup) for lookup in brief.lookups] == [[DRIZZLE]]
    assert [gap.stage for gap in brief.gaps] == ["actorIndex"]
