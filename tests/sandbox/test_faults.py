import json

import pytest
import requests

from mdti.sandbox import faults as faults_module
from mdti.sandbox.faults import FOREIGN_LINK, KINDS, Fault, Faults, RateLimit
from mdti.sandbox.wire import Reply, json_reply
from tests.sandbox.conftest import Caller, Clock

REPUTATION = "/hosts/vault-key.example/reputation"
HUB = "/hosts/198.18.10.10/passiveDns"


def good() -> Reply:
    return json_reply({"value": []})


def statuses(faults: Faults, amount: int, *, path: str = "/graph/x") -> list[int]:
    return [faults.apply("GET", path, f"{path}?{n}", good).status for n in range(amount)]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(kind="throttle", retry_after=7), 429, "TooManyRequests"),
        (Fault(kind="error"), 503, "serviceUnavailable"),
        (Fault(kind="error", status=502), 502, "serviceUnavailable"),
        (Fault(kind="expiredToken"), 401, "InvalidAuthenticationToken"),
        (Fault(kind="noConsent"), 403, "Authorization_RequestDenied"),
        (Fault(kind="noLicence"), 500, "generalException"),
        (Fault(kind="gone"), 404, "ResourceNotFound"),
        (Fault(kind="gone", status=410), 410, "ResourceNotFound"),
    ],
)
def test_an_answer_is_replaced_by_what_goes_wrong(
    caller: Caller, fault: Fault, status: int, code: str
) -> None:
    caller.sandbox.faults.add(fault)
    reply = caller.get(REPUTATION)

    assert reply.status_code == status
    assert reply.json()["error"]["code"] == code
    assert reply.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert caller.sandbox.requests[-1].headers["authorization"] == "unread"


def test_no_licence_uses_graphs_own_words(caller: Caller) -> None:
    caller.sandbox.faults.add(Fault(kind="noLicence"))

    message = caller.get(REPUTATION).json()["error"]["message"]
    assert message == "Error retrieving reputation"


def test_a_429_may_come_without_retry_after(caller: Caller) -> None:
    caller.sandbox.faults.add(Fault(kind="throttle"))

    assert "Retry-After" not in caller.get(REPUTATION).headers


@pytest.mark.parametrize("status", [200, 500])
def test_a_page_of_html_may_come_with_any_status(caller: Caller, status: int) -> None:
    caller.sandbox.faults.add(Fault(kind="html", status=status))
    reply = caller.get(REPUTATION)

    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "text/html")
    assert reply.text.startswith("<!DOCTYPE html>")


def test_a_cut_body_breaks_off_and_a_dropped_connection_says_nothing(caller: Caller) -> None:
    caller.sandbox.faults.set([Fault(kind="cut")])
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        caller.get(REPUTATION)
    caller.sandbox.faults.set([Fault(kind="drop")])
    with pytest.raises(requests.exceptions.ConnectionError):
        caller.get(REPUTATION)
    caller.sandbox.faults.set()
    assert caller.get(REPUTATION).status_code == 200


def test_slow_bodies_and_latency_use_the_injected_sleep(caller: Caller, clock: Clock) -> None:
    caller.sandbox.faults.set([Fault(kind="latency", seconds=30), Fault(kind="slow", seconds=60)])
    reply = caller.get(REPUTATION)

    assert reply.json()["score"] == 100
    assert clock.slept[0] == 30
    assert sum(clock.slept[1:]) == pytest.approx(60)


def test_records_come_several_times(caller: Caller) -> None:
    before = caller.artifacts(HUB)
    caller.sandbox.faults.add(Fault(kind="duplicates", times=5))

    assert len(caller.artifacts(HUB)) == 5 * len(before)
    assert set(caller.artifacts(HUB)) == set(before)


def test_a_next_link_may_loop_or_lead_away(caller: Caller) -> None:
    caller.sandbox.faults.set([Fault(kind="loop")])
    link = caller.get(f"{HUB}?$top=2").json()["@odata.nextLink"]
    caller.sandbox.faults.set([Fault(kind="foreignLink")])
    away = caller.get(HUB).json()["@odata.nextLink"]

    assert link == f"{caller.sandbox.graph_url}/v1.0/security/threatIntelligence{HUB}?$top=2"
    assert away.startswith(FOREIGN_LINK)


