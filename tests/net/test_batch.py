import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from mdti.errors import (
    ApiError,
    ApiGone,
    BadAnswer,
    ConnectionFailed,
    Forbidden,
    InputError,
    MdtiError,
    Missing,
    ServerFault,
    Throttled,
    Unauthorized,
)
from mdti.net.answers import Answer, Fault
from mdti.net.batch import BatchRule, pack, unpack
from mdti.net.deadline import Deadline
from mdti.net.meter import Counters
from mdti.net.transport import Request, Response, Transport
from tests.net.rude import Clock, Raw, Rude, Seen, reply, rude

Part = dict[str, Any]
ROOT = "https://graph.microsoft.com/v1.0"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def part(entry: Part, status: int = 200, body: object = None, **headers: str) -> Part:
    """The answer to one part of an envelope."""
    content = {"url": entry["url"]} if body is None else body
    return {"id": entry["id"], "status": status, "headers": headers, "body": content}


def graph(answer: Callable[[Part], Part | None]) -> Callable[[Seen], Raw]:
    """A server that takes batches and answers each part, in reverse order; None leaves it out."""

    def handler(seen: Seen) -> Raw:
        if seen.method == "GET":
            return reply({"single": seen.path})
        parts = [answer(entry) for entry in seen.json()["requests"]]
        return reply({"responses": [one for one in reversed(parts) if one is not None]})

    return handler


def ask(
    server: Rude, clock: Clock, count: int = 20, seconds: float = 90.0
) -> tuple[dict[int, Response | MdtiError], Counters]:
    """Ask for `count` hosts below the batch root; returns the outcomes and the counters."""
    root = f"{server.root}/v1.0"
    transport = Transport(
        token=lambda scope, renew: "renewed" if renew else "token",
        concurrency=4,
        batch=BatchRule(root),
        clock=clock,
        sleep=clock.sleep,
        random=Random(3),
        environ={},
    )
    requests = [Request(f"{root}/hosts/{n}", audience="scope") for n in range(count)]
    outcomes = dict(transport.map(requests, deadline=Deadline.after(seconds, clock=clock)))
    transport.close()
    return outcomes, transport.counters()


def answered(outcomes: dict[int, Response | MdtiError]) -> Iterator[Response]:
    for index in range(len(outcomes)):
        outcome = outcomes[index]
        assert isinstance(outcome, Response), outcome
        yield outcome


def test_gets_below_the_root_travel_by_twenty_and_count_one_by_one(clock: Clock) -> None:
    with rude(graph(part)) as server:
        outcomes, counters = ask(server, clock, 45)
    assert sorted(len(seen.json()["requests"]) for seen in server.seen) == [5, 20, 20]
    assert counters == Counters(requests=45)
    for index, outcome in enumerate(answered(outcomes)):
        assert outcome.json() == {"url": f"/hosts/{index}"}


def test_an_envelope_is_a_json_post_with_relative_urls(clock: Clock) -> None:
    with rude(graph(part)) as server:
        ask(server, clock, 2)
    envelope = server.seen[0]
    assert (envelope.method, envelope.path) == ("POST", "/v1.0/$batch")
    assert envelope.headers["content-type"] == "application/json"
    assert envelope.headers["authorization"] == "Bearer token"
    assert envelope.json() == {
        "requests": [
            {"id": "0", "method": "GET", "url": "/hosts/0"},
            {"id": "1", "method": "GET", "url": "/hosts/1"},
        ]
    }


def test_one_request_alone_travels_as_itself(clock: Clock) -> None:
    with rude(graph(part)) as server:
        outcomes, _ = ask(server, clock, 1)
    assert [seen.method for seen in server.seen] == ["GET"]
    assert next(answered(outcomes)).json() == {"single": "/v1.0/hosts/0"}


def test_parts_are_judged_one_by_one(clock: Clock) -> None:
    statuses = {"/hosts/1": 404, "/hosts/2": 403, "/hosts/3": 400}

    def answer(entry: Part) -> Part:
        body = {"error": {"code": "Some_Code"}}
        return part(entry, statuses.get(entry["url"], 200), body)

    with rude(graph(answer)) as server:
        outcomes, _ = ask(server, clock, 5)
    kinds = [type(outcomes[index]) for index in range(5)]
    assert kinds == [Response, Missing, Forbidden, ApiError, Response]
    assert len(server.seen) == 1


def test_a_throttled_part_is_asked_again_alone_after_its_own_pause(clock: Clock) -> None:
    refused: set[str] = set()

    def answer(entry: Part) -> Part:
        if entry["url"] in {"/hosts/3", "/hosts/7"} and entry["url"] not in refused:
            refused.add(entry["url"])
            return part(entry, 429, **{"Retry-After": "9" if entry["url"] == "/hosts/3" else "2"})
        return part(entry)

    with rude(graph(answer)) as server:
        outcomes, counters = ask(server, clock)
    assert [len(seen.json()["requests"]) for seen in server.seen] == [20, 2]
    assert 9.0 <= sum(clock.slept) <= 9.05
    assert counters == Counters(requests=22, throttled=2)
    assert len(list(answered(outcomes))) == 20


