"""The workflow of a feed playbook: start a run of the feed, wait for it, and show its report.

A run that failed or is incomplete fails the workflow's run, so that the run history says so.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_WORKFLOW = (
    "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/"
    "2016-06-01/workflowdefinition.json#"
)
_RUN_LIMIT = "PT50M"
"""A run stops itself after 25 minutes; the rest is for a run that it has to wait for."""

_CALL_LIMIT = "PT5M"
_ENDS = ["Succeeded", "Failed", "TimedOut"]
_STATUS = "variables('Answer')?['statusCode']"
_BODY = "variables('Answer')?['body']"
_ERROR = "outputs('Report')?['error']"
_HINT = f"coalesce({_ERROR}?['details']?['hint'], '')"


def feed_definition(feed: str, *, numbers: Mapping[str, str], approved: bool) -> Json:
    """Return the workflow definition.

    `numbers` are parameters of this feed alone, and what the request for a run calls them.
    `approved` when rows may await a person at the destination: how many do is then shown.
    """
    start = _request(feed, numbers)
    return {
        "$schema": _WORKFLOW,
        "contentVersion": "1.0.0.0",
        "parameters": _parameters(numbers),
        "triggers": {
            "Recurrence": {
                "type": "Recurrence",
                "description": "One run at a time.",
                "recurrence": {
                    "frequency": "Hour",
                    "interval": "[parameters('intervalRecurrence')]",
                },
                "runtimeConfiguration": {"concurrency": {"runs": 1}},
            }
        },
        "actions": {
            "Answer_of_the_function": {
                "type": "InitializeVariable",
                "runAfter": {},
                "inputs": {"variables": [{"name": "Answer", "type": "object", "value": {}}]},
            },
            "Poll_in_a_loop": {
                "type": "If",
                "runAfter": {"Answer_of_the_function": ["Succeeded"]},
                "expression": {"equals": ["@parameters('PollMode')", "until"]},
                "actions": _start_and_poll(start),
                "else": {"actions": _run(start)},
            },
            "Report": _report(),
            "Answered": _answered(feed, approved=approved),
        },
        "outputs": {},
    }


def _parameters(numbers: Mapping[str, str]) -> Json:
    return {
        "FunctionBaseUrl": {"type": "String"},
        "FunctionAudience": {"type": "String"},
        **{name: {"type": "Int"} for name in numbers},
        "DryRun": {"type": "Bool", "defaultValue": False},
        "Full": {"type": "Bool", "defaultValue": False},
        "PollMode": {
            "type": "String",
            "defaultValue": "auto",
            "allowedValues": ["auto", "until"],
        },
    }


def _run(start: Json) -> Json:
    followed = {
        "description": "A 202 is followed by Logic Apps themselves, with the same identity.",
        "limit": {"timeout": _RUN_LIMIT},
    }
    return {
        "Run_feed": start | followed,
        "Note_answer": _note("Run_feed", "Running the feed"),
    }


def _start_and_poll(start: Json) -> Json:
    job = "@{last(split(outputs('Start_feed_run')?['headers']?['Location'], '/'))}"
    poll = _http("GET", f"jobs/{job}")
    poll |= {
        "description": "The job's path is ours and only its id is taken from the answer, so the "
        "identity's token goes nowhere else.",
        "runAfter": {"Pause": ["Succeeded"]},
        "operationOptions": "DisableAsyncPattern",
    }
    pause = "@int(coalesce(outputs('Start_feed_run')?['headers']?['Retry-After'], '10'))"
    return {
        "Start_feed_run": start | {"operationOptions": "DisableAsyncPattern"},
        "Note_start": _note("Start_feed_run", "Starting the feed"),
        "While_running": {
            "type": "If",
            "runAfter": {"Note_start": ["Succeeded"]},
            "expression": {"equals": [f"@{_STATUS}", 202]},
            "actions": {
                "Until_done": {
                    "type": "Until",
                    "runAfter": {},
                    "expression": f"@not(equals({_STATUS}, 202))",
                    "limit": {"count": 600, "timeout": _RUN_LIMIT},
                    "actions": {
                        "Pause": {
                            "type": "Wait",
                            "runAfter": {},
                            "inputs": {"interval": {"count": pause, "unit": "Second"}},
                        },
                        "Poll": poll,
                        "Note_poll": _note("Poll", "Waiting for the feed"),
                    },
                }
            },
            "else": {"actions": {}},
        },
    }


def _report() -> Json:
    body = f"string(coalesce({_BODY}, ''))"
    return {
        "type": "Compose",
        "description": "What the run did; of a run that failed at once, the error.",
        "runAfter": {"Poll_in_a_loop": ["Succeeded"]},
        "inputs": f"@json(if(startsWith({body}, '{{'), {body}, '{{}}'))",
    }


def _answered(feed: str, *, approved: bool) -> Json:
    problem = f"{_ERROR}?['message']"
    return {
        "type": "If",
        "runAfter": {"Report": ["Succeeded"]},
        "expression": {
            "and": [
                {"equals": [f"@{_STATUS}", 200]},
                {"equals": ["@contains(outputs('Report'), 'complete')", True]},
            ]
        },
        "actions": {
            "Done_with_everything": {
                "type": "If",
                "runAfter": {},
                "expression": {
                    "and": [
                        {"equals": ["@outputs('Report')?['complete']", True]},
                        {"equals": [f"@{_ERROR}", "@null"]},
                    ]
                },
                "actions": {"Awaiting_approval": _awaiting()} if approved else {},
                "else": {
                    "actions": {
                        "Stop_as_incomplete": _stop(
                            "FeedRunIncomplete",
                            f"{feed}: @{{trim(concat(coalesce({problem}, concat('not all was done "
                            "yet (', string(coalesce(outputs('Report')?['pending'], 0)), ' "
                            "pending); the action Report has the counts, and the app goes on with "
                            f"the rest')), ' ', {_HINT}))}}",
                        )
                    }
                },
            },
        },
        "else": {
            "actions": {
                "Stop_as_failed": _stop(
                    "FeedRunFailed",
                    f"{feed}: @{{variables('Answer')?['step']}}: HTTP @{{coalesce({_STATUS}, 0)}}, "
                    f"@{{if(equals({_STATUS}, 202), 'the run has not ended within 50 minutes', "
                    f"trim(concat(coalesce({problem}, variables('Answer')?['problem'], "
                    f"'no answer that can be read'), ' ', {_HINT})))}}",
                ),
            }
        },
    }


def _awaiting() -> Json:
    return {
        "type": "Compose",
        "description": "Rows that were sent and that somebody there has to approve; no failure.",
        "runAfter": {},
        "inputs": "@outputs('Report')?['awaitingApproval']",
    }


def _request(feed: str, numbers: Mapping[str, str]) -> Json:
    action = _http("POST", f"feeds/{feed}/runs")
    action["inputs"] |= {
        "headers": {
            "Prefer": "respond-async",
            "Idempotency-Key": "@{workflow()['run']['name']}",
        },
        "body": {
            **{asked: f"@parameters('{name}')" for name, asked in numbers.items()},
            "dryRun": "@parameters('DryRun')",
            "full": "@parameters('Full')",
        },
    }
    return action


def _http(method: str, path: str) -> Json:
    return {
        "type": "Http",
        "runAfter": {},
        "limit": {"timeout": _CALL_LIMIT},
        "inputs": {
            "method": method,
            "uri": f"@{{parameters('FunctionBaseUrl')}}/api/v1/{path}",
            "authentication": {
                "type": "ManagedServiceIdentity",
                "identity": "[parameters('IdentityResourceId')]",
                "audience": "@parameters('FunctionAudience')",
            },
            "retryPolicy": {
                "type": "exponential",
                "count": 4,
                "interval": "PT10S",
                "minimumInterval": "PT10S",
                "maximumInterval": "PT5M",
            },
        },
        "runtimeConfiguration": {"secureData": {"properties": ["inputs"]}},
    }


def _note(action: str, step: str) -> Json:
    return {
        "type": "SetVariable",
        "runAfter": {action: _ENDS},
        "inputs": {
            "name": "Answer",
            "value": {
                "step": step,
                "statusCode": f"@outputs('{action}')?['statusCode']",
                "body": f"@outputs('{action}')?['body']",
                "problem": f"@actions('{action}')?['error']?['message']",
            },
        },
    }


def _stop(code: str, message: str) -> Json:
    return {
        "type": "Terminate",
        "runAfter": {},
        "inputs": {"runStatus": "Failed", "runError": {"code": code, "message": message}},
    }
