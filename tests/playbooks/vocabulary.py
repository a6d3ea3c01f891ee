"""The actions that the runner knows, and which properties each may have."""

from collections.abc import Mapping

from tests.playbooks.history import Action, Unsupported

_ALWAYS = frozenset({"type", "runAfter", "description", "metadata"})
_KEYS: Mapping[str, frozenset[str]] = {
    "Compose": frozenset({"inputs", "runtimeConfiguration"}),
    "Select": frozenset({"inputs"}),
    "InitializeVariable": frozenset({"inputs"}),
    "SetVariable": frozenset({"inputs"}),
    "AppendToArrayVariable": frozenset({"inputs"}),
    "IncrementVariable": frozenset({"inputs"}),
    "If": frozenset({"expression", "actions", "else"}),
    "Switch": frozenset({"expression", "cases", "default"}),
    "Foreach": frozenset({"foreach", "actions", "runtimeConfiguration", "operationOptions"}),
    "Until": frozenset({"expression", "actions", "limit", "operationOptions"}),
    "Scope": frozenset({"actions"}),
    "Http": frozenset({"inputs", "runtimeConfiguration", "limit", "operationOptions"}),
    "ApiConnection": frozenset({"inputs", "runtimeConfiguration", "limit", "operationOptions"}),
    "Wait": frozenset({"inputs"}),
    "Terminate": frozenset({"inputs"}),
    "Response": frozenset({"inputs", "kind"}),
}
_CONFIGURATION = frozenset({"secureData", "concurrency"})


def check(name: str, action: Action) -> None:
    """Raise `Unsupported` for an action whose type or properties the runner does not know."""
    kind = action["type"]
    unknown = set(action) - _ALWAYS - _KEYS.get(kind, frozenset())
    unknown |= set(action.get("runtimeConfiguration", {})) - _CONFIGURATION
    if kind not in _KEYS or unknown:
        raise Unsupported(f"{name}: {kind} with {sorted(unknown)}")
