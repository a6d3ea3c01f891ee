from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.playbooks.engine import Engine
from tests.playbooks.history import Run, Unsupported
from tests.playbooks.runner import Runner
from tests.playbooks.stub import Answer, Stub
from tests.playbooks.wire import Retry, seconds_of

Stubs = Callable[[dict[str, list[Answer]]], Stub]


@pytest.fixture
def stub() -> Iterator[Stubs]:
    open_stubs: list[Stub] = []

    def start(script: dict[str, list[Answer]]) -> Stub:
        open_stubs.append(Stub(script))
        return open_stubs[-1]

    yield start
    for one in open_stubs:
        one.close()


def play(
    engine: Engine,
    actions: dict[str, Any],
    body: Any = None,
    *,
    parameters: dict[str, Any] | None = None,
    **options: Any,
) -> Run:
    given = parameters or {}
    declared = {name: {"type": "Object"} for name in given}
    definition = {"parameters": declared, "actions": actions}
    return Runner(engine, definition, parameters=given, **options).run(body)


def compose(inputs: Any, **after: list[str]) -> dict[str, Any]:
    return {"type": "Compose", "inputs": inputs, "runAfter": after}


def http(url: str, *, after: dict[str, list[str]] | None = None, **more: Any) -> dict[str, Any]:
    inputs = {"method": "POST", "uri": url, "body": {"n": 1}, "retryPolicy": {"type": "none"}}
    inputs.update({key: more.pop(key) for key in ("retryPolicy", "method") if key in more})
    return {"type": "Http", "inputs": inputs, "runAfter": after or {}, **more}


BROKEN = "@triggerBody()['none']['none']"


@pytest.mark.parametrize(
    ("first", "after", "second", "run"),
    [
        ("x", "Succeeded", "Succeeded", "Succeeded"),
        ("x", "Failed", "Skipped", "Succeeded"),
        (BROKEN, "Succeeded", "Skipped", "Failed"),
        (BROKEN, "Failed", "Succeeded", "Succeeded"),
    ],
)
def test_run_after_decides_and_the_last_action_decides_the_run(
    engine: Engine, first: str, after: str, second: str, run: str
) -> None:
    done = play(engine, {"A": compose(first), "B": compose("y", A=[after])}, {})
    assert (done.statuses("B"), done.status) == ([second], run)


def test_a_skipped_failure_branch_does_not_hide_a_failure_beside_it(engine: Engine) -> None:
    actions = {
        "Ask": compose(BROKEN),
        "Go on": compose("x", Ask=["Succeeded"]),
        "Report": compose("@actions('Ask')['error']['message']", Ask=["Failed", "TimedOut"]),
    }
    done = play(engine, actions, {})
    assert (done.statuses("Report"), done.status) == (["Succeeded"], "Failed")


def test_an_action_after_a_skipped_one_can_run(engine: Engine) -> None:
    actions = {
        "A": compose(BROKEN),
        "B": compose("x", A=["Succeeded"]),
        "C": compose("@coalesce(body('B'), 'none')", B=["Skipped"]),
    }
    done = play(engine, actions, {})
    assert [done.records[-1].outputs, done.status] == ["none", "Succeeded"]


def test_a_condition_takes_one_branch_and_skips_all_of_the_other(engine: Engine) -> None:
    inner = {"type": "Scope", "actions": {"Deep": compose("x")}, "runAfter": {}}
    actions = {
        "If": {
            "type": "If",
            "expression": {
                "and": [
                    {"greater": ["@length(triggerBody())", 1]},
                    {"not": {"contains": ["@triggerBody()", "z"]}},
                    {"or": [{"equals": [1, 2]}, "@equals(1, 1)"]},
                ]
            },
            "actions": {"Yes": compose("yes")},
            "else": {"actions": {"No": inner}},
        }
    }
    done = play(engine, actions, ["a", "b"])
    assert [done.statuses(name) for name in ("Yes", "No", "Deep")] == [
        ["Succeeded"],
        ["Skipped"],
        ["Skipped"],
    ]
    assert play(engine, actions, ["a", "z"]).statuses("Deep") == ["Succeeded"]


def test_a_switch_takes_the_equal_case_or_the_default(engine: Engine) -> None:
    actions = {
        "Switch": {
            "type": "Switch",
            "expression": "@triggerBody()",
            "cases": {"one": {"case": "a", "actions": {"A": compose("a")}}},
            "default": {"actions": {"Other": compose("o")}},
        }
    }
    assert play(engine, actions, "a").statuses("Other") == ["Skipped"]
    assert play(engine, actions, "b").statuses("A") == ["Skipped"]


