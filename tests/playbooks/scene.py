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
    """Return a brief's question to Copilot."""
    return {
        "actor": actor,
        "commentId": str(uuid.uuid5(uuid.NAMESPACE_URL, actor)),
        "prompt": f"Who is {actor}?",
        "fallbackHtml": f"<p>Profile of {actor}</p>",
    }


def brief(*actors: str, **changes: Any) -> dict[str, Any]:
    """Return a brief that names these actors."""
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
    """One incident with one address, and the playbook."""

    def __init__(self, engine: Engine) -> None:
        self.stub = Stub({})
        self.place = Place(engine, function=self.stub.url)
        self.incident = self.place.incidents.add(
            "Beaconing", [("Ip", {"address": "198.51.100.23"})]
        )

    def answers(self, *answers: Answer) -> None:
        """Let the function app give these answers, the last one again and again."""
        self.stub.script[ASK] = list(answers)

    def play(self, **options: Any) -> Run:
        """Run the playbook for the incident."""
        return self.place.play(self.incident, **options)

    def closed(self) -> None:
        """Close the incident, as an analyst does."""
        self.place.incidents.change(self.incident, {"status": "Closed"})

    def conflict(self, count: int) -> None:
        """Let the next updates of the incident meet somebody else's."""
        faults = self.place.sandbox.faults
        faults.add(Fault(kind="error", route="PUT /sentinel/incidents", status=409, count=count))

    def updates(self, run: Run) -> list[Any]:
        """Return what a run sent to change the incident."""
        return [one.body for one in run.sent if one.action == "Raise_incident"]

    @property
    def messages(self) -> list[str]:
        """The incident's comments, the oldest first."""
        return [one["properties"]["message"] for one in self.incident.comments.values()]

    @property
    def state(self) -> tuple[str, str, list[str]]:
        """The incident's severity, status and tags."""
        properties = self.incident.properties
        tags = [label["labelName"] for label in properties["labels"]]
        return properties["severity"], properties["status"], tags


def in_background(scene: Scene, *ends: Answer) -> None:
    """Let the look-up be a job that is asked once in vain and then gives these answers."""
    location = f"{scene.stub.url}/api/v1/jobs/7"
    waiting = {"Location": location, "Retry-After": "5"}
    scene.answers((202, waiting, {"id": "7"}))
    scene.stub.script["GET /api/v1/jobs/7"] = [(202, waiting, {"id": "7"}), *ends]
