"""What a run is made of: levels of actions, their statuses, and the history it leaves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.playbooks.wire import Sent

Action = Mapping[str, Any]
Actions = Mapping[str, Action]


class Unsupported(Exception):
    """The definition holds something whose behaviour this runner does not know."""


class Stop(Exception):
    """The run ends here: a Terminate action."""

    def __init__(self, status: str, error: Any) -> None:
        self.status = status
        self.error = error


class Failure(Exception):
    """An action fails; carries its outputs, if there are any."""

    def __init__(
        self, code: str, message: str, outputs: Any = None, status: str = "Failed"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.outputs = outputs
        self.status = status


@dataclass(frozen=True, slots=True)
class Record:
    """One action as the run history shows it; secured inputs and outputs are None."""

    name: str
    status: str
    inputs: Any
    outputs: Any
    error: Mapping[str, str] | None


@dataclass(slots=True)
class Run:
    """What a finished run did."""

    status: str = "Running"
    error: Any = None
    records: list[Record] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    response: Any = None
    seconds: float = 0.0

    def statuses(self, name: str) -> list[str]:
        """The statuses of an action, one for each time the run came to it."""
        return [record.status for record in self.records if record.name == name]


class Frame:
    """What expressions see at one place: results, loop items; iterations nest their own."""

    def __init__(self, parent: "Frame | None" = None) -> None:
        self.results: dict[str, Any] = dict(parent.results) if parent else {}
        self.items: dict[str, Any] = dict(parent.items) if parent else {}
        self.scopes: dict[str, Any] = dict(parent.scopes) if parent else {}
        self.iterations: dict[str, int] = dict(parent.iterations) if parent else {}
        self.item: Any = parent.item if parent else None


def after(action: Action) -> Mapping[str, list[str]]:
    """What an action runs after, with the statuses in their usual spelling."""
    given: Mapping[str, list[str]] = action.get("runAfter", {})
    return {
        name: [status.replace(" ", "").title().replace("out", "Out") for status in states]
        for name, states in given.items()
    }


def children(action: Action) -> Iterable[Actions]:
    """The levels of actions inside an action."""
    yield action.get("actions", {})
    yield action.get("else", {}).get("actions", {})
    yield action.get("default", {}).get("actions", {})
    for case in action.get("cases", {}).values():
        yield case["actions"]


def outcome(actions: Actions, statuses: Mapping[str, str]) -> str:
    """The status of a level, as Logic Apps find it: by its last actions.

    An action that nothing runs after decides; one that was skipped hands the decision to those
    it would have run after.
    """
    followed = {other for action in actions.values() for other in after(action)}
    deciding = [name for name in actions if name not in followed]
    seen: set[str] = set()
    while deciding:
        name = deciding.pop()
        if name in seen:
            continue
        seen.add(name)
        if statuses[name] == "Skipped":
            deciding.extend(after(actions[name]))
        elif statuses[name] != "Succeeded":
            return "Failed"
    return "Succeeded"