def test_a_sequential_loop_keeps_order_and_a_parallel_one_promises_none(engine: Engine) -> None:
    def loop(**more: Any) -> dict[str, Any]:
        append = {
            "type": "AppendToArrayVariable",
            "inputs": {"name": "seen", "value": "@items('Each')"},
        }
        return {
            "Seen": {
                "type": "InitializeVariable",
                "inputs": {"variables": [{"name": "seen", "type": "array"}]},
            },
            "Each": {
                "type": "Foreach",
                "foreach": "@triggerBody()",
                "actions": {"Append": append},
                "runAfter": {"Seen": ["Succeeded"]},
                **more,
            },
            "End": compose("@variables('seen')", Each=["Succeeded"]),
        }

    one_by_one = loop(runtimeConfiguration={"concurrency": {"repetitions": 1}})
    assert play(engine, one_by_one, [1, 2, 3]).records[-1].outputs == [1, 2, 3]
    assert play(engine, loop(), [1, 2, 3]).records[-1].outputs != [1, 2, 3]


def test_select_shapes_every_item(engine: Engine) -> None:
    inputs = {"from": "@triggerBody()", "select": {"Tag": "@item()?['name']"}}
    actions = {
        "S": {"type": "Select", "inputs": inputs},
        "B": compose("@body('S')", S=["Succeeded"]),
    }
    done = play(engine, actions, [{"name": "a"}, {}])
    assert done.records[-1].outputs == [{"Tag": "a"}, {"Tag": None}]
    assert play(engine, actions, None).statuses("S") == ["Failed"]


@pytest.mark.parametrize("value", ["text", None, [1]])
def test_a_variable_keeps_its_type(engine: Engine, value: Any) -> None:
    actions = {
        "V": {
            "type": "InitializeVariable",
            "inputs": {"variables": [{"name": "v", "type": "object"}]},
        },
        "Set": {
            "type": "SetVariable",
            "inputs": {"name": "v", "value": "@triggerBody()"},
            "runAfter": {"V": ["Succeeded"]},
        },
    }
    assert play(engine, actions, value).statuses("Set") == ["Failed"]
    assert play(engine, actions, {"a": 1}).statuses("Set") == ["Succeeded"]


def test_a_loop_over_nothing_that_is_an_array_fails(engine: Engine) -> None:
    actions = {"Each": {"type": "Foreach", "foreach": "@triggerBody()", "actions": {}}}
    assert play(engine, actions, None).statuses("Each") == ["Failed"]


def test_one_failed_iteration_fails_the_loop_after_all_have_run(engine: Engine) -> None:
    actions = {
        "Each": {
            "type": "Foreach",
            "foreach": "@triggerBody()",
            "operationOptions": "Sequential",
            "actions": {"A": compose("@div(1, item())")},
        },
        "Which": compose("@result('Each')", Each=["Failed"]),
    }
    done = play(engine, actions, [0, 1])
    assert done.statuses("A") == ["Failed", "Succeeded"]
    assert [one["status"] for one in done.records[-1].outputs] == ["Failed", "Succeeded"]


def test_until_repeats_to_its_condition_or_its_limit(engine: Engine) -> None:
    def loop(goal: int, **more: Any) -> dict[str, Any]:
        return {
            "N": {
                "type": "InitializeVariable",
                "inputs": {"variables": [{"name": "n", "type": "integer", "value": 0}]},
            },
            "Until": {
                "type": "Until",
                "expression": f"@greaterOrEquals(variables('n'), {goal})",
                "limit": {"count": 4, "timeout": "PT1H"},
                "actions": {
                    "Pause": {
                        "type": "Wait",
                        "inputs": {"interval": {"count": 10, "unit": "Minute"}},
                    },
                    "Add": {
                        "type": "IncrementVariable",
                        "inputs": {"name": "n", "value": 1},
                        "runAfter": {"Pause": ["Succeeded"]},
                    },
                },
                "runAfter": {"N": ["Succeeded"]},
                **more,
            },
        }

    done = play(engine, loop(3))
    assert (len(done.statuses("Add")), done.status, done.seconds) == (3, "Succeeded", 1800)
    assert len(play(engine, loop(9)).statuses("Add")) == 4
    assert play(engine, loop(9, operationOptions="FailWhenLimitsReached")).status == "Failed"


