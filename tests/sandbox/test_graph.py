from dataclasses import replace

import pytest

from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.identity import GRAPH
from tests.sandbox.conftest import Caller, Clock


@pytest.mark.parametrize(
    "path",
    [
        "/hosts/invoice-inkwell.example/passiveDns",
        "/hosts('invoice-inkwell.example')/passiveDns",
        "/HOSTS/Invoice-Inkwell.example/passivedns",
        "/hosts/invoice%2Dinkwell.example/PassiveDNS",
    ],
)
@pytest.mark.parametrize("version", ["v1.0", "beta"])
def test_both_key_syntaxes_any_case_and_both_versions_are_read(
    caller: Caller, path: str, version: str
) -> None:
    body = caller.get(path, version=version).json()

    assert [row["artifact"]["id"] for row in body["value"]] == ["198.51.100.23"]


def test_ipv6_hosts_are_found_percent_encoded_or_not(caller: Caller) -> None:
    expected = ["quillpost.example", "ferry-notes.example"]

    assert caller.artifacts("/hosts/2001:db8:23::17/passiveDns") == expected
    assert caller.artifacts("/hosts/2001%3Adb8%3A23%3A%3A17/passiveDns") == expected


def test_an_unknown_host_is_404_its_reputation_unknown_and_its_lists_empty(caller: Caller) -> None:
    reputation = caller.get("/hosts/never-seen.example/reputation")

    assert caller.get("/hosts/never-seen.example").status_code == 404
    assert reputation.status_code == 200
    assert reputation.json()["classification"] == "unknown"
    assert (reputation.json()["score"], reputation.json()["rules"]) == (0, [])
    assert caller.records("/hosts/never-seen.example/passiveDns") == []
    assert caller.records("/hosts/never-seen.example/trackers") == []


def test_an_unknown_host_can_be_404_everywhere(caller: Caller) -> None:
    caller.sandbox.graph.options = GraphOptions(missing_as_404=frozenset({"reputation", "lists"}))

    assert caller.get("/hosts/never-seen.example/reputation").status_code == 404
    assert caller.get("/hosts/never-seen.example/passiveDns").status_code == 404


def test_passive_dns_of_a_name_gives_answers_and_of_an_address_the_names(caller: Caller) -> None:
    assert caller.artifacts("/hosts/vault-key.example/passiveDns") == ["198.51.100.77"]
    assert caller.artifacts("/hosts/198.51.100.77/passiveDns") == ["vault-key.example"]


def test_reverse_gives_the_names_that_lead_to_a_name(caller: Caller) -> None:
    records = caller.records("/hosts/edge.copper-relay.example/passiveDnsReverse")

    assert {record["recordType"] for record in records} == {"CNAME"}
    assert {record["artifact"]["id"] for record in records} == {
        "updates.parcel-hub.example",
        "www.tin-relay.example",
    }


def test_reverse_of_an_address_is_empty_unless_switched_on(caller: Caller) -> None:
    before = caller.artifacts("/hosts/198.51.100.77/passiveDnsReverse")
    caller.sandbox.graph.options = GraphOptions(addresses_in_reverse=True)

    assert before == []
    assert caller.artifacts("/hosts/198.51.100.77/passiveDnsReverse") == ["vault-key.example"]


def test_profiles_and_articles_are_found_one_by_one_and_by_word(caller: Caller) -> None:
    profiles = caller.records("/intelProfiles")
    tools = caller.records("/intelProfiles?$filter=kind eq 'tool'")
    found = caller.records("/articles?$search=parcel")

    one = caller.get(f"/intelProfiles/{profiles[0]['id']}").json()
    article = caller.get(f"/articles/{found[0]['id']}").json()
    assert one["title"] == profiles[0]["title"]
    assert [tool["title"] for tool in tools] == ["LampLoader"]
    assert [item["title"] for item in found] == ["Activity snapshot: false parcel notices"]
    assert article["tags"] == found[0]["tags"]
    assert caller.get("/intelProfiles/ffff").status_code == 404
    assert caller.get("/articles/ffff/indicators").status_code == 404


