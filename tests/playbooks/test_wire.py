from typing import Any

import pytest

from tests.playbooks.engine import Engine
from tests.playbooks.snippets import Stubs, compose, http, play
from tests.playbooks.wire import Retry, seconds_of


def test_http_sends_what_the_engine_evaluated_and_shows_the_answer(
    engine: Engine, stub: Stubs
) -> None:
    server = stub({"POST /x?a=1%202": [(200, {"X-Id": "7"}, {"ok": True})]})
    action = http("@{parameters('Url')}/x")
    action["inputs"] |= {
        "queries": {"a": "1 2"},
        "headers": {"K": "@{triggerBody()}"},
        "authentication": {"type": "ManagedServiceIdentity", "audience": "api://x"},
    }
    done = play(
        engine,
        {"A": action, "B": compose("@body('A')['ok']", A=["Succeeded"])},
        "t",
        parameters={"Url": server.url},
        authenticate=lambda authentication, url: {"Authorization": authentication["audience"]},
    )
    route, headers, body = server.received[0]
    assert (route, headers["K"], body) == ("POST /x?a=1%202", "t", {"n": 1})
    assert headers["Authorization"] == "api://x"
    assert done.records[-1].outputs is True


@pytest.mark.parametrize(
    ("policy", "statuses", "sent", "seconds"),
    [
        ({"type": "none"}, [503, 200], 1, 0),
        ({"type": "fixed", "count": 2, "interval": "PT20S"}, [503, 500, 200], 3, 40),
        ({"type": "fixed", "count": 2, "interval": "PT20S"}, [503], 3, 40),
        (
            {
                "type": "exponential",
                "count": 3,
                "interval": "PT10S",
                "maximumInterval": "PT30S",
            },
            [503, 429, 408, 200],
            4,
            60,
        ),
        ({"type": "fixed", "count": 2, "interval": "PT20S"}, [422, 200], 1, 0),
    ],
)
def test_retries_follow_the_policy_in_virtual_time(
    engine: Engine,
    stub: Stubs,
    policy: dict[str, Any],
    statuses: list[int],
    sent: int,
    seconds: float,
) -> None:
    server = stub({"POST /x": [(status, {}, None) for status in statuses]})
    done = play(engine, {"A": http(f"{server.url}/x", retryPolicy=policy)})
    assert [one.status for one in done.sent] == (statuses * 3)[:sent]
    assert done.seconds == seconds


def test_a_server_that_says_when_to_come_back_is_believed(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /x": [(429, {"Retry-After": "90"}, None), (200, {}, None)]})
    policy = {"type": "fixed", "count": 1, "interval": "PT5S"}
    assert play(engine, {"A": http(f"{server.url}/x", retryPolicy=policy)}).seconds == 90


def test_a_refused_request_keeps_its_answer(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /x": [(403, {}, {"error": {"code": "No"}})]})
    actions = {
        "A": http(f"{server.url}/x"),
        "B": compose("@body('A')['error']['code']", A=["Failed"]),
    }
    assert play(engine, actions).records[-1].outputs == "No"


def test_nobody_answering_is_a_failure_without_an_answer(engine: Engine) -> None:
    actions = {
        "A": http("http://127.0.0.1:9/x"),
        "B": compose("@coalesce(outputs('A')?['statusCode'], 0)", A=["Failed"]),
    }
    done = play(engine, actions)
    assert (done.sent[0].status, done.records[-1].outputs) == (0, 0)


def test_202_is_followed_to_the_end_with_the_same_identity(engine: Engine, stub: Stubs) -> None:
    server = stub(
        {
            "POST /x": [(202, {"Retry-After": "5"}, {})],
            "GET /job": [(202, {"Retry-After": "7"}, None), (200, {}, {"done": 1})],
        }
    )
    server.script["POST /x"][0][1]["Location"] = f"{server.url}/job"  # type: ignore[index]
    server.script["GET /job"][0][1]["Location"] = f"{server.url}/job"  # type: ignore[index]
    done = play(
        engine,
        {"A": http(f"{server.url}/x"), "B": compose("@body('A')['done']", A=["Succeeded"])},
        authenticate=lambda authentication, url: {"Authorization": "me"},
    )
    assert [one.method for one in done.sent] == ["POST", "GET", "GET"]
    assert {headers["Authorization"] for _, headers, _ in server.received} == {"me"}
    assert (done.seconds, done.records[-1].outputs) == (12, 1)


def test_202_is_the_answer_when_following_is_off(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /x": [(202, {"Location": "/job"}, {})]})
    done = play(engine, {"A": http(f"{server.url}/x", operationOptions="DisableAsyncPattern")})
    assert (done.records[-1].outputs["statusCode"], len(done.sent)) == (202, 1)


def test_the_time_limit_ends_a_wait_for_an_answer(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /x": [(202, {}, {})]})
    server.script["GET /x"] = [(202, {"Location": f"{server.url}/x"}, None)]
    server.script["POST /x"][0][1]["Location"] = f"{server.url}/x"  # type: ignore[index]
    done = play(engine, {"A": http(f"{server.url}/x", limit={"timeout": "PT1M30S"})})
    assert (done.statuses("A"), done.seconds, len(done.sent)) == (["TimedOut"], 90, 5)


def test_a_connector_is_found_by_its_connection(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /Incidents/Comment": [(200, {}, {})]})
    action = {
        "type": "ApiConnection",
        "inputs": {
            "host": {"connection": {"name": "@parameters('$connections')['s']['connectionId']"}},
            "method": "post",
            "path": "/Incidents/Comment",
            "body": {"message": "m"},
        },
    }
    connections = {"s": {"connectionId": "/subscriptions/x/connections/s"}}
    done = play(
        engine,
        {"A": action},
        parameters={"$connections": connections},
        connectors={"s": server.url},
    )
    assert (done.status, server.received[0][2]) == ("Succeeded", {"message": "m"})


def test_a_definition_may_not_leave_this_machine(engine: Engine) -> None:
    with pytest.raises(AssertionError, match="leave this machine"):
        play(engine, {"A": http("https://management.azure.com/x")})


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT20S", 20), ("PT1M30S", 90), ("P1DT2H", 93600), ("PT0.5S", 0.5)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["P", "PT", "20S", "PT1X", ""])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds_of(text)


def test_an_unknown_retry_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        Retry.of({"type": "sometimes", "interval": "PT1S", "count": 1})
