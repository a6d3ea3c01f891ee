"""The sandbox: one process on loopback that serves all vendors, each below its own prefix.

    with Sandbox() as sandbox:
        os.environ.update(sandbox.environment())     # the app now talks to the sandbox

A vendor is a class with a `name` (the first segment of its paths), `handle(Request) -> Reply`, and
`settings(base_url)` that names the app settings pointing at it; `wire` has these types. Give more
vendors as `Sandbox(vendors=...)`: a function from the sandbox, whose `world`, `tokens` and
`identity` it may keep, to the vendors. A vendor judges its caller with
`sandbox.tokens.judge(header, audience)`, and `sandbox.identity.grant(audience, role)` gives the app
a permission. Routing, faults, the rate limit and the log are the sandbox's and need nothing of it.

For people who play there is `/_sandbox` on the same port:

    GET /_sandbox                  the vendors, and the settings that point an app at them
    GET|PUT|DELETE /_sandbox/faults    what goes wrong; `{"faults": [{"kind": "throttle", ...}]}`
    GET|DELETE /_sandbox/requests  the requests so far
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from mdti.sandbox import story
from mdti.sandbox.faults import Faults
from mdti.sandbox.graph import Graph, GraphOptions
from mdti.sandbox.identity import Identity, Tokens
from mdti.sandbox.server import Server
from mdti.sandbox.wire import Reply, Request, Vendor, error_reply, json_reply
from mdti.sandbox.world import World

_REMEMBERED = 200_000
_SECRETS = frozenset({"authorization", "x-identity-header", "x-api-key", "cookie", "api-key"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived, or one part of a batch.

    `path` is as sent, with the vendor's prefix. Headers that carry credentials show what the vendor
    thought of them instead; `unread` when a fault answered in its place.
    """

    vendor: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    status: int
    batched: bool


class Sandbox(AbstractContextManager["Sandbox"]):
    """Serves a world until it is left; failures of a vendor's own code are raised on leaving.

    `world`, `faults`, `graph.options`, `identity` and `tokens` may be changed while it runs.
    `peak_in_flight` is the largest number of requests that were being answered at once.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        faults: Faults | None = None,
        graph: GraphOptions | None = None,
        vendors: "Callable[[Sandbox], Iterable[Vendor]] | None" = None,
        port: int = 0,
        token_lifetime: float = 86_400,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        now = datetime.fromtimestamp(clock(), UTC)
        self.world = world if world is not None else story.build(now)
        self.faults = faults if faults is not None else Faults()
        self.tokens = Tokens(clock=clock, lifetime=token_lifetime)
        self.identity = Identity(self.tokens)
        self.graph = Graph(self.world, self.tokens, options=graph)
        built: list[Vendor] = [self.identity, self.graph, *(vendors(self) if vendors else ())]
        self._vendors = {vendor.name: vendor for vendor in built}
        self._port = port
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._server: Server | None = None
        self._seen: deque[Seen] = deque(maxlen=_REMEMBERED)
        self._flight = threading.Lock()
        self._in_flight = 0
        self.peak_in_flight = 0

    def start(self) -> None:
        """Listen on the loopback address; with port 0 on any free port, and there again later."""
        self._stopping.clear()
        self._server = Server(self._port, self._answer, self._sleep)
        self._port = self._server.port
        self._server.start()

    def stop(self) -> None:
        """Stop listening and break what is open; raises what a vendor's code raised."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.stop()
        failure, self._server = self._server.failure, None
        if failure is not None:
            raise failure

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

    @property
    def url(self) -> str:
        """The root of the sandbox."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def graph_url(self) -> str:
        """The root of Graph, as `GRAPH_ENDPOINT` takes it."""
        return self.vendor_url("graph")

    @property
    def identity_url(self) -> str:
        """The root of the identity endpoints."""
        return self.vendor_url("identity")

    def vendor_url(self, name: str) -> str:
        """Return the root of a vendor."""
        return f"{self.url}/{name}"

    def environment(self) -> dict[str, str]:
        """Return the app settings that point the app at every vendor of the sandbox."""
        settings: dict[str, str] = {}
        for name, vendor in self._vendors.items():
            settings.update(vendor.settings(self.vendor_url(name)))
        return settings

    @property
    def requests(self) -> tuple[Seen, ...]:
        """The requests to vendors so far, oldest first; at most the last 200,000."""
        return tuple(self._seen)

    def forget(self) -> None:
        """Empty the log."""
        self._seen.clear()
        self.peak_in_flight = 0

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        parts = urlsplit(target)
        prefix, _, rest = parts.path.lstrip("/").partition("/")
        if prefix == "_sandbox":
            return self._control(method, rest, body)
        vendor = self._vendors.get(prefix.lower())
        if vendor is None:
            return error_reply(404, "NotFound", "No vendor has this prefix.")
        request = Request(
            method=method,
            path=f"/{rest}",
            base_url=self.vendor_url(vendor.name),
            forward=lambda part: self._pass(vendor, part, batched=True),
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            target=target,
            headers=headers,
            body=body,
        )
        with self._flight:
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            reply = self._pass(vendor, request, batched=False)
            if reply.latency:
                self._sleep(reply.latency)
        finally:
            with self._flight:
                self._in_flight -= 1
        return replace(reply, latency=0.0) if reply.latency else reply

    def _pass(self, vendor: Vendor, request: Request, *, batched: bool) -> Reply:
        path = f"/{vendor.name}{request.path}"
        query = "&".join(f"{name}={value}" for name, value in request.query)
        target = f"{self.url}{path}?{query}" if query else f"{self.url}{path}"
        reply = self.faults.apply(request.method, path, target, lambda: vendor.handle(request))
        verdict = reply.verdict or "unread"
        headers = {
            name: verdict if name in _SECRETS else value for name, value in request.headers.items()
        }
        options = dict(request.query)
        seen = Seen(vendor.name, request.method, path, options, headers, reply.status, batched)
        self._seen.append(seen)
        return reply

    def _control(self, method: str, path: str, body: bytes) -> Reply:
        match method, path.strip("/"):
            case "GET", "":
                urls = {name: self.vendor_url(name) for name in self._vendors}
                return json_reply({"vendors": urls, "settings": self.environment()})
            case "GET", "requests":
                return json_reply({"requests": [asdict(seen) for seen in self._seen]})
            case "DELETE", "requests":
                self.forget()
                return Reply(status=204)
            case "GET" | "PUT" | "DELETE", "faults":
                return self._control_faults(method, body)
            case _:
                return error_reply(404, "NotFound", "The sandbox has no such control.")

    def _control_faults(self, method: str, body: bytes) -> Reply:
        try:
            if method == "PUT":
                self.faults.set_json(_object(body))
            elif method == "DELETE":
                self.faults.set()
        except (TypeError, ValueError, AttributeError) as error:
            return error_reply(400, "BadRequest", str(error))
        return json_reply(self.faults.to_json())


def _object(body: bytes) -> Mapping[str, Any]:
    document = json.loads(body.decode("utf-8"))
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")
    return document