def test_answers_may_hold_unknown_words_nulls_and_records_without_artifact(caller: Caller) -> None:
    caller.sandbox.faults.add(Fault(kind="odd"))
    reputation = caller.get(REPUTATION).json()
    rows = caller.records(HUB)

    assert reputation["classification"] == "unknownFutureValue"
    assert [rule["description"] for rule in reputation["rules"]] == [None]
    assert {row["lastSeenDateTime"] for row in rows} == {None}
    assert {"artifact" in row for row in rows} == {True, False}


def test_faults_on_lists_leave_single_objects_alone(caller: Caller) -> None:
    plain = caller.get(REPUTATION).text
    caller.sandbox.faults.set(
        [Fault(kind="loop"), Fault(kind="foreignLink"), Fault(kind="duplicates")]
    )

    assert caller.get(REPUTATION).text == plain


def test_a_route_chooses_by_method_and_path_in_any_case() -> None:
    faults = Faults([Fault(kind="error", route="GET */PassiveDNS")])

    assert statuses(faults, 1, path="/graph/v1.0/hosts/x/passiveDns") == [503]
    assert statuses(faults, 1, path="/graph/v1.0/hosts/x/reputation") == [200]
    assert faults.apply("POST", "/x/passivedns", "t", good).status == 200


def test_count_and_after_bound_how_many_requests_are_met() -> None:
    faults = Faults([Fault(kind="error", after=2, count=3)])

    assert statuses(faults, 8) == [200, 200, 503, 503, 503, 200, 200, 200]


def test_chance_hangs_on_the_request_and_the_seed_not_on_the_order() -> None:
    rule = [Fault(kind="error", probability=0.3)]
    forward, backward, other = Faults(rule, seed=1), Faults(rule, seed=1), Faults(rule, seed=2)
    targets = [f"/graph/{number}" for number in range(300)]

    one = {target: forward.apply("GET", "/graph", target, good).status for target in targets}
    two = {target: backward.apply("GET", "/graph", target, good).status for target in targets[::-1]}
    three = {target: other.apply("GET", "/graph", target, good).status for target in targets}
    assert one == two
    assert one != three
    assert 50 < list(one.values()).count(503) < 130


def test_a_repeated_request_draws_again() -> None:
    faults = Faults([Fault(kind="error", probability=0.5)])

    assert set(statuses_of_one(faults, 40)) == {200, 503}


def statuses_of_one(faults: Faults, amount: int) -> list[int]:
    return [faults.apply("GET", "/graph", "/graph", good).status for _ in range(amount)]


def test_the_bucket_refills_at_its_rate_and_refusals_cost_too() -> None:
    clock = Clock(seconds=0.0)
    faults = Faults(limit=RateLimit(rate=10, burst=5, penalty=0.5), clock=clock)

    assert statuses(faults, 6) == [200] * 5 + [429]
    clock.seconds = 0.15  # 1.5 tokens less the half that the refusal cost
    assert statuses(faults, 2) == [200, 429]
    clock.seconds = 60.0
    assert statuses(faults, 6) == [200] * 5 + [429]


def test_the_debt_of_a_flood_is_bounded() -> None:
    clock = Clock(seconds=0.0)
    faults = Faults(limit=RateLimit(rate=1, burst=5, penalty=1), clock=clock)
    statuses(faults, 1000)

    reply = faults.apply("GET", "/graph/x", "x", good)
    assert dict(reply.headers)["Retry-After"] == "6"


def test_the_bucket_can_keep_its_wait_to_itself() -> None:
    faults = Faults(limit=RateLimit(rate=1, burst=1, header=False), clock=Clock(seconds=0.0))
    faults.apply("GET", "/graph/x", "x", good)

    assert faults.apply("GET", "/graph/x", "x", good).headers == ()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="no fault is called 'typo'"):
        Fault(kind="typo")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_explained_and_survives_json(kind: str) -> None:
    faults = Faults([Fault(kind=kind, retry_after=2.5, route="*/x")], limit=RateLimit(rate=3))
    document = json.loads(json.dumps(faults.to_json()))
    copy = Faults()
    copy.set_json(document)

    assert f"    {kind} " in (faults_module.__doc__ or "")
    assert copy.to_json() == document
