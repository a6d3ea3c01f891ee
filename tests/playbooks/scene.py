"""The incident playbook with a function app that answers from a script."""

import uuid
from typing import Any

from mdti.sandbox.faults import Fault
from tests.playbooks.engine import Engine
from tests.playbooks.history import Run
from tests.playbooks.place import Place
from tests.playbooks.stub import Answer, Stub

ASK = "POST /api/v1/incidents"


def prompt(actor: str) -> dict[str, str]:
    return {
        "actor": actor,
        "commentId": str(uuid.uuid5(uuid.NAMESPACE_URL, actor)),
        "prompt": f"Who is {actor}?",
        "fallbackHtml": f"<p>Profile of {actor}</p>",
    }


def brief(*actors: str, **changes: Any) -> dict[str, Any]:
    return {
        "actors": [{"name": actor} for actor in actors],
        "raise": bool(actors),
        "severity": "High" if actors else "Medium",
        "status": "Active" if actors else "New",
        "tags": [{"Tag": actor} for actor in actors],
        "comment": {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, "brief")), "html": "<p>Brief</p>"},
        "copilotPrompts": [prompt(actor) for actor in actors],
        "complete": True,
        "gaps": [],
        "mode": "act",
    } | changes


class Scene:
    def __init__(self, engine: Engine) -> None:
        self.stub = Stub({})
        self.place = Place(engine, function=self.stub.url)
        self.incident = self.place.incidents.add(
            "Beaconing", [("Ip", {"address": "198.51.100.23"})]
        )

    def answers(self, *answers: Answer) -> None:
        self.stub.script[ASK] = list(answers)

    def play(self, **options: Any) -> Run:
        return self.place.play(self.incident, **options)

    def closed(self) -> None:
        self.place.incidents.change(self.incident, {"status": "Closed"})

    def conflict(self, count: int) -> None:
        faults = self.place.sandbox.faults
        faults.add(Fault(kind="error", route="PUT /sentinel/incidents", status=409, count=count))

    def updates(self, run: Run) -> list[Any]:
        return [one.body for one in run.sent if one.action == "Raise_incident"]

    @property
    def messages(self) -> list[str]:
        return [one["properties"]["message"] for one in self.incident.comments.values()]

    @property
    def state(self) -> tuple[str, str, list[str]]:
        properties = self.incident.properties
        tags = [label["labelName"] for label in properties["labels"]]
        return properties["severity"], properties["status"], tags


def in_background(scene: Scene, *ends: Answer) -> None:
    location = f"{scene.stub.url}/api/v1/jobs/7"
    waiting = {"Location": location, "Retry-After": "5"}
    scene.answers((202, waiting, {"id": "7"}))
    scene.stub.script["GET /api/v1/jobs/7"] = [(202, waiting, {"id": "7"}), *ends]
