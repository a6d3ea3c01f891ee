import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mdti.sandbox import triggers
from mdti.sandbox.host import Sandbox
from mdti.sandbox.incidents import PLAYBOOK_CLIENT_ID, Incident, Incidents
from mdti.sandbox.sentinel import AUDIENCE, Arm, Connector

API = "?api-version=2025-09-01"
COMMENT = "0d8f3d6a-2f4e-5b0e-a3a4-8d3b1c2f7a10"


class Caller:
    def __init__(self) -> None:
        self.incidents = Incidents()
        self.sandbox = Sandbox(
            vendors=lambda sandbox: (
                Arm(self.incidents, sandbox.tokens),
                Connector(self.incidents, sandbox.tokens),
            )
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        client_id: str = PLAYBOOK_CLIENT_ID,
        audience: str = AUDIENCE,
    ) -> tuple[int, Any]:
        token, _ = self.sandbox.tokens.issue(audience, (), client_id=client_id)
        host = self.sandbox.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@pytest.fixture
def caller() -> Iterator[Caller]:
    one = Caller()
    with one.sandbox:
        yield one


def an_incident(caller: Caller) -> Incident:
    return caller.incidents.add("Beaconing", [("Ip", {"address": "198.51.100.23"})])


def test_an_incident_is_read_with_its_etag_and_its_entities(caller: Caller) -> None:
    incident = an_incident(caller)
    status, document = caller.call("GET", f"/arm{incident.id}{API}")
    assert (status, document["etag"], document["properties"]["status"]) == (
        200,
        incident.etag,
        "New",
    )
    _, found = caller.call("POST", f"/arm{incident.id.lower()}/entities{API}")
    assert found["entities"][0]["properties"] == {"address": "198.51.100.23"}
    assert found["metaData"] == [{"entityKind": "Ip", "count": 1}]


def test_a_caller_needs_a_token_for_arm_a_known_version_and_an_incident(caller: Caller) -> None:
    incident = an_incident(caller)
    path = f"/arm{incident.id}"
    assert caller.call("GET", path + API, audience="https://graph.microsoft.com")[0] == 401
    assert caller.call("GET", path)[0] == 400
    assert caller.call("GET", f"{path}x{API}")[0] == 404
    assert caller.call("GET", f"{path}/tasks{API}")[0] == 404


def test_the_same_comment_id_is_one_comment_of_one_author(caller: Caller) -> None:
    incident = an_incident(caller)
    path = f"/arm{incident.id}/comments/{COMMENT}{API}"
    body = {"properties": {"message": "<p>m</p>"}}
    assert caller.call("GET", path)[0] == 404
    assert [caller.call("PUT", path, body)[0] for _ in range(2)] == [201, 200]
    assert caller.call("PUT", path, body, client_id="somebody-else")[0] == 403
    assert caller.call("GET", path)[1]["properties"]["message"] == "<p>m</p>"
    listed = caller.call("GET", f"/arm{incident.id}/comments{API}")[1]
    assert [one["name"] for one in listed["value"]] == [COMMENT]


def test_a_comment_and_an_incident_have_the_fields_of_the_published_samples(
    caller: Caller,
) -> None:
    incident = an_incident(caller)
    path = f"/arm{incident.id}/comments/{COMMENT}{API}"
    comment = caller.call("PUT", path, {"properties": {"message": "m"}})[1]
    assert set(comment) == {"id", "name", "etag", "type", "properties"}
    assert comment["id"] == f"{incident.id}/Comments/{COMMENT}"
    times = {"createdTimeUtc", "lastModifiedTimeUtc"}
    assert set(comment["properties"]) == {"message", "author"} | times
    author = {"objectId", "email", "name", "userPrincipalName"}
    assert set(comment["properties"]["author"]) == author
    document = caller.call("GET", f"/arm{incident.id}{API}")[1]
    assert set(document) == {"id", "name", "etag", "type", "properties"}
    assert document["properties"]["additionalData"]["commentsCount"] == 1
    assert set(document["properties"]) >= times | {"title", "severity", "status", "labels", "owner"}


def test_comments_are_limited_in_length_and_number(caller: Caller) -> None:
    incident = an_incident(caller)
    path = f"/arm{incident.id}/comments/{COMMENT}{API}"
    assert caller.call("PUT", path, {"properties": {"message": "x" * 30_001}})[0] == 400
    assert caller.call("PUT", path, {"properties": {}})[0] == 400
    for _ in range(100):
        body = {"incidentArmId": incident.id, "message": "m"}
        assert caller.call("POST", "/sentinel/Incidents/Comment", body)[0] == 200
    assert caller.call("PUT", path, {"properties": {"message": "m"}})[0] == 400


