"""A small Functions host for this machine: HTTP triggers, queue messages, nothing to install.

    with serve(function_app.app.get_functions(), port=7071) as server:
        print(server.url)                         # http://127.0.0.1:7071

It takes the functions as the platform's own worker does and hands them the library's own request,
response and message types. Queue messages stay in memory. Timers do not run, function keys are not
asked for, and Easy Auth's headers are whatever the caller sends: so it listens on loopback only.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import azure.functions as func

from mdti.listener import Call, Listener, Reply

PREFIX = "api"
MAX_DELIVERIES = 5
DEFAULT_THREADS = 32
QUEUE_THREADS = 4
_NAMED_TIMERS = 3
HOSTNAME = "WEBSITE_HOSTNAME"
THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the app; bindings by type, as the platform reads them."""

    name: str
    call: Callable[..., Any]
    bindings: tuple[Mapping[str, Any], ...]

    def binding(self, kind: str) -> Mapping[str, Any] | None:
        return next((b for b in self.bindings if b["type"] == kind), None)

    def outputs(self) -> Iterator[Mapping[str, Any]]:
        return (b for b in self.bindings if b["type"] == "queue")


@dataclass(frozen=True, slots=True)
class _Route:
    methods: frozenset[str]
    segments: tuple[str, ...]
    function: _Function

    def match(self, method: str, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Return the parameters of a path, or None; as in ASP.NET, the case does not matter."""
        if method not in self.methods or len(segments) != len(self.segments):
            return None
        parameters: dict[str, str] = {}
        for wanted, found in zip(self.segments, segments, strict=True):
            if wanted.startswith("{"):
                parameters[wanted.strip("{}")] = found
            elif wanted.lower() != found.lower():
                return None
        return parameters


@dataclass(frozen=True, slots=True)
class _Trace:
    trace_parent: str
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


class _Context(func.Context):
    def __init__(self, name: str, trace: str) -> None:
        self._name, self._id, self._trace = name, str(uuid4()), _Trace(trace)
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        return self._id

    @property
    def thread_local_storage(self) -> Any:
        return self._local

    @property
    def function_name(self) -> str:
        return self._name

    @property
    def function_directory(self) -> str:
        return str(os.curdir)

    @property
    def trace_context(self) -> Any:
        return self._trace

    @property
    def retry_context(self) -> Any:
        return None


class _Out(func.Out[Any]):
    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class Server(AbstractContextManager["Server"]):
    """Runs functions until it is left; WEBSITE_HOSTNAME is its own address meanwhile.

    `url` is its root. On leaving, calls and messages under way end; messages that wait are lost.
    """

    def __init__(
        self,
        functions: Iterable[Any],
        *,
        host: str,
        port: int,
        environ: MutableMapping[str, str],
    ) -> None:
        found = tuple(_read(function) for function in functions)
        self._routes = tuple(_routes(found))
        self._queues = {
            trigger["queueName"]: function
            for function in found
            if (trigger := function.binding("queueTrigger"))
        }
        self._timers = [function.name for function in found if function.binding("timerTrigger")]
        self._environ = environ
        threads = environ.get(THREADS, "")
        self._bound = threading.BoundedSemaphore(
            int(threads) if threads.isdecimal() and int(threads) else DEFAULT_THREADS
        )
        self._messages = ThreadPoolExecutor(QUEUE_THREADS, thread_name_prefix="queue")
        self._waiting = 0
        self._settled = threading.Condition()
        self._before: str | None = None
        self._listener = Listener(host, port, self._answer)

    @property
    def url(self) -> str:
        """The root of the app."""
        return f"http://{self._listener.hostname}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What differs from the platform, for people."""
        named, more = self._timers[:_NAMED_TIMERS], len(self._timers) - _NAMED_TIMERS
        rest = f" and {more} more" if more > 0 else ""
        off = f"Timers do not run here: {', '.join(named)}{rest}." if named else ""
        keys = "Function keys are not asked for; only this machine can call."
        return tuple(note for note in (off, keys) if note)

    def start(self) -> None:
        """Listen."""
        self._before = self._environ.get(HOSTNAME)
        self._environ[HOSTNAME] = self._listener.hostname
        self._listener.start()

    def stop(self) -> None:
        """Stop listening and let what is under way end."""
        self._listener.stop()
        self._messages.shutdown(wait=True, cancel_futures=True)
        if self._waiting:
            _log.warning("%d queue messages were not delivered", self._waiting)
        if self._before is None:
            self._environ.pop(HOSTNAME, None)
        else:
            self._environ[HOSTNAME] = self._before

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no queue message is left; False when that takes longer."""
        with self._settled:
            return self._settled.wait_for(lambda: self._waiting == 0, timeout=seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _answer(self, call: Call) -> Reply:
        parts = urlsplit(call.target)
        prefix, *encoded = parts.path.lstrip("/").split("/")
        segments = tuple(map(unquote, encoded))
        for route in self._routes if prefix.lower() == PREFIX else ():
            parameters = route.match(call.method, segments)
            if parameters is not None:
                return self._call(route.function, call, parameters)
        return Reply(404)

    def _call(self, function: _Function, call: Call, parameters: Mapping[str, str]) -> Reply:
        trigger = function.binding("httpTrigger") or {}
        query = parse_qs(urlsplit(call.target).query, keep_blank_values=True)
        request = func.HttpRequest(
            method=call.method,
            url=f"{self.url}{call.target}",
            headers=call.headers,
            params={name: ",".join(values) for name, values in query.items()},
            route_params=parameters,
            body=call.body,
        )
        trace = call.headers.get("traceparent", "")
        try:
            response = self._invoke(function, trigger["name"], request, trace)
        except Exception as error:
            _log.error("%s failed: %s", function.name, type(error).__name__)
            return Reply(500)
        headers = dict(response.headers)
        text = response.mimetype.startswith("text/")
        charset = f"; charset={response.charset}" if text else ""
        headers.setdefault("Content-Type", f"{response.mimetype}{charset}")
        return Reply(response.status_code, response.get_body(), headers)

    def _invoke(self, function: _Function, name: str, value: object, trace: str = "") -> Any:
        outputs = {binding["name"]: _Out() for binding in function.outputs()}
        context = _Context(function.name, trace)
        with self._bound:
            result = function.call(**{name: value, "context": context, **outputs})
        for binding in function.outputs():
            message = outputs[binding["name"]].get()
            if message is not None:
                self._send(binding["queueName"], str(message))
        return result

    def _send(self, queue: str, message: str) -> None:
        with self._settled:
            self._waiting += 1
        self._messages.submit(self._deliver, self._queues[queue], message)

    def _deliver(self, function: _Function, message: str) -> None:
        trigger = function.binding("queueTrigger") or {}
        try:
            for _ in range(MAX_DELIVERIES):
                body = func.QueueMessage(id=str(uuid4()), body=message)
                try:
                    self._invoke(function, trigger["name"], body)
                except Exception as error:
                    _log.warning("%s failed: %s", function.name, type(error).__name__)
                else:
                    return
            _log.error("%s gave a message up after %d times", function.name, MAX_DELIVERIES)
        finally:
            with self._settled:
                self._waiting -= 1
                self._settled.notify_all()


def serve(
    functions: Iterable[Any],
    *,
    host: str = "127.0.0.1",
    port: int = 7071,
    environ: MutableMapping[str, str] = os.environ,
) -> Server:
    """Return a server of the functions of an app; port 0 takes any free one.

    At most PYTHON_THREADPOOL_THREAD_COUNT functions run at once, else 32. Raises SettingError for
    a host that is not loopback.
    """
    return Server(functions, host=host, port=port, environ=environ)


def _read(function: Any) -> _Function:
    bindings = tuple(binding.get_dict_repr() for binding in function.get_bindings())
    return _Function(function.get_function_name(), function.get_user_function(), bindings)


def _routes(functions: Iterable[_Function]) -> Iterator[_Route]:
    """Yield the routes, those with fewer parameters first, as the platform prefers them."""
    found = []
    for function in functions:
        trigger = function.binding("httpTrigger")
        if trigger is None:
            continue
        segments = tuple(trigger.get("route", function.name).strip("/").split("/"))
        methods = frozenset(str(getattr(m, "value", m)).upper() for m in trigger["methods"])
        found.append(_Route(methods, segments, function))
    yield from sorted(found, key=lambda route: sum(s.startswith("{") for s in route.segments))
