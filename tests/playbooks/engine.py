"""Microsoft's Logic Apps engine, offline: validates definitions and evaluates expressions.

The engine's assemblies come with the package `data-factory-testing-framework`, the .NET runtime
with `dotnetcore2`; both exist for Linux on x86-64 only. They run in a child process, because the
runtime's libraries must be on the library path before the process starts.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tests.playbooks import openssl

_PACKAGES = ("data_factory_testing_framework", "pythonnet", "dotnetcore2")
_HOST = Path(__file__).with_name("engine_host.py")


class EngineRefused(Exception):
    """The engine does not accept a definition or an expression; the message is the engine's."""


@dataclass(frozen=True, slots=True, order=True)
class FunctionCall:
    """A function call in an expression, such as `body('Ask')?['error']?['message']`.

    `arguments` are those that are plain values, `path` the properties read of its result.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    path: tuple[Any, ...] = ()


def impossible() -> str | None:
    """Why the engine cannot exist on this machine, or None where it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        here = f"{sys.platform} on {platform.machine()}"
        return f"Microsoft's Logic Apps engine exists for Linux on x86-64 only, this is {here}"
    return None


def missing() -> str | None:
    """What has to be installed before the engine can start, or None when all is there."""
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (dependency group `engine`)"
    try:
        openssl.folder()
    except openssl.OpenSslUnavailable as error:
        return str(error)
    return None


def availability(environ: Mapping[str, str]) -> tuple[Literal["run", "skip", "fail"], str]:
    """Whether tests may run on the engine here, and the reason if not.

    With `CI` set they have to, wherever the engine can exist.
    """
    reason = impossible()
    if reason:
        return "skip", reason
    reason = missing()
    if reason:
        return ("fail" if environ.get("CI") else "skip"), reason
    return "run", ""


class Engine:
    """One running engine; `with Engine() as engine: ...` ends its process."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
            "LD_LIBRARY_PATH": str(openssl.folder()),
        }
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(_HOST)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the engine's process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def validate(self, definition: dict[str, Any], parameters: dict[str, Any]) -> None:
        """Let the engine check a workflow definition with the given parameter values.

        ARM expressions have to be replaced by values before. Raises `EngineRefused`.
        """
        self._ask({"op": "validate", "definition": definition, "parameters": parameters})

    def evaluate(self, value: Any, context: dict[str, Any]) -> Any:
        """Evaluate every expression in a JSON tree and return the tree.

        `context` may hold `actions`, `parameters`, `variables`, `items`, `results` and
        `iterations` (by name, any case), and `trigger`, `item`, `workflow`, `self` and
        `callbackUrl`. An action is `{"outputs": {...}, "status": "Succeeded"}`.
        Raises `EngineRefused`.
        """
        return self._ask({"op": "evaluate", "value": value, "context": context})

    def calls(self, value: Any) -> list[FunctionCall]:
        """Return each function call in the expressions of a JSON tree."""
        found = self._ask({"op": "calls", "value": value})
        return [FunctionCall(name, tuple(plain), tuple(path)) for name, plain, path in found]

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine ended with code {self._process.wait(timeout=30)}")
        answer = json.loads(line)
        if "error" in answer:
            raise EngineRefused(answer["error"])
        return answer["value"]