def test_a_put_replaces_the_incident_unless_its_etag_is_stale(caller: Caller) -> None:
    incident = an_incident(caller)
    caller.incidents.tag(incident, ["a"])
    path = f"/arm{incident.id}{API}"
    properties = {"title": "t", "severity": "High", "status": "Active"}
    stale = {"etag": '"old"', "properties": properties}
    assert caller.call("PUT", path, stale)[0] == 409
    assert caller.call("PUT", path, {"properties": {"severity": "High"}})[0] == 400
    assert caller.call("PUT", path, {"etag": incident.etag, "properties": properties})[0] == 200
    assert incident.properties["labels"] == []


def test_the_connector_patches_and_adds_tags_once(caller: Caller) -> None:
    incident = an_incident(caller)
    caller.incidents.change(incident, {"owner": {"assignedTo": "Ada"}})
    tags = {"TagsToAdd": [{"Tag": "Paper Drizzle"}]}
    body = {"incidentArmId": incident.id, "severity": "High", "tagsToAdd": tags}
    for _ in range(2):
        assert caller.call("PUT", "/sentinel/Incidents", body)[0] == 200
    properties = caller.call("POST", "/sentinel/Incidents", body)[1]["properties"]
    assert (properties["severity"], properties["status"]) == ("High", "New")
    assert properties["owner"] == {"assignedTo": "Ada"}
    assert [label["labelName"] for label in properties["labels"]] == ["Paper Drizzle"]


def test_the_connector_sets_an_owner_and_takes_it_away(caller: Caller) -> None:
    incident = an_incident(caller)
    body: dict[str, Any] = {"incidentArmId": incident.id, "owner": "ada@example.org"}
    caller.call("PUT", "/sentinel/Incidents", body)
    assert incident.properties["owner"] == {"assignedTo": "ada@example.org"}
    body = {"incidentArmId": incident.id, "ownerAction": "Unassign"}
    caller.call("PUT", "/sentinel/Incidents", body)
    assert incident.properties["owner"] == {}


@pytest.mark.parametrize(
    "change", [{"severity": "Critical"}, {"status": "Open"}, {"title": "x"}, {"tagsToAdd": 1}]
)
def test_the_connector_refuses_what_it_does_not_know(
    caller: Caller, change: dict[str, Any]
) -> None:
    body = {"incidentArmId": an_incident(caller).id, **change}
    assert caller.call("PUT", "/sentinel/Incidents", body)[0] == 400


def test_the_connector_sorts_entities_by_kind(caller: Caller) -> None:
    incident = an_incident(caller)
    body = caller.incidents.trigger_body(incident)["object"]["properties"]["relatedEntities"]
    ips = {"IPs": [{"Address": "198.51.100.23"}]}
    assert caller.call("POST", "/sentinel/entities/ip", body)[1] == ips
    assert caller.call("POST", "/sentinel/entities/ip", json.dumps(body))[1] == ips
    assert caller.call("POST", "/sentinel/entities/url", body)[1] == {"URLs": []}
    assert caller.call("POST", "/sentinel/entities/car", body)[0] == 404


def test_a_reader_may_not_write(caller: Caller) -> None:
    incidents = Incidents()
    arm = Arm(incidents, caller.sandbox.tokens)
    connector = Connector(incidents, caller.sandbox.tokens)
    arm.read_only.add("reader")
    connector.read_only.add("reader")
    incident = incidents.add("x", [])
    with Sandbox(vendors=lambda sandbox: (arm, connector)) as sandbox:
        token, _ = caller.sandbox.tokens.issue(AUDIENCE, (), client_id="reader")
        statuses = []
        for method, path in (
            ("GET", f"/arm{incident.id}{API}"),
            ("PUT", f"/arm{incident.id}/comments/{COMMENT}{API}"),
            ("PUT", "/sentinel/Incidents"),
        ):
            connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"))
            connection.request(method, path, "{}", {"Authorization": f"Bearer {token}"})
            statuses.append(connection.getresponse().status)
            connection.close()
    assert statuses == [200, 403, 403]


def test_the_trigger_may_come_before_the_entities(caller: Caller) -> None:
    incident = an_incident(caller)
    early = caller.incidents.trigger_body(incident, entities=False)
    assert early["object"]["properties"]["relatedEntities"] == []
    late = caller.incidents.trigger_body(incident)
    assert len(late["object"]["properties"]["relatedEntities"]) == 1


def test_an_incident_of_the_story_can_be_taken_over() -> None:
    incidents = Incidents()
    body = triggers.incident("oneActor", datetime(2026, 11, 21, tzinfo=UTC))
    again = incidents.trigger_body(incidents.adopt(body))
    entities = again["object"]["properties"]["relatedEntities"]
    assert entities == body["object"]["properties"]["relatedEntities"]
    assert again["object"]["id"] == body["object"]["id"]
    bare = incidents.adopt(triggers.incident("bare", datetime(2026, 11, 21, tzinfo=UTC)))
    assert bare.entities == []