def test_a_broken_part_is_asked_again_and_then_is_its_own_error(clock: Clock) -> None:
    def answer(entry: Part) -> Part:
        return part(entry, 502 if entry["url"] == "/hosts/0" else 200)

    def handler(seen: Seen) -> Raw:
        return reply({}, status=502) if seen.method == "GET" else graph(answer)(seen)

    with rude(handler) as server:
        outcomes, _ = ask(server, clock)
    assert type(outcomes.pop(0)) is ServerFault
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())
    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET", "GET"]


def test_a_part_without_an_answer_is_never_taken_for_missing(clock: Clock) -> None:
    def answer(entry: Part) -> Part | None:
        return None if entry["url"] in {"/hosts/4", "/hosts/5"} else part(entry)

    with rude(graph(answer)) as server:
        outcomes, _ = ask(server, clock)
    assert {index for index, one in outcomes.items() if type(one) is BadAnswer} == {4, 5}
    assert len(server.seen) == 4


def test_an_envelope_that_is_throttled_is_asked_again_as_one(clock: Clock) -> None:
    answers = [reply({}, status=429, headers={"retry-after": "4"})]

    def handler(seen: Seen) -> Raw:
        return answers.pop() if answers else graph(part)(seen)

    with rude(handler) as server:
        outcomes, counters = ask(server, clock)
    assert len(list(answered(outcomes))) == 20
    assert [len(seen.json()["requests"]) for seen in server.seen] == [20, 20]
    assert counters == Counters(requests=40, throttled=20)


@pytest.mark.parametrize("first", [503, 0])
def test_an_envelope_that_breaks_is_asked_again_as_one(first: int, clock: Clock) -> None:
    cut = Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"], close=True)
    answers = [reply({}, status=503) if first else cut]

    def handler(seen: Seen) -> Raw:
        return answers.pop() if answers else graph(part)(seen)

    with rude(handler) as server:
        outcomes, _ = ask(server, clock)
    assert len(list(answered(outcomes))) == 20
    assert len(clock.slept) == 1


def test_a_401_to_the_envelope_or_to_parts_renews_the_token_once(clock: Clock) -> None:
    for whole in (True, False):

        def handler(seen: Seen, whole: bool = whole) -> Raw:
            if whole:
                return reply({}, status=401)
            return graph(lambda entry: part(entry, 401))(seen)

        with rude(handler) as server:
            outcomes, _ = ask(server, clock)
        assert all(type(outcome) is Unauthorized for outcome in outcomes.values())
        assert len(server.seen) == 2


@pytest.mark.parametrize("status", [400, 404, 405, 410, 501])
def test_an_api_without_batches_is_never_taken_for_hosts_it_does_not_know(
    status: int, clock: Clock
) -> None:
    with rude(lambda seen: reply({"error": {"code": "x"}}, status=status)) as server:
        outcomes, _ = ask(server, clock)
    for outcome in outcomes.values():
        assert type(outcome) is ApiGone
        assert outcome.hint == "Set GRAPH_BATCH to off."
        assert outcome.status == status
    assert len(server.seen) == 1


def test_an_envelope_that_may_not_be_sent_says_so_for_each_part(clock: Clock) -> None:
    with rude(lambda seen: reply({}, status=403)) as server:
        outcomes, _ = ask(server, clock, 3)
    assert all(type(outcome) is Forbidden for outcome in outcomes.values())
    assert len(outcomes) == 3


def test_what_stays_throttled_until_the_time_is_over_says_so(clock: Clock) -> None:
    def answer(entry: Part) -> Part:
        return part(entry, 429, **{"Retry-After": "50"})

    with rude(graph(answer)) as server:
        outcomes, _ = ask(server, clock, 3, seconds=90.0)
    assert all(type(outcome) is Throttled for outcome in outcomes.values())
    assert len(server.seen) == 2


def test_only_plain_gets_below_the_root_are_taken() -> None:
    rule = BatchRule(ROOT)
    assert rule.takes(Request(f"{ROOT}/security/x?$top=1"))
    assert not rule.takes(Request(f"{ROOT}/security/x", "POST"))
    assert not rule.takes(Request(f"{ROOT}/security/x", body=b"{}"))
    assert not rule.takes(Request(f"{ROOT}evil/x"))
    assert not rule.takes(Request("https://graph.microsoft.com/beta/x"))


