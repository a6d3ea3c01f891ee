from typing import Any

import pytest

from tests.playbooks.engine import Engine
from tests.playbooks.history import Unsupported
from tests.playbooks.snippets import BROKEN, Stubs, compose, http, play


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
