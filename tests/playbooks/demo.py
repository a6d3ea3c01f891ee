"""`python -m tests.playbooks.demo`: the story's incident through the incident playbook.

The playbook is the template that people deploy, run by Microsoft's own Logic Apps engine. The
function app is the real one; Sentinel, Copilot and Graph are the sandbox's. Where the engine cannot
be installed, the reason is printed and nothing fails.
"""

import os
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from mdti.sandbox import triggers
from mdti.sandbox.incidents import Incident
from mdti.serve import Server
from tests.playbooks.engine import Engine, availability
from tests.playbooks.function import CALLER_HEADERS, function_app
from tests.playbooks.history import Run
from tests.playbooks.place import Place
from tests.playbooks.wire import Clock, Sent

INCIDENT = "invoice"
_WIDTH = 96
_STEPS = {
    "Read_entities": "asks Sentinel for the entities",
    "Look_up": "hands the incident to the function app and waits for the brief",
    "Read_incident": "reads the incident again",
    "Raise_incident": "raises it",
    "Write_brief": "comments with the brief",
    "Earlier_comment": "looks whether this actor was described before",
    "Ask_Copilot": "asks Security Copilot",
    "Write_actor_comment": "comments on the actor",
    "Report_failure": "comments on what failed",
    "Report_refusal": "comments on what it may not do",
}
Write = Callable[[str], None]


def main(write: Write = print) -> int:
    """Play the incident and print each step; return the exit code."""
    verdict, reason = availability(os.environ)
    if verdict != "run":
        write(f"The playbook is not played: {reason}.")
        return int(verdict == "fail")
    with Engine() as engine, tempfile.TemporaryDirectory(prefix="mdti-") as state:
        place = Place(engine, function="", caller_headers=CALLER_HEADERS)
        with place.sandbox as sandbox:
            settings = {**sandbox.environment(), "MDTI_STATE_DIR": state}
            with function_app(settings) as server:
                run = play(place, server, write)
    return int(run.status != "Succeeded")


def play(place: Place, server: Server, write: Write) -> Run:
    """Run the playbook for the story's incident and write what it did."""
    place.function = server.url
    now = place.sandbox.world.now
    incident = place.incidents.adopt(triggers.incident(INCIDENT, now))
    write("The playbook incident-actor-brief, on Microsoft's Logic Apps engine")
    write(f'Incident #{incident.properties["incidentNumber"]} "{incident.properties["title"]}"')
    write(f"  {_state(incident)}")
    clock = Clock(listeners=[lambda _: server.wait_until_idle(60.0)])
    run = place.play(incident, clock=clock, UseCopilot=True)
    for number, (action, sent) in enumerate(groupby(run.sent, key=lambda one: one.action), 1):
        write(f"{number:3}. {_STEPS.get(action, action)}")
        for line in _lines(list(sent)):
            write(textwrap.indent(textwrap.shorten(line, _WIDTH, placeholder=" ..."), "       "))
    write(f"The run {run.status.lower()} after {run.seconds:.0f} s of its own time.")
    write(f"  {_state(incident)}")
    return run


def _lines(requests: Iterable[Sent]) -> Iterable[str]:
    for one in requests:
        yield f"{one.method} {_short(one.path)} -> {one.status}{_meaning(one)}"
        body: Any = one.body
        if one.action == "Raise_incident":
            tags = [tag["Tag"] for tag in body.get("tagsToAdd", {}).get("TagsToAdd", ())]
            fields = [f"{name} {body[name]}" for name in ("severity", "status") if name in body]
            yield ", ".join([*fields, *(f"tag {tag}" for tag in tags)])
        if one.action == "Ask_Copilot":
            yield f'"{body["PromptContent"]}"'
        if one.method == "PUT" and "properties" in body:
            yield f"{len(body['properties']['message']):,} characters of HTML"


def _short(path: str) -> str:
    """Return a path of ARM as its last two segments."""
    if "/Microsoft.SecurityInsights/" not in path:
        return path
    return f".../{'/'.join(path.split('/')[-2:])}"


def _meaning(one: Sent) -> str:
    meanings = {("Earlier_comment", 404): " (it was not)", ("Look_up", 202): " (later)"}
    return meanings.get((one.action, one.status), "")


def _state(incident: Incident) -> str:
    properties = incident.properties
    tags = ", ".join(label["labelName"] for label in properties["labels"]) or "none"
    comments = len(incident.comments)
    return (
        f"severity {properties['severity']}, status {properties['status']}, tags {tags}, "
        f"comments {comments}"
    )


if __name__ == "__main__":
    sys.exit(main())
