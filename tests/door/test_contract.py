import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from mdti.openapi import OPERATIONS, document
from tests.door.service import LATER, SEED, Service, load

LOOKUP = {
    "ioc", "at", "reputation", "actors", "hosts", "resolutions", "complete", "gaps", "stats",
}  # fmt: skip
ACTOR = {
    "name", "aliases", "profileId", "confidence", "score", "escalate", "qualifies", "evidence",
}  # fmt: skip
EVIDENCE = {
    "actor", "host", "kind", "text", "url", "hops", "weight", "naming", "path",
}  # fmt: skip
HOST = {
    "value", "kind", "hops", "role", "degree", "degreeAtLeast", "expanded", "reason", "provider",
    "lastSeen", "reputation",
}  # fmt: skip
BRIEF = {
    "actors", "raise", "severity", "status", "tags", "comment", "copilotPrompts", "exposure",
    "huntingQueries", "leftOut", "hashMatches", "complete", "gaps", "lookups", "mode",
}  # fmt: skip
FIELDS = {
    "Lookup": LOOKUP,
    "Actor": ACTOR,
    "Evidence": EVIDENCE,
    "Host": HOST,
    "Brief": BRIEF,
    "Gap": {"host", "stage", "reason"},
    "Reputation": {"score", "classification", "rules"},
    "Resolution": {"from", "to", "recordType", "firstSeen", "lastSeen"},
}


def registered() -> Iterator[tuple[str, str]]:
    for function in load().app.get_functions():
        trigger = function.get_trigger()
        if trigger.type == "httpTrigger":
            for method in trigger.methods:
                yield method.value.lower(), f"/api/{trigger.route}"


def test_the_contract_has_exactly_the_routes_of_the_app() -> None:
    assert sorted((op.method, op.path) for op in OPERATIONS) == sorted(registered())


def test_every_operation_has_an_id_of_its_own() -> None:
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_the_contract_is_served_as_it_is_written(service: Service) -> None:
    assert service.get("/api/openapi.json").json() == json.loads(json.dumps(document()))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_the_fields_that_playbooks_rely_on_are_all_documented(name: str) -> None:
    schema = document()["components"]["schemas"][name]

    assert set(schema["properties"]) == set(schema["required"]) == FIELDS[name]


def test_every_reference_leads_somewhere() -> None:
    contract = document()
    for reference in references(contract):
        assert reference.rpartition("/")[2] in contract["components"]["schemas"]


def test_every_schema_is_valid_json_schema() -> None:
    for schema in document()["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(schema)


class Judge:
    """Validates answers against the served contract, and refuses fields that it does not name."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.contract = service.get("/api/openapi.json").json()
        self.schemas = copy.deepcopy(self.contract["components"]["schemas"])
        close(self.schemas)
        self.schemas["Status"]["properties"]["checks"]["items"].pop("additionalProperties")

    def check(self, answer: Any, method: str, path: str) -> None:
        described = self.contract["paths"][path][method]["responses"][str(answer.status_code)]
        kind = answer.headers["Content-Type"].removesuffix("; charset=utf-8")
        content = next(v for k, v in described["content"].items() if k == kind)
        for name in described.get("headers", ()):
            assert name in answer.headers
        schema = {**content["schema"], "components": {"schemas": self.schemas}}
        body = answer.json() if "json" in kind else answer.text
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(body)


def test_answers_are_what_the_contract_says(service: Service) -> None:
    judge = Judge(service)
    lookups, incidents, job = "/api/v1/lookups", "/api/v1/incidents", "/api/v1/jobs/{id}"

    for seed in (SEED, "squall-pay.example", "198.51.100.23", "never-seen.example"):
        judge.check(service.get(lookups, ioc=seed), "get", lookups)
    for form in ("html", "markdown", "stix"):
        judge.check(service.get(lookups, ioc=SEED, format=form), "get", lookups)
    judge.check(service.post(lookups, {"iocs": [SEED]}), "post", lookups)
    judge.check(service.post(lookups, {}), "post", lookups)
    for name in ("invoice", "threeActors", "ambiguous", "malicious", "none", "empty", "closed"):
        judge.check(service.post(incidents, service.incident(name)), "post", incidents)
    waiting = service.post(lookups, {"ioc": SEED}, headers=LATER)
    judge.check(waiting, "post", lookups)
    judge.check(service.session.get(waiting.headers["Location"], timeout=30), "get", job)
    service.settle()
    judge.check(service.session.get(waiting.headers["Location"], timeout=30), "get", job)
    judge.check(service.get("/api/v1/jobs/x"), "get", job)
    judge.check(service.get("/api/v1/actors"), "get", "/api/v1/actors")
    judge.check(service.get("/api/v1/actors/DEV-9301"), "get", "/api/v1/actors/{name}")
    judge.check(service.get("/api/v1/status"), "get", "/api/v1/status")
    judge.check(service.get("/api/health"), "get", "/api/health")
    judge.check(service.get("/api/MDTIActor", item=SEED), "get", "/api/MDTIActor")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from references(child)


def close(node: Any) -> None:
    """Refuse unknown fields wherever the fields are named."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        for child in node.values():
            close(child)
    if isinstance(node, list):
        for child in node:
            close(child)
