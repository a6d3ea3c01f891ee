"""The demo: one incident of the sandbox's story, from what Sentinel sends to what people read."""

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from mdti.app import App
from mdti.console import Console
from mdti.incident_models import Brief, Incident
from mdti.render import render
from mdti.render.wording import plural
from mdti.sandbox import triggers
from mdti.sandbox.host import Sandbox
from mdti.sandboxed import sandboxed

INCIDENT = "invoice"

_STORY = (
    "Somebody at Lantern Foods opened an invoice, and since then one of their machines talks to"
    ' strangers. Microsoft Sentinel raised incident #{number}, "{title}", and a playbook handed it'
    " to this app. The app is the real one; the world it asks, its actors and its hosts are"
    " invented and live on this machine for as long as the demo runs."
)
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"


def play(console: Console, *, report: Path) -> None:
    """Play the incident through and print what becomes of it; the HTML report goes to `report`."""
    with sandboxed() as sandbox:
        settings = {
            **sandbox.environment(),
            "MDTI_STATE_DIR": os.environ["MDTI_STATE_DIR"],
            "SENTINEL_WORKSPACE_ID": triggers.WORKSPACE_ID,
        }
        with closing(App(settings)) as app:
            incident = app.parse_incident(triggers.incident(INCIDENT, sandbox.world.now))
            story = _STORY.format(number=incident.number, title=incident.title)
            console.show(textwrap.fill(story, console.width) + "\n")
            with console.working("Writing the brief", lambda: app.transport.counters()):
                brief = app.brief(incident)
        _show_brief(console, brief)
        _section(console, f"What changes on incident #{incident.number}", _changes(incident, brief))
        html = render("html", brief.lookups, now=datetime.now(UTC), brief=brief)
        saved = console.save(html, report.resolve())
        _section(console, "The report for people", f"{saved}: open it in a browser.")
        _section(console, "Asked again", _again(settings, incident, brief, sandbox))
    _section(console, "Try next", _suggestions())


def _show_brief(console: Console, brief: Brief) -> None:
    text = render(
        "text",
        brief.lookups,
        now=datetime.now(UTC),
        brief=brief,
        width=console.width,
        colour=console.coloured,
    )
    _section(console, "The brief, as an analyst reads it", text)


def _changes(incident: Incident, brief: Brief) -> str:
    prompts = plural(len(brief.copilot_prompts), "question")
    asked = ", ".join(prompt.actor for prompt in brief.copilot_prompts)
    rows = {
        "severity": _change(incident.severity, brief.severity),
        "status": _change(incident.status, brief.status),
        "tags": ", ".join(f"+ {tag}" for tag in brief.tags) or "none",
        "comments": "1 with the findings" if brief.comment else "none",
        "Copilot": f"{prompts}, about {asked}; its answer is a comment too"
        if asked
        else "not asked",
    }
    return "\n".join(f"{name:<10}{change}" for name, change in rows.items())


def _change(before: str, after: str) -> str:
    return f"{before} → {after}" if before != after else f"stays {before}"


def _again(settings: Mapping[str, str], incident: Incident, brief: Brief, sandbox: Sandbox) -> str:
    """Look the same hosts up with another app on the same state, as a new process has it."""
    first = brief.lookups[0].stats
    before = len(sandbox.requests)
    with closing(App(settings)) as app:
        request = app.parse_lookup({"iocs": [host.value for host in incident.hosts]})
        second = app.look_up(request, at=incident.at)[0].stats
    requests = len(sandbox.requests) - before
    ratio = first.elapsed_seconds / max(second.elapsed_seconds, 0.001)
    return (
        f"The app starts anew, with its stored state, and looks the same"
        f" {plural(len(request.hosts), 'host')} up:\n"
        f"{plural(requests, 'request')} instead of {first.requests:,},"
        f" {second.elapsed_seconds:.3f} s instead of {first.elapsed_seconds:.3f} s:"
        f" {ratio:.0f} times faster."
    )


def _suggestions() -> str:
    program = _program()
    commands = {
        "lookup orchard-bakery.example --sandbox": "an honest shop on an address that was an"
        " actor's until its lease ended",
        "serve --sandbox": "the same app over HTTP, as the playbook calls it",
        "status": "your own tenant, after `az login`: what works and what to grant",
    }
    return "\n".join(f"{program} {command}\n    {why}" for command, why in commands.items())


def _program() -> str:
    """Return how to call this program from here."""
    if shutil.which("mdti"):
        return "mdti"
    python = Path(sys.executable)
    here = Path.cwd()
    shown = python.relative_to(here) if python.is_relative_to(here) else python
    return f"{shown} -m mdti"


def _section(console: Console, title: str, body: str) -> None:
    heading = f"{_BOLD}{title}{_RESET}" if console.coloured else title
    console.show(f"\n{heading}\n{'─' * len(title)}\n{body.rstrip()}\n")
