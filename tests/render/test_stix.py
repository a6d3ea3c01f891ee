"""STIX 2.1 as its own library reads it, strictly."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stix2

from mdti.render.stix import lookups_stix
from tests.render.samples import (
    HOSTILE,
    NOW,
    PROFILE_ID,
    blizzard,
    empty_lookup,
    evidence,
    hostile_lookup,
    sample_lookup,
    seen,
)


def parsed(*lookups: Any) -> list[Any]:
    bundle = stix2.parse(json.dumps(lookups_stix(lookups, now=NOW)), allow_custom=False)
    return list(bundle.objects)


def of_type(objects: list[Any], kind: str) -> list[Any]:
    return [item for item in objects if item["type"] == kind]


def test_hosts_actors_and_their_links_are_there_with_dates_and_confidence() -> None:
    objects = parsed(sample_lookup())
    by_id = {item["id"]: item for item in objects}
    assert len(by_id) == len(objects)
    (group,) = (item for item in of_type(objects, "intrusion-set") if item.get("aliases"))
    assert group["name"] == "Example Blizzard"
    assert group["external_references"][0]["url"].endswith(PROFILE_ID)
    links = of_type(objects, "relationship")
    indicates = [link for link in links if link["relationship_type"] == "indicates"]
    assert {link["confidence"] for link in indicates} == {93, 18}
    assert all(link["start_time"] < link["stop_time"] for link in indicates)
    assert all(link["source_ref"] in by_id and link["target_ref"] in by_id for link in links)
    patterns = {item["pattern"] for item in of_type(objects, "indicator")}
    assert "[ipv4-addr:value = '203.0.113.10']" in patterns
    assert of_type(objects, "ipv6-addr")


def test_names_resolve_to_addresses_whichever_was_asked() -> None:
    objects = parsed(sample_lookup())
    kinds = {
        (link["relationship_type"], link["source_ref"].split("--")[0])
        for link in of_type(objects, "relationship")
        if link["relationship_type"] != "indicates"
    }
    assert kinds == {("resolves-to", "domain-name")}


def test_two_addresses_are_related_and_never_resolve() -> None:
    odd = seen("203.0.113.10", "203.0.113.11", "2026-01-01", "2026-01-01")
    objects = parsed(replace(sample_lookup(), actors=(), resolutions=(odd,)))
    (link,) = of_type(objects, "relationship")
    assert link["relationship_type"] == "related-to"
    assert "stop_time" not in link


def test_an_observable_has_the_id_that_every_producer_gives_it() -> None:
    objects = parsed(sample_lookup())
    for item in objects:
        if item["type"] in {"ipv4-addr", "ipv6-addr", "domain-name"}:
            assert (
                item["id"]
                == stix2.parse({"type": item["type"], "value": item["value"]}, version="2.1").id
            )


def test_ids_stay_when_the_bundle_is_made_again_later() -> None:
    first = lookups_stix([sample_lookup()], now=NOW)
    again = lookups_stix([sample_lookup(), sample_lookup()], now=NOW + timedelta(days=1))
    assert [item["id"] for item in first["objects"]] == [item["id"] for item in again["objects"]]
    created = {item["created"] for item in again["objects"] if "created" in item}
    assert len(created) == 1


def test_a_listed_seed_without_a_path_is_valid_from_now() -> None:
    objects = parsed(replace(sample_lookup(), actors=(blizzard(evidence(hops=0)),)))
    (indicator,) = of_type(objects, "indicator")
    assert indicator["valid_from"] == NOW


def test_an_incomplete_look_up_carries_a_note() -> None:
    (note,) = of_type(parsed(sample_lookup()), "note")
    assert "static-assets[.]test" in note["content"]
    assert not of_type(parsed(empty_lookup()), "note")


def test_no_look_up_leaves_the_source_alone() -> None:
    assert [item["type"] for item in parsed()] == ["identity"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_valid_stix(text: str) -> None:
    assert parsed(hostile_lookup(text))
