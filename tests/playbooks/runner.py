"""Runs a workflow definition as Logic Apps would, against local servers.

Order, statuses, loops, retries and time are this module's; every expression is evaluated by
Microsoft's engine. What is not known here - an action type, a property, a status that the service
leaves undefined - is an error, never passed over.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.playbooks.calls import perform
from tests.playbooks.engine import Engine, EngineRefused
from tests.playbooks.history import (
    Action,
    Actions,
    Failure,
    Frame,
    Record,
    Run,
    Stop,
    Unsupported,
    after,
    children,
    outcome,
)
from tests.playbooks.vocabulary import check
from tests.playbooks.wire import Authenticate, Clock, Wire, seconds_of

_UNITS = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86400}
_EMPTY: Mapping[str, Any] = {
    "boolean": False,
    "integer": 0,
    "float": 0.0,
    "string": "",
    "object": {},
    "array": [],
}


class Runner:
    """Runs one definition; make one for each run.

    `connectors` maps the keys of `$connections` to the base URLs of the servers that stand for
    them. `before` is called when the named action is about to start, so that a test can change
    the world in the middle of a run.
    """

    def __init__(
        self,
        engine: Engine,
        definition: Mapping[str, Any],
        *,
        parameters: Mapping[str, Any],
        connectors: Mapping[str, str] | None = None,
        authenticate: Authenticate = lambda authentication, url: {},
        before: Mapping[str, Callable[[], None]] | None = None,
        run_name: str = "08584000000000000000000000000CU00",
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._definition = definition
        self._connectors = connectors or {}
        self._before = before or {}
        self._clock = clock or Clock()
        self._wire = Wire(clock=self._clock, authenticate=authenticate)
        self._variables: dict[str, Any] = {}
        self._types: dict[str, type] = {}
        self._parameters = {
            name: parameters.get(name, declared.get("defaultValue"))
            for name, declared in definition.get("parameters", {}).items()
        }
        undeclared = set(parameters) - set(self._parameters)
        if undeclared:
            raise Unsupported(f"the definition declares no parameter {sorted(undeclared)}")
        self._workflow = {"name": "playbook", "run": {"name": run_name}}
        self._trigger: Any = None
        self._loops = 0
        self._run = Run()

    def run(self, trigger_body: Any) -> Run:
        """Execute the whole workflow for one body of its trigger."""
        self._trigger = {"outputs": {"headers": {}, "body": trigger_body}, "status": "Succeeded"}
        try:
            status = self._sequence(self._definition["actions"], Frame())
            self._run.status = "Succeeded" if status == "Succeeded" else "Failed"
        except Stop as stop:
            self._run.status, self._run.error = stop.status, stop.error
        self._run.sent = self._wire.sent
        self._run.seconds = self._clock.now
        return self._run

    def _sequence(self, actions: Actions, frame: Frame) -> str:
        """Run the actions of one level by `runAfter` and return the level's status."""
        statuses: dict[str, str] = {}
        waiting = dict(actions)
        while waiting:
            ready = [name for name, one in waiting.items() if set(after(one)) <= set(statuses)]
            if not ready:
                raise Unsupported(f"runAfter never lets these start: {sorted(waiting)}")
            for name in ready:
                action = waiting.pop(name)
                states_after = after(action)
                allowed = all(statuses[other] in states for other, states in states_after.items())
                statuses[name] = self._step(name, action, frame) if allowed else "Skipped"
                if not allowed:
                    self._skip({name: action}, frame)
        return outcome(actions, statuses)

    def _skip(self, actions: Actions, frame: Frame) -> None:
        for name, action in actions.items():
            self._finish(name, action, frame, "Skipped", None, None, None)
            for inner in children(action):
                self._skip(inner, frame)

    def _step(self, name: str, action: Action, frame: Frame) -> str:
        kind = action["type"]
        check(name, action)
        if name in self._before:
            self._before[name]()
        inputs: Any = None
        try:
            if "inputs" in action and kind != "Select":
                inputs = self._evaluate(action["inputs"], frame)
            method = getattr(self, f"_do_{kind.lower()}")
            outputs = method(name, action, inputs, frame)
        except EngineRefused as refused:
            return self._finish(
                name, action, frame, "Failed", inputs, None, ("InvalidTemplate", str(refused))
            )
        except Failure as failure:
            error = (failure.code, str(failure))
            return self._finish(name, action, frame, failure.status, inputs, failure.outputs, error)
        return self._finish(name, action, frame, "Succeeded", inputs, outputs, None)

    def _finish(
        self,
        name: str,
        action: Action,
        frame: Frame,
        status: str,
        inputs: Any,
        outputs: Any,
        error: tuple[str, str] | None,
    ) -> str:
        result: dict[str, Any] = {"name": name, "status": status}
        if inputs is not None:
            result["inputs"] = inputs
        if outputs is not None:
            result["outputs"] = outputs
        if error is not None:
            result |= {"code": error[0], "error": {"code": error[0], "message": error[1]}}
        frame.results[name] = result
        secured = action.get("runtimeConfiguration", {}).get("secureData", {}).get("properties", ())
        record = Record(
            name,
            status,
            None if "inputs" in secured else inputs,
            None if "outputs" in secured else outputs,
            result.get("error"),
        )
        self._run.records.append(record)
        return status

    def _evaluate(self, value: Any, frame: Frame) -> Any:
        return self._engine.evaluate(
            value,
            {
                "actions": frame.results,
                "items": frame.items,
                "item": frame.item,
                "results": frame.scopes,
                "iterations": frame.iterations,
                "parameters": self._parameters,
                "variables": self._variables,
                "trigger": self._trigger,
                "workflow": self._workflow,
            },
        )

    def _holds(self, condition: Any, frame: Frame) -> bool:
        if isinstance(condition, str):
            value = self._evaluate(condition, frame)
            if not isinstance(value, bool):
                raise Failure("InvalidTemplate", f"the condition gave {value!r}")
            return value
        ((operator, operands),) = condition.items()
        if operator == "and":
            return all(self._holds(one, frame) for one in operands)
        if operator == "or":
            return any(self._holds(one, frame) for one in operands)
        if operator == "not":
            return not self._holds(operands, frame)
        values = self._evaluate(list(operands), frame)
        named = {str(index): value for index, value in enumerate(values)}
        call = ", ".join(f"variables('{index}')" for index in named)
        return bool(self._engine.evaluate(f"@{operator}({call})", {"variables": named}))

    def _do_select(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        items = self._evaluate(action["inputs"]["from"], frame)
        if not isinstance(items, list):
            raise Failure("InvalidTemplate", f"from of {name} is no array: {items!r}")
        inner = Frame(frame)
        selected = []
        for inner.item in items:
            selected.append(self._evaluate(action["inputs"]["select"], inner))
        return {"body": selected}

    def _do_compose(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        return inputs

    def _do_initializevariable(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        for variable in inputs["variables"]:
            if variable["name"] in self._variables:
                raise Unsupported(f"{name}: {variable['name']} is initialised twice")
            self._types[variable["name"]] = type(_EMPTY[variable["type"].lower()])
            self._assign(variable["name"], variable.get("value", _EMPTY[variable["type"].lower()]))

    def _do_setvariable(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        self._assign(inputs["name"], inputs["value"])
        return {"name": inputs["name"], "value": inputs["value"]}

    def _do_appendtoarrayvariable(
        self, name: str, action: Action, inputs: Any, frame: Frame
    ) -> Any:
        self._assign(inputs["name"], [*self._variables.get(inputs["name"], ()), inputs["value"]])

    def _do_incrementvariable(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        self._assign(inputs["name"], self._variables.get(inputs["name"], 0) + inputs["value"])

    def _assign(self, variable: str, value: Any) -> None:
        kind = self._types.get(variable)
        if kind is None or type(value) is not kind:
            raise Failure("InvalidTemplate", f"{value!r} does not fit the variable {variable!r}")
        self._variables[variable] = value

    def _do_if(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        holds = self._holds(action["expression"], frame)
        taken, left = action["actions"], action.get("else", {}).get("actions", {})
        if not holds:
            taken, left = left, taken
        self._skip(left, frame)
        self._enter(name, taken, frame)
        return {"expressionResult": holds}

    def _do_switch(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        value = self._evaluate(action["expression"], frame)
        taken: Actions = action.get("default", {}).get("actions", {})
        for case in action["cases"].values():
            if case["case"] == value:
                taken = case["actions"]
        for branch in (*action["cases"].values(), action.get("default", {"actions": {}})):
            if branch["actions"] is not taken:
                self._skip(branch["actions"], frame)
        self._enter(name, taken, frame)

    def _do_scope(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        self._enter(name, action["actions"], frame)

    def _enter(self, name: str, actions: Actions, frame: Frame) -> None:
        status = self._sequence(actions, frame)
        frame.scopes[name] = [frame.results[inner] for inner in actions]
        if status != "Succeeded":
            raise Failure("ActionFailed", f"an action inside {name} failed", status=status)

    def _do_foreach(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        items = self._evaluate(action["foreach"], frame)
        if not isinstance(items, list):
            raise Failure("InvalidTemplate", f"foreach of {name} is no array: {items!r}")
        concurrency = action.get("runtimeConfiguration", {}).get("concurrency", {})
        one_by_one = (
            concurrency.get("repetitions") == 1 or action.get("operationOptions") == "Sequential"
        )
        # The service gives no order to parallel iterations: the last one first shows who needs it.
        ends = [
            self._iteration(name, action["actions"], frame, item=item)
            for item in (items if one_by_one else reversed(items))
        ]
        frame.scopes[name] = [one for inner, _ in ends for one in _results(action, inner)]
        failed = [status for _, status in ends if status != "Succeeded"]
        if failed:
            raise Failure("ActionFailed", f"{len(failed)} of {len(items)} iterations failed")

    def _iteration(
        self, name: str, actions: Actions, frame: Frame, *, item: Any = None
    ) -> tuple[Frame, str]:
        inner = Frame(frame)
        inner.items[name] = inner.item = item
        self._loops += 1
        try:
            return inner, self._sequence(actions, inner)
        finally:
            self._loops -= 1

    def _do_until(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        limit = action["limit"]
        deadline = self._clock.now + seconds_of(limit["timeout"])
        for index in range(limit["count"]):
            frame.iterations[name] = index
            inner, status = self._iteration(name, action["actions"], frame)
            frame.scopes[name] = _results(action, inner)
            if self._holds(action["expression"], inner):
                break
            if self._clock.now >= deadline or index + 1 == limit["count"]:
                if action.get("operationOptions") == "FailWhenLimitsReached":
                    raise Failure("ActionFailed", f"{name} reached its limit")
                break
        # Only the last iteration decides: one that failed before it is a reason to go round again.
        if status != "Succeeded":
            raise Failure("ActionFailed", f"the last iteration of {name} failed")

    def _do_http(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        authentication = inputs.get("authentication", {})
        return perform(self._wire, name, action, inputs, inputs["uri"], authentication)

    def _do_apiconnection(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        wanted = inputs["host"]["connection"]["name"]
        for key, connection in self._parameters.get("$connections", {}).items():
            if connection["connectionId"] == wanted:
                authentication = connection.get("connectionProperties", {}).get("authentication")
                url = self._connectors[key] + inputs["path"]
                return perform(self._wire, name, action, inputs, url, authentication or {})
        raise Failure("InvalidTemplate", f"no connection {wanted!r}")

    def _do_wait(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        interval = inputs["interval"]
        self._clock.wait(float(interval["count"]) * _UNITS[interval["unit"]])

    def _do_terminate(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        if self._loops:
            raise Unsupported(f"{name}: Terminate is not allowed inside a loop")
        self._finish(name, action, frame, "Succeeded", inputs, None, None)
        raise Stop(inputs["runStatus"], inputs.get("runError"))

    def _do_response(self, name: str, action: Action, inputs: Any, frame: Frame) -> Any:
        if self._run.response is not None:
            raise Failure("InvalidTemplate", "the run has already answered")
        self._run.response = inputs
        return inputs


def _results(action: Action, frame: Frame) -> list[Any]:
    return [frame.results[name] for name in action["actions"]]
