"""From the incident trigger's body to what can be looked up, whatever the body holds."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.entities import MAX_HOSTS, parse_incident
from mdti.errors import InputError
from mdti.incident_models import FileHash, Incident, LeftOut
from mdti.ioc import HostParser
from mdti.models import Host
from tests.builders import host

PARSER = HostParser(examples=True)
ID = (
    "/subscriptions/0000/resourceGroups/rg-sec/providers/Microsoft.OperationalInsights/workspaces/"
    "law-sec/providers/Microsoft.SecurityInsights/Incidents/69a3"
)
MD5, SHA1, SHA256 = "a" * 32, "b" * 40, "c" * 64


def entity(kind: str, **properties: object) -> dict[str, Any]:
    return {
        "id": "e",
        "type": "Microsoft.SecurityInsights/Entities",
        "kind": kind,
        "properties": properties,
    }


def trigger(*entities: object, **properties: object) -> dict[str, Any]:
    """Return the body as the incident trigger sends it."""
    return {
        "objectSchemaType": "Incident",
        "workspaceId": "5B1F8A30-0000-4000-8000-000000000001",
        "object": {
            "id": ID,
            "properties": {
                "title": "Beacon from a workstation",
                "severity": "Medium",
                "status": "New",
                "labels": [],
                "createdTimeUtc": "2026-11-20T10:00:00Z",
                "lastActivityTimeUtc": "2026-11-20T11:00:00.1234567Z",
                "incidentNumber": 4711,
                "incidentUrl": "https://portal.azure.com/#asset/incident",
                "relatedEntities": list(entities),
                **properties,
            },
        },
    }


def parsed(body: object, **options: Any) -> Incident:
    return parse_incident(body, parser=PARSER, **options)


# --- the incident ---------------------------------------------------------------------------------


def test_the_triggers_body_becomes_an_incident() -> None:
    labels = [{"labelName": " vip ", "labelType": "User"}, {"labelName": ""}, 7, {"labelName": 3}]
    found = parsed(trigger(entity("Ip", address="203.0.113.5"), labels=labels))
    assert found == Incident(
        id=ID,
        number=4711,
        title="Beacon from a workstation",
        severity="Medium",
        status="New",
        at=datetime(2026, 11, 20, 11, 0, 0, 123456, tzinfo=UTC),
        labels=("vip",),
        hosts=(host("203.0.113.5"),),
        hashes=(),
        left_out=(),
        workspace_id="5b1f8a30-0000-4000-8000-000000000001",
        url="https://portal.azure.com/#asset/incident",
    )


def test_the_incident_may_come_without_its_envelope() -> None:
    body = trigger(entity("Ip", address="203.0.113.5"))
    assert parsed(body["object"]).hosts == (host("203.0.113.5"),)
    assert parsed({**body["object"], "object": None}).id == ID


def test_property_names_match_whatever_their_case_and_the_exact_one_wins() -> None:
    body = {
        "Object": {
            "ID": ID,
            "Properties": {
                "Severity": "HIGH",
                "severity": "low",
                "Status": "active",
                "RelatedEntities": [
                    {"Kind": "dns", "Properties": {"DomainName": "evil.example"}},
                    {"Type": "ip", "Address": "203.0.113.5"},
                    {"$id": "3", "Type": "url", "Url": "https://bad.example/a"},
                ],
            },
        },
        "WorkspaceId": "W",
    }
    found = parsed(body)
    assert found.hosts == (host("evil.example"), host("203.0.113.5"), host("bad.example"))
    assert (found.severity, found.status, found.workspace_id) == ("Low", "Active", "w")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ("{}", "JSON object"),
        ({}, "object.id"),
        ({"object": {"id": 7, "properties": {}}}, "object.id"),
        ({"object": {"id": "", "properties": {}}}, "object.id"),
        ({"object": {"id": "x" * 1_025, "properties": {}}}, "object.id"),
        ({"object": {"id": ID}}, "object.properties"),
        ({"object": {"id": ID, "properties": []}}, "object.properties"),
    ],
)
def test_a_body_without_an_incident_is_refused_with_what_is_missing(
    body: object, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        parsed(body)


def test_what_is_missing_or_of_the_wrong_type_has_the_weakest_value() -> None:
    wrong: dict[str, Any] = {
        "title": 7,
        "severity": "Apocalyptic",
        "status": None,
        "labels": "vip",
        "createdTimeUtc": "yesterday",
        "lastActivityTimeUtc": 5,
        "incidentNumber": "4711",
        "incidentUrl": [],
        "relatedEntities": "Ip",
    }
    for properties in (wrong, {}):
        found = parsed({"object": {"id": ID, "properties": properties}, "workspaceId": 7})
        assert found == Incident(ID, None, "", "Informational", "New", None, (), (), (), ())


@pytest.mark.parametrize(
    ("properties", "at"),
    [
        ({"lastActivityTimeUtc": None}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ({"lastActivityTimeUtc": "2026-11-20T13:00:00+02:00"},
         datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ({"lastActivityTimeUtc": "2026-11-20T11:00:00"}, datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ({"lastActivityTimeUtc": "0001-01-01T00:00:00Z"}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ({"lastActivityTimeUtc": "0001-01-01T00:00:00+01:00"},
         datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ({"lastActivityTimeUtc": "9999-12-31T23:59:59-10:00"},
         datetime(2026, 11, 20, 10, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_the_time_is_the_last_activity_else_the_creation(
    properties: dict[str, Any], at: datetime
) -> None:
    assert parsed(trigger(**properties)).at == at


@pytest.mark.parametrize(("mode", "observe"), [(None, False), ("act", False), ("observe", True)])
def test_a_caller_may_ask_that_nothing_is_changed(mode: str | None, observe: bool) -> None:
    assert parsed({**trigger(), "mode": mode}).observe is observe


@pytest.mark.parametrize("mode", ["", "Observe", 1, True, ["observe"]])
def test_a_mode_that_is_unknown_is_refused_and_not_taken_for_acting(mode: object) -> None:
    with pytest.raises(InputError, match="act or observe"):
        parsed({**trigger(), "mode": mode})


# --- entities -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "hosts"),
    [
        (entity("Ip", address="203.0.113.5"), ["203.0.113.5"]),
        (entity("DnsResolution", domainName="evil.example"), ["evil.example"]),
        (entity("Url", url="hxxps://evil[.]example/a"), ["evil.example"]),
        (
            entity("MailMessage", sender="<a@one.example>", p1Sender="b@two.example",
                   p2Sender="a@one.example", senderIP="203.0.113.5"),
            ["one.example", "two.example", "203.0.113.5"],
        ),
        (entity("MailMessage", senderIP="203.0.113.5"), ["203.0.113.5"]),
    ],
)  # fmt: skip
def test_each_kind_gives_its_hosts(found: dict[str, Any], hosts: list[str]) -> None:
    incident = parsed(trigger(found))
    assert incident.hosts == tuple(map(host, hosts))
    assert incident.left_out == ()


@pytest.mark.parametrize(
    ("properties", "algorithm"),
    [
        ({"hashValue": MD5.upper(), "algorithm": "MD5"}, "MD5"),
        ({"hashValue": SHA1}, "SHA1"),
        ({"Value": SHA256}, "SHA256"),
    ],
)
def test_a_file_hash_is_known_by_its_length(properties: dict[str, Any], algorithm: str) -> None:
    (found,) = parsed(trigger(entity("FileHash", **properties))).hashes
    assert found == FileHash(algorithm, next(iter(properties.values())).lower())


@pytest.mark.parametrize("value", ["", "abc", "z" * 32, None, 5])
def test_a_wrong_file_hash_is_left_out(value: object) -> None:
    incident = parsed(trigger(entity("FileHash", hashValue=value)))
    assert incident.hashes == ()
    (left,) = incident.left_out
    assert (left.kind, left.reason) == ("FileHash", "not an MD5, SHA-1 or SHA-256 hash")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"hostName": "www", "dnsDomain": "evil.example"}, "www.evil.example"),
        ({"hostName": "evil.example"}, "evil.example"),
    ],
)
def test_a_machine_is_looked_up_only_when_asked(properties: dict[str, Any], name: str) -> None:
    body = trigger(entity("Host", **properties))
    incident = parsed(body)
    assert incident.hosts == ()
    assert incident.left_out == (LeftOut("Host", name, "usually one of our own machines"),)
    assert parsed(body, lookup_host_entities=True).hosts == (host(name),)


def test_a_machine_without_a_public_name_is_left_out_when_asked_too() -> None:
    body = trigger(
        entity("Host", hostName="wks-12"), entity("Host", dnsDomain="contoso.com"),
        entity("Host", hostName="dc", dnsDomain="contoso.local"),
    )  # fmt: skip
    incident = parsed(body, lookup_host_entities=True)
    assert incident.hosts == ()
    assert [left.value for left in incident.left_out] == ["wks-12", "", "dc.contoso.local"]


def test_what_is_not_infrastructure_is_left_out_by_its_kind() -> None:
    incident = parsed(
        trigger(
            entity("Account", friendlyName="jdoe"),
            entity("Process"),
            {"properties": {"address": "203.0.113.5"}},
            "not an entity",
            None,
        )
    )
    assert incident.left_out == (
        LeftOut("Account", "jdoe", "not infrastructure"),
        LeftOut("Process", "", "not infrastructure"),
        LeftOut("unknown", "", "not infrastructure"),
        LeftOut("unknown", "", "not an entity"),
    )


def test_what_is_not_public_is_left_out_with_the_parsers_reason() -> None:
    incident = parsed(
        trigger(
            entity("Ip", address="10.0.0.4"),
            entity("Url", url="https://../../../me"),
            entity("DnsResolution"),
            entity("MailMessage", sender="root@localhost"),
        )
    )
    assert incident.hosts == ()
    reasons = [left.reason for left in incident.left_out]
    assert "private address" in reasons[0]
    assert reasons[2] == "names no host"
    assert [left.kind for left in incident.left_out] == [
        "Ip", "Url", "DnsResolution", "MailMessage",
    ]  # fmt: skip


def test_entities_of_all_places_are_read_in_order_and_each_host_once() -> None:
    body = trigger(entity("Ip", address="203.0.113.5"), entity("Ip", address="203.0.113.6"))
    body["object"]["relatedEntities"] = [entity("Ip", address="203.0.113.7")]
    body["entities"] = [entity("Url", url="https://203.0.113.5/"), entity("Ip", address="8.8.8.8")]
    found = [one.value for one in parsed(body).hosts]
    assert found == ["203.0.113.5", "203.0.113.6", "203.0.113.7", "8.8.8.8"]


def test_an_incident_without_related_entities_takes_the_merged_ones() -> None:
    body = trigger()
    del body["object"]["properties"]["relatedEntities"]
    assert parsed(body).hosts == ()
    body["entities"] = [entity("Ip", address="203.0.113.5")]
    assert parsed(body).hosts == (host("203.0.113.5"),)


def test_hosts_beyond_the_limit_are_left_out_and_said() -> None:
    many = [entity("DnsResolution", domainName=f"h{n}.example") for n in range(MAX_HOSTS + 5)]
    incident = parsed(trigger(*many))
    assert len(incident.hosts) == MAX_HOSTS
    assert {left.reason for left in incident.left_out} == {"more than 100 hosts in one incident"}
    assert [left.value for left in incident.left_out] == [f"h{n}.example" for n in range(100, 105)]


def test_what_the_allow_list_covers_is_left_out_and_takes_no_place() -> None:
    def allowed(one: Host) -> str | None:
        return "*.ours.example" if one.value.endswith(".ours.example") else None

    many = [entity("DnsResolution", domainName=f"h{n}.example") for n in range(MAX_HOSTS)]
    incident = parsed(
        trigger(entity("DnsResolution", domainName="www.ours.example"), *many), allowlisted=allowed
    )
    assert len(incident.hosts) == MAX_HOSTS
    assert incident.left_out == (
        LeftOut("name", "www.ours.example", "on the allow list (*.ours.example)"),
    )


# --- whatever arrives -----------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(("Ip", "Url", "FileHash", "Host", "evil.example", "0001-01-01T00:00:00+14:00")),
)  # fmt: skip
KEYS = st.sampled_from(
    ("object", "id", "properties", "relatedEntities", "entities", "kind", "type", "labels",
     "labelName", "address", "url", "domainName", "sender", "hashValue", "severity", "status",
     "lastActivityTimeUtc", "Properties", "x")
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=25,
)


@settings(max_examples=250, deadline=None)
@given(body=JSON)
def test_any_json_is_an_incident_or_an_input_error(body: object) -> None:
    for whole in (body, {"object": {"id": ID, "properties": body}}, trigger(body), {
        **trigger(), "entities": body,
    }):  # fmt: skip
        try:
            incident = parsed(whole)
        except InputError:
            continue
        assert len(incident.hosts) <= MAX_HOSTS
        assert all(PARSER.parse(one.value) == one for one in incident.hosts)


PROPERTIES = ("title", "severity", "status", "labels", "lastActivityTimeUtc", "relatedEntities")


@settings(max_examples=100, deadline=None)
@given(properties=st.dictionaries(st.sampled_from(PROPERTIES), JSON))
def test_any_property_may_hold_anything(properties: dict[str, object]) -> None:
    incident = parsed(trigger(**properties))
    assert incident.id == ID