def test_until_stops_when_its_time_is_over(engine: Engine) -> None:
    actions = {
        "Until": {
            "type": "Until",
            "expression": "@equals(1, 2)",
            "limit": {"count": 60, "timeout": "PT25M"},
            "actions": {
                "Pause": {"type": "Wait", "inputs": {"interval": {"count": 10, "unit": "Minute"}}}
            },
        }
    }
    assert len(play(engine, actions).statuses("Pause")) == 3


@pytest.mark.parametrize(
    ("statuses", "status"), [([500, 200], "Succeeded"), ([500, 500, 500], "Failed")]
)
def test_the_last_iteration_decides_whether_until_failed(
    engine: Engine, stub: Stubs, statuses: list[int], status: str
) -> None:
    server = stub({"POST /x": [(one, {}, None) for one in statuses]})
    actions = {
        "Until": {
            "type": "Until",
            "expression": "@equals(outputs('A')?['statusCode'], 200)",
            "limit": {"count": 3, "timeout": "PT1H"},
            "actions": {"A": http(f"{server.url}/x")},
        }
    }
    done = play(engine, actions)
    assert (done.statuses("Until"), len(done.sent)) == ([status], len(statuses))


def test_terminate_ends_the_run_with_its_own_status(engine: Engine) -> None:
    stop = {
        "type": "Terminate",
        "inputs": {"runStatus": "Failed", "runError": {"code": "X", "message": "@triggerBody()"}},
    }
    done = play(engine, {"Stop": stop, "Never": compose("x", Stop=["Succeeded"])}, "why")
    assert (done.status, done.error["message"], done.statuses("Never")) == ("Failed", "why", [])


def test_a_failing_scope_says_what_failed_inside(engine: Engine) -> None:
    actions = {
        "Scope": {"type": "Scope", "actions": {"A": compose("x"), "B": compose(BROKEN)}},
        "Which": compose("@result('Scope')[1]['status']", Scope=["Failed"]),
    }
    assert play(engine, actions, {}).records[-1].outputs == "Failed"


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


def test_secured_inputs_and_outputs_are_not_in_the_history(engine: Engine) -> None:
    secured = compose("secret")
    secured["runtimeConfiguration"] = {"secureData": {"properties": ["inputs", "outputs"]}}
    done = play(engine, {"A": secured, "B": compose("@length(outputs('A'))", A=["Succeeded"])})
    assert (done.records[0].inputs, done.records[0].outputs) == (None, None)
    assert done.records[1].outputs == 6


def test_the_world_can_change_in_the_middle_of_a_run(engine: Engine, stub: Stubs) -> None:
    server = stub({"POST /": [(200, {}, {"n": 1})]})
    actions = {
        "Read": http(f"{server.url}/"),
        "Ask": http(f"{server.url}/", after={"Read": ["Succeeded"]}),
    }

    def change() -> None:
        server.script["POST /"] = [(200, {}, {"n": 2})]

    done = play(engine, actions, before={"Ask": change})
    assert [record.outputs["body"]["n"] for record in done.records] == [1, 2]


def test_a_response_is_kept(engine: Engine) -> None:
    response = {"type": "Response", "inputs": {"statusCode": 202, "body": "@triggerBody()"}}
    assert play(engine, {"R": response}, "b").response == {"statusCode": 202, "body": "b"}


def test_a_definition_may_not_leave_this_machine(engine: Engine) -> None:
    with pytest.raises(AssertionError, match="leave this machine"):
        play(engine, {"A": http("https://management.azure.com/x")})


@pytest.mark.parametrize(
    "action",
    [
        {"type": "JavaScriptCode", "inputs": {}},
        {"type": "Compose", "inputs": "x", "limit": {"timeout": "PT1M"}},
        {"type": "Compose", "inputs": "x", "runtimeConfiguration": {"paginationPolicy": {}}},
        {"type": "Http", "inputs": {"uri": "http://127.0.0.1:9", "method": "GET"}}
        | {"operationOptions": "Guess"},
        {
            "type": "Foreach",
            "foreach": [1],
            "actions": {"T": {"type": "Terminate", "inputs": {"runStatus": "Failed"}}},
        },
    ],
    ids=["type", "property", "configuration", "option", "terminate in a loop"],
)
def test_what_the_runner_does_not_know_is_an_error(engine: Engine, action: Any) -> None:
    with pytest.raises(Unsupported):
        play(engine, {"A": action}, {})


def test_actions_that_wait_for_each_other_are_an_error(engine: Engine) -> None:
    with pytest.raises(Unsupported, match="never"):
        play(engine, {"A": compose("x", B=["Succeeded"]), "B": compose("y", A=["Succeeded"])})


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
