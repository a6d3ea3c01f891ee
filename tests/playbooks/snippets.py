"""Small workflows for the tests of the runner itself."""

from collections.abc import Callable
from typing import Any

from tests.playbooks.engine import Engine
from tests.playbooks.history import Run
from tests.playbooks.runner import Runner
from tests.playbooks.stub import Answer, Stub

Stubs = Callable[[dict[str, list[Answer]]], Stub]
"""Starts a server that answers from a script; the fixture `stub`."""

BROKEN = "@triggerBody()['none']['none']"
"""An expression that the engine refuses when the body has no such property."""


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
