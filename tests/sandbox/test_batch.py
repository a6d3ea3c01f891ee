from typing import Any

import pytest

from mdti.sandbox.faults import Fault, RateLimit
from mdti.sandbox.graph import GraphOptions
from tests.sandbox.conftest import Caller

ROOT = "/security/threatIntelligence/hosts"


def parts(amount: int) -> list[dict[str, Any]]:
    return [
        {"id": str(number), "method": "GET", "url": f"{ROOT}/h{number}.example/reputation"}
        for number in range(amount)
    ]


def test_every_part_is_answered_under_its_own_id(caller: Caller) -> None:
    requests = [
        {"id": "a", "method": "GET", "url": f"{ROOT}/vault-key.example/reputation"},
        {"id": "b", "method": "GET", "url": f"{ROOT}/never-seen.example"},
        {"id": "c", "method": "GET", "url": f"{ROOT}/198.18.10.10/passiveDns?$top=2"},
    ]
    reply = caller.post("/$batch", {"requests": requests})
    answers = {part["id"]: part for part in reply.json()["responses"]}

    assert reply.status_code == 200
    assert {key: part["status"] for key, part in answers.items()} == {"a": 200, "b": 404, "c": 200}
    assert answers["a"]["body"]["score"] == 100
    assert len(answers["c"]["body"]["value"]) == 2
    assert caller.get(answers["c"]["body"]["@odata.nextLink"]).status_code == 200


def test_parts_are_logged_and_counted_one_by_one(caller: Caller) -> None:
    caller.post("/$batch", {"requests": parts(20)})

    assert [seen.batched for seen in caller.sandbox.requests].count(True) == 20
    assert caller.sandbox.requests[-1].path.endswith("/$batch")


def test_parts_are_refused_on_their_own(caller: Caller) -> None:
    caller.sandbox.faults.set([Fault(kind="throttle", route="*/h3.example/*", retry_after=4)])
    answers = caller.post("/$batch", {"requests": parts(5)}).json()["responses"]

    refused = [part for part in answers if part["status"] == 429]
    assert [part["id"] for part in refused] == ["3"]
    assert refused[0]["headers"]["Retry-After"] == "4"


def test_each_part_costs_a_token_and_the_envelope_none(caller: Caller) -> None:
    caller.sandbox.faults.set(limit=RateLimit(rate=0.001, burst=12))
    answers = caller.post("/$batch", {"requests": parts(20)}).json()["responses"]

    assert sorted(part["status"] for part in answers) == [200] * 12 + [429] * 8


@pytest.mark.parametrize(
    "document",
    [
        {"requests": []},
        {"requests": parts(21)},
        {"requests": [*parts(1), *parts(1)]},
        {"requests": [{"id": "1", "method": "GET"}]},
        {"requests": [{"id": "1", "method": "POST", "url": "/$batch"}]},
        {"requests": "all"},
        [],
    ],
)
def test_a_malformed_envelope_is_400(caller: Caller, document: object) -> None:
    assert caller.post("/$batch", document).status_code == 400


def test_batching_can_be_switched_off(caller: Caller) -> None:
    caller.sandbox.graph.options = GraphOptions(batch=False)

    assert caller.post("/$batch", {"requests": parts(1)}).status_code == 400
