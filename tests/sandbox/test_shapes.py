import re
from collections.abc import Iterator
from typing import Any

import pytest

from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.host import Sandbox
from mdti.sandbox.world import ACTOR_RULE, World
from tests.sandbox import samples
from tests.sandbox.conftest import NOW, Caller, Clock

HASH = "0" * 64


@pytest.fixture
def tiny(clock: Clock) -> Iterator[Caller]:
    world = World(NOW)
    world.resolution("example.com", "203.0.113.10", 900, 30)
    world.resolution("example.com", "203.0.113.11", 900, 30)
    world.rule("bad.example", ACTOR_RULE, "Example Blizzard")
    profile = world.profile("Example Blizzard", aliases=("EXAMPLIUM",), targets=("Defense",))
    world.indicator(profile, "bad.example")
    article = world.article("Example campaign", tags=("OSINT",))
    world.indicator(article, "bad.example", source="osint")
    world.indicator(article, HASH, kind="sha256", source="public")
    world.vulnerability("CVE-2099-00001", machines=("wks-1",))
    options = GraphOptions(odd_types=False)
    with Sandbox(world, clock=clock, graph=options) as sandbox:
        caller = Caller(sandbox)
        with caller.session:
            yield caller


def profile_id(caller: Caller) -> str:
    return next(iter(caller.sandbox.world.profiles))


def article_id(caller: Caller) -> str:
    return next(iter(caller.sandbox.world.articles))


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("/hosts/example.com", samples.HOSTNAME),
        ("/hosts/203.0.113.10", samples.ADDRESS),
        ("/hosts/bad.example/reputation", samples.REPUTATION),
        ("/hosts/example.com/passiveDns?$count=true&$top=1", samples.PASSIVE_DNS),
        ("/intelProfiles", samples.INTEL_PROFILES),
        ("/intelProfiles/{profile}/indicators", samples.PROFILE_INDICATORS),
        ("/articles", samples.ARTICLES),
        ("/articles/{article}/indicators", samples.ARTICLE_INDICATORS),
    ],
)
def test_bodies_have_the_keys_and_types_of_the_reference_pages(
    tiny: Caller, path: str, sample: dict[str, Any]
) -> None:
    body = tiny.get(path.format(profile=profile_id(tiny), article=article_id(tiny))).json()

    assert samples.fits(samples.shape(body), samples.shape(sample)), body


def test_types_and_ids_are_spelt_as_in_the_samples(tiny: Caller) -> None:
    record = tiny.get("/hosts/example.com/passiveDns").json()["value"][0]
    indicators = tiny.get(f"/articles/{article_id(tiny)}/indicators").json()["value"]

    expected = samples.PASSIVE_DNS["value"][0]
    assert record["id"] == expected["id"]
    assert record["@odata.type"] == expected["@odata.type"]
    assert record["artifact"] == expected["artifact"]
    assert record["parentHost"] == expected["parentHost"]
    assert indicators[0]["id"] == samples.ARTICLE_INDICATORS["value"][0]["id"]
    artifacts = [item["artifact"] for item in samples.ARTICLE_INDICATORS["value"]]
    assert indicators[1]["artifact"].keys() == artifacts[1].keys()
    assert indicators[1]["artifact"]["value"] == HASH
    assert re.fullmatch(r"[0-9a-f]{64}", profile_id(tiny))
    assert re.fullmatch(r"[0-9a-f]{8}", article_id(tiny))


def test_a_vulnerability_has_every_property_of_the_schema(tiny: Caller) -> None:
    body = tiny.get("/vulnerabilities/cve-2099-00001").json()

    assert set(body) - {"@odata.context", "@odata.type"} == samples.VULNERABILITY_PROPERTIES


def test_errors_have_graphs_shape(tiny: Caller) -> None:
    body = tiny.get("/hosts/nobody.example").json()

    assert samples.fits(samples.shape(body), samples.shape(samples.ERROR))


def test_hunting_answers_have_the_shape_of_the_page(tiny: Caller) -> None:
    query = (
        "DeviceTvmSoftwareVulnerabilities | where CveId == 'CVE-2099-00001' | project DeviceName"
    )
    body = tiny.post("/security/runHuntingQuery", {"Query": query}).json()

    assert body.keys() == samples.HUNTING.keys()
    assert body["schema"] == [{"name": "DeviceName", "type": "String"}]
    assert body["results"] == [{"DeviceName": "wks-1"}]


def test_times_carry_none_two_three_and_seven_fractional_digits(caller: Caller) -> None:
    records = caller.records("/hosts/198.18.10.10/passiveDns")
    times = [record["firstSeenDateTime"] for record in records]

    fractions = {len(time.rstrip("Z").partition(".")[2]) for time in times}
    assert fractions == {0, 2, 3, 7}


def test_types_come_in_other_cases_and_sometimes_not_at_all(caller: Caller) -> None:
    records = caller.records("/hosts/198.18.10.10/passiveDns")
    types = {record["artifact"].get("@odata.type") for record in records}

    prefix = "#microsoft.graph.security."
    assert types == {f"{prefix}hostname", f"{prefix}hostName", None}
    assert all(record["parentHost"].keys() == {"id"} for record in records)


def test_a_last_sighting_may_be_missing(caller: Caller) -> None:
    records = caller.records("/hosts/198.51.100.26/passiveDns")

    assert [record["lastSeenDateTime"] for record in records] == [None]
    assert records[0]["collectedDateTime"].startswith("2026-11-17T12:00:00")


@pytest.mark.parametrize(
    ("score", "word"),
    [(0, "unknown"), (24, "unknown"), (25, "neutral"), (50, "suspicious"), (75, "malicious")],
)
def test_the_class_of_a_score_follows_the_documented_brackets(
    caller: Caller, score: int, word: str
) -> None:
    caller.sandbox.world.reputation("scored.example", score)

    assert caller.get("/hosts/scored.example/reputation").json()["classification"] == word
