import json
import re

import pytest

from mdti.sandbox import story, triggers
from tests.sandbox.conftest import NOW


def entities(name: str) -> list[dict[str, object]]:
    found = triggers.incident(name, NOW)["object"]["properties"]["relatedEntities"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", triggers.names())
def test_every_incident_has_the_triggers_envelope(name: str) -> None:
    body = triggers.incident(name, NOW)

    assert json.loads(json.dumps(body)) == body
    assert body.keys() == {
        "eventUniqueId",
        "objectSchemaType",
        "objectEventType",
        "workspaceInfo",
        "workspaceId",
        "object",
    }
    assert body["object"].keys() == {"id", "name", "etag", "type", "properties"}
    assert body["object"]["properties"].keys() >= {
        "title",
        "severity",
        "status",
        "owner",
        "labels",
        "incidentNumber",
        "additionalData",
        "relatedAnalyticRuleIds",
        "incidentUrl",
        "providerName",
        "alerts",
    }
    assert f"    {name} " in (triggers.__doc__ or "")


def test_the_demo_has_every_kind_a_private_address_and_a_benign_name() -> None:
    found = entities("invoice")
    kinds = [item["kind"] for item in found]

    assert set(kinds) == {"Ip", "DnsResolution", "Url", "Host", "FileHash", "MailMessage"}
    text = json.dumps(found)
    assert "10.20.30.40" in text
    assert "www.lanternfoods.example" in text


def test_every_outside_name_of_an_incident_is_in_the_world() -> None:
    world = story.build(NOW)
    for name in triggers.names():
        text = json.dumps(
            triggers.incident(name, NOW)["object"]["properties"].get("relatedEntities")
        )
        hosts = set(re.findall(r"[a-z0-9.-]+\.example", text))
        inside = {host for host in hosts if host.endswith("lanternfoods.example")}
        assert hosts - inside <= world.hosts.keys(), name


def test_the_odd_ones_are_odd() -> None:
    assert entities("empty") == []
    assert "relatedEntities" not in triggers.incident("bare", NOW)["object"]["properties"]
    assert triggers.incident("closed", NOW)["object"]["properties"]["status"] == "Closed"
    assert {item["kind"] for item in entities("private")} == {"Ip", "Host"}
    with pytest.raises(KeyError):
        triggers.incident("nobody", NOW)


def test_the_same_incident_is_the_same_every_time() -> None:
    assert triggers.incident("invoice", NOW) == triggers.incident("invoice", NOW)