def test_articles_that_name_a_cve_hang_below_it(caller: Caller) -> None:
    articles = caller.records("/vulnerabilities/CVE-2099-20931/articles")

    assert [item["title"][:8] for item in articles] == ["Invoices"]
    assert caller.get("/vulnerabilities/CVE-2099-99999").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_writing_is_not_allowed(caller: Caller, method: str) -> None:
    url = f"{caller.sandbox.graph_url}/v1.0/security/threatIntelligence/articles"
    reply = caller.session.request(method, url, headers=caller.headers, timeout=10)

    assert reply.status_code == 405


@pytest.mark.parametrize("path", ["/hosts", "/passiveDnsRecords", "/nonsense/x", "/hosts/x/y"])
def test_lists_and_segments_that_do_not_exist_are_refused(caller: Caller, path: str) -> None:
    reply = caller.get(path)

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "BadRequest"


def test_a_path_with_an_encoded_slash_names_no_other_host(caller: Caller) -> None:
    reply = caller.get("/hosts/x%2F..%2Fvault-key.example/passiveDns")

    assert reply.json()["value"] == []


def test_the_beta_can_be_switched_off(caller: Caller) -> None:
    caller.sandbox.graph.options = GraphOptions(beta=False)

    assert caller.get("/intelProfiles", version="beta").status_code == 404
    assert caller.get("/intelProfiles").status_code == 200


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (None, "missing"),
        ("Bearer nonsense", "malformed"),
        ("Basic a.b.c", "malformed"),
        ("Bearer a.b.c", "badSignature"),
    ],
)
def test_a_caller_without_a_good_token_is_401(
    caller: Caller, header: str | None, verdict: str
) -> None:
    url = f"{caller.sandbox.graph_url}/v1.0/security/threatIntelligence/intelProfiles"
    headers = {} if header is None else {"Authorization": header}
    reply = caller.session.get(url, headers=headers, timeout=10)

    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "InvalidAuthenticationToken"
    seen = caller.sandbox.requests[-1]
    assert seen.headers.get("authorization") == (verdict if header else None)


def test_an_expired_a_revoked_and_a_foreign_token_are_401(caller: Caller, clock: Clock) -> None:
    tokens = caller.sandbox.tokens
    foreign, _ = tokens.issue("https://management.azure.com", [])
    tokens_before = caller.token
    caller.token = foreign
    assert caller.get("/intelProfiles").status_code == 401
    caller.token = tokens_before
    assert caller.get("/intelProfiles").status_code == 200
    tokens.revoke()
    assert caller.get("/intelProfiles").status_code == 401
    caller.token, expires = tokens.issue(GRAPH, ["ThreatIntelligence.Read.All"])
    assert caller.get("/intelProfiles").status_code == 200
    clock.seconds = expires
    assert caller.get("/intelProfiles").status_code == 401


def test_a_token_without_the_role_is_403(caller: Caller) -> None:
    caller.token, _ = caller.sandbox.tokens.issue(GRAPH, ["ThreatIntelligence.Read.All"])
    query = {"Query": "DeviceTvmSoftwareVulnerabilities | take 1"}
    assert caller.post("/security/runHuntingQuery", query).status_code == 403
    caller.token, _ = caller.sandbox.tokens.issue(GRAPH, ["ThreatHunting.Read.All"])
    reply = caller.get("/intelProfiles")

    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "Authorization_RequestDenied"
    assert caller.post("/security/runHuntingQuery", query).status_code == 200


def test_strict_passive_dns_wants_a_filter(caller: Caller) -> None:
    caller.sandbox.graph.options = replace(caller.sandbox.graph.options, filter_required=True)
    path = "/hosts/telemetry-cache.example/passiveDns"

    assert caller.get(path).status_code == 400
    kinds = {row["recordType"] for row in caller.records(f"{path}?$filter=recordType eq 'A'")}
    assert kinds == {"A"}
