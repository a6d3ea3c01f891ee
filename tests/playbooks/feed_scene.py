"""A feed playbook with a function app that answers from a script."""

from collections.abc import Mapping
from typing import Any

from tests.arm.template import load
from tests.playbooks.definitions import LOGICAPPS
from tests.playbooks.deployed import workflow_of
from tests.playbooks.engine import Engine
from tests.playbooks.history import Run
from tests.playbooks.place import AUDIENCE, IDENTITY, REQUIRED
from tests.playbooks.runner import Runner
from tests.playbooks.stub import Answer, Stub
from tests.playbooks.wire import Clock

JOB = "/api/v1/jobs/7"


def report(**changes: Any) -> dict[str, Any]:
    """Return the report of a run that did everything."""
    return {
        "feed": "a-to-b",
        "started": "2026-11-21T06:00:00Z",
        "finished": "2026-11-21T06:01:00Z",
        "read": 120,
        "accepted": 100,
        "unchanged": 10,
        "removed": 5,
        "skipped": {"belowConfidence": 10},
        "rejected": [],
        "pending": 0,
        "awaitingApproval": 0,
        "overCap": 0,
        "cursor": {"since": "2026-11-21T06:00:00Z"},
        "complete": True,
        "error": None,
    } | changes


def play_feed(
    engine: Engine,
    feed: str,
    *,
    function: str,
    caller_headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    run_name: str = "08584000000000000000000000000CU00",
    **parameters: Any,
) -> Run:
    """Deploy the feed's template with these parameters and run it once."""
    template = load(LOGICAPPS / feed / "azuredeploy.json")
    workflow = workflow_of(template, REQUIRED | parameters)

    def authenticate(authentication: Mapping[str, Any], url: str) -> Mapping[str, str]:
        assert authentication == {
            "type": "ManagedServiceIdentity",
            "identity": IDENTITY,
            "audience": AUDIENCE,
        }
        return caller_headers or {}

    runner = Runner(
        engine,
        workflow.definition,
        parameters=workflow.parameters | {"FunctionBaseUrl": function},
        authenticate=authenticate,
        run_name=run_name,
        clock=clock,
    )
    return runner.run(None)


class FeedScene:
    """One feed and its playbook; the test writes what the function app answers."""

    def __init__(self, engine: Engine, feed: str = "anyrun-to-defender") -> None:
        self._engine = engine
        self.feed = feed
        self.stub = Stub({})
        self.function = self.stub.url

    def answers(self, *answers: Answer) -> None:
        """Let the start of a run be answered so, the last answer again and again."""
        self.stub.script[f"POST /api/v1/feeds/{self.feed}/runs"] = list(answers)

    def in_background(self, *ends: Answer) -> None:
        """Let the run be a job that is asked once in vain and then gives these answers."""
        waiting = {"Location": self.stub.url + JOB, "Retry-After": "5"}
        self.answers((202, waiting, {"id": "7", "status": "queued"}))
        self.stub.script[f"GET {JOB}"] = [(202, waiting, {"id": "7", "status": "running"}), *ends]

    def play(self, **options: Any) -> Run:
        """Run the playbook once."""
        return play_feed(self._engine, self.feed, function=self.function, **options)


def shown(run: Run, action: str) -> Any:
    """Return what the run history shows as the output of an action."""
    (outputs,) = [one.outputs for one in run.records if one.name == action]
    return outputs