def test_audiences_are_not_mixed_and_other_requests_go_alone(clock: Clock) -> None:
    with rude(graph(part)) as server:
        root = f"{server.root}/v1.0"
        transport = Transport(
            token=lambda scope, renew: scope,
            batch=BatchRule(root),
            clock=clock,
            sleep=clock.sleep,
            environ={},
        )
        requests = [
            Request(f"{root}/a", audience="one"),
            Request(f"{server.root}/outside", audience="one"),
            Request(f"{root}/b", audience="one"),
            Request(f"{root}/c", audience="two"),
            Request(f"{root}/d", audience="two"),
        ]
        outcomes = dict(transport.map(requests, deadline=Deadline.after(9.0, clock=clock)))
        transport.close()
    assert len(list(answered(outcomes))) == 5
    travelled = {
        seen.headers["authorization"]: [entry["url"] for entry in seen.json()["requests"]]
        for seen in server.seen
        if seen.method == "POST"
    }
    assert travelled == {"Bearer one": ["/a", "/b"], "Bearer two": ["/c", "/d"]}


def test_a_part_whose_path_climbs_is_refused_and_the_others_are_sent(clock: Clock) -> None:
    with rude(graph(part)) as server:
        root = f"{server.root}/v1.0"
        transport = Transport(
            token=lambda scope, renew: "t",
            batch=BatchRule(root),
            clock=clock,
            sleep=clock.sleep,
            environ={},
        )
        requests = [Request(f"{root}/{path}") for path in ("a", "../me", "b%2F..%2F..", "c")]
        outcomes = dict(transport.map(requests, deadline=Deadline.after(9.0, clock=clock)))
        climbing = dict(transport.map(requests[1:2], deadline=Deadline.after(9.0, clock=clock)))
        transport.close()
    kinds = [type(outcomes[index]) for index in range(4)]
    assert kinds == [Response, InputError, InputError, Response]
    assert type(climbing[0]) is InputError
    assert [entry["url"] for entry in server.seen[0].json()["requests"]] == ["/a", "/c"]


@pytest.mark.parametrize(("root", "size"), [(f"{ROOT}/", 20), (ROOT, 0), (ROOT, 21)])
def test_an_impossible_rule_is_refused(root: str, size: int) -> None:
    with pytest.raises(ValueError, match="batch"):
        BatchRule(root, size)


def test_a_batch_can_be_packed_sent_and_unpacked_by_hand(clock: Clock) -> None:
    with rude(graph(part)) as server:
        rule = BatchRule(f"{server.root}/v1.0")
        parts = [
            Request(f"{rule.root}/me", headers=(("Prefer", "x"),)),
            Request(f"{rule.root}/you"),
        ]
        transport = Transport(
            token=lambda scope, renew: "t", clock=clock, sleep=clock.sleep, environ={}
        )
        sent = transport.send(pack(rule, parts), deadline=Deadline.after(9.0, clock=clock))
        transport.close()
    answers = unpack(sent, parts, api="graph")
    assert [type(answer) for answer in answers] == [Answer, Answer]
    assert server.seen[0].json()["requests"][0]["headers"] == {"Prefer": "x"}


@pytest.mark.parametrize(
    "responses",
    [
        None,
        {},
        "text",
        [7],
        [{}],
        [{"id": "0"}],
        [{"id": "0", "status": "200"}],
        [{"id": "0", "status": 7}],
        [{"id": ["0"], "status": 200}],
        [{"id": "1", "status": 200}],
    ],
)
def test_an_envelope_that_makes_no_sense_is_a_fault_of_every_part(responses: object) -> None:
    body = json.dumps({"responses": responses}).encode()
    (answer,) = unpack(Answer(200, {}, body), [Request(f"{ROOT}/x")], api="graph")
    assert isinstance(answer, Fault)
    assert answer.passing


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 50_000])
def test_an_envelope_that_is_no_object_is_a_fault_of_every_part(body: bytes) -> None:
    (answer,) = unpack(Answer(200, {}, body), [Request(f"{ROOT}/x")], api="graph")
    assert isinstance(answer, Fault)


def test_a_fault_of_the_envelope_is_everybodys() -> None:
    fault = Fault(ConnectionFailed("gone"), passing=True)
    assert unpack(fault, [Request(f"{ROOT}/x")] * 2, api="graph") == (fault, fault)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"a": 1}, b'{"a": 1}'),
        (None, b""),
        ("PGh0bWw+", b"<html>"),
        ("<html>", b"<html>"),
        ("\ud800", b"?"),
    ],
)
def test_the_body_of_a_part_is_json_or_decoded_text(body: object, expected: bytes) -> None:
    entry = {"id": 0, "status": 200, "headers": {"Retry-After": 3}, "body": body}
    envelope = Answer(200, {}, json.dumps({"responses": [entry]}).encode())
    (answer,) = unpack(envelope, [Request(f"{ROOT}/x")], api="graph")
    assert isinstance(answer, Answer)
    assert answer.body == expected
    assert answer.headers["retry-after"] == "3"
