"""What goes wrong, on demand: by route, by count or by chance, and how often the clouds refuse.

A fault names a `route` as a shell pattern over `METHOD /path`, without case: `"GET */reputation"`,
`"*"`. Of the faults that replace an answer the first match wins; those that spoil one add up.

    throttle      429; `retry_after` seconds as a header, None for an answer without one
    error         `status` (503 unless told) with an error body
    html          an HTML page with `status` (200 unless told)
    expiredToken  401 InvalidAuthenticationToken
    noConsent     403 Authorization_RequestDenied
    noLicence     500 generalException, as Graph answers a tenant without a licence
    gone          `status` (404 unless told): the whole API is not there
    latency       `seconds` before the first byte
    slow          the body spread over `seconds`
    cut           half of the body, then the connection breaks
    drop          the connection breaks without an answer
    duplicates    every record of a list `times` times
    loop          a list's nextLink leads to the page itself
    foreignLink   a list's nextLink leads to another host
    odd           unknown words in enumerations, null texts and times, records without artifact

`count` limits how many requests are met, `after` lets some pass first, `probability` draws from a
generator seeded by the request and its repetition, so the outcome hangs on no thread's timing.
"""

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mdti.sandbox.wire import Reply, error_reply

_REPLACING = frozenset(
    {"throttle", "error", "html", "expiredToken", "noConsent", "noLicence", "gone"}
)
_SPOILING = frozenset(
    {"latency", "slow", "cut", "drop", "duplicates", "loop", "foreignLink", "odd"}
)
KINDS = _REPLACING | _SPOILING
FOREIGN_LINK = "https://collector.example/v1.0/security/threatIntelligence"
_BATCH = "/$batch"
_ENUMERATIONS = frozenset({"classification", "severity", "source", "format"})
_NULLABLE = frozenset(
    {"description", "summary", "relatedDetailsUrl", "lastSeenDateTime", "imageUrl"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong; the module's head lists the kinds and what each reads."""

    kind: str
    route: str = "*"
    count: int | None = None
    after: int = 0
    probability: float = 1.0
    status: int | None = None
    retry_after: float | None = None
    seconds: float = 1.0
    times: int = 2

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {sorted(KINDS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket: `rate` requests a second, `burst` at once, counted over a route.

    A refused request costs `penalty` tokens too, because Graph goes on counting while a client is
    throttled. The debt never exceeds one burst. `$batch` itself is free, its parts are counted.
    """

    rate: float = 50.0
    burst: float = 50.0
    penalty: float = 0.5
    route: str = "*"
    header: bool = True


class Faults:
    """The faults and the rate limit in force; may change while the sandbox runs."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        limit: RateLimit | None = None,
        seed: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._clock = clock
        self.set(faults, limit=limit)

    def set(self, faults: Iterable[Fault] = (), *, limit: RateLimit | None = None) -> None:
        """Replace everything in force; without arguments nothing goes wrong any more."""
        with self._lock:
            self._faults = list(faults)
            self._met: Counter[int] = Counter()
            self._repeats: Counter[tuple[int, str]] = Counter()
            self._limit = limit
            self._tokens = limit.burst if limit else 0.0
            self._filled = self._clock()

    def add(self, fault: Fault) -> None:
        """Put one more fault in force."""
        with self._lock:
            self._faults.append(fault)

    def apply(self, method: str, path: str, target: str, answer: Callable[[], Reply]) -> Reply:
        """Return `answer()`, or what goes wrong instead; `target` tells repetitions apart."""
        route = f"{method} {path}".lower()
        wait = self._take(route)
        if wait is not None:
            return self._throttled(wait)
        met = self._meet(route, f"{method} {target}")
        replacing = next((fault for fault in met if fault.kind in _REPLACING), None)
        reply = answer() if replacing is None else _instead(replacing)
        for fault in met:
            if fault.kind in _SPOILING:
                reply = _spoilt(fault, reply, target)
        return reply

    def to_json(self) -> dict[str, Any]:
        """Return what is in force, and how often each fault was met."""
        with self._lock:
            faults = [
                {**_fault_json(fault), "met": self._met[index]}
                for index, fault in enumerate(self._faults)
            ]
            limit = self._limit
        return {"faults": faults, "limit": None if limit is None else asdict(limit)}

    def set_json(self, document: Mapping[str, Any]) -> None:
        """Replace everything in force by a JSON document as `to_json` gives it.

        `met` is ignored, and fields may be left out; raises `ValueError` or `TypeError`.
        """
        faults = [Fault(**_snake(item)) for item in document.get("faults", [])]
        limit = document.get("limit")
        self.set(faults, limit=None if limit is None else RateLimit(**_snake(limit)))

    def _take(self, route: str) -> float | None:
        """Return None when the request may pass, else the seconds until the next one may."""
        with self._lock:
            limit = self._limit
            if limit is None or route.endswith(_BATCH) or not _matches(limit.route, route):
                return None
            now = self._clock()
            self._tokens = min(limit.burst, self._tokens + (now - self._filled) * limit.rate)
            self._filled = now
            if self._tokens >= 1:
                self._tokens -= 1
                return None
            self._tokens = max(-limit.burst, self._tokens - limit.penalty)
            return (1 - self._tokens) / limit.rate

    def _throttled(self, wait: float) -> Reply:
        limit = self._limit
        header = limit is not None and limit.header
        return _instead(Fault(kind="throttle", retry_after=wait if header else None))

    def _meet(self, route: str, request: str) -> list[Fault]:
        with self._lock:
            met = []
            for index, fault in enumerate(self._faults):
                if not _matches(fault.route, route) or not self._falls(index, fault, request):
                    continue
                self._met[index] += 1
                spent = self._met[index] - fault.after
                if spent > 0 and (fault.count is None or spent <= fault.count):
                    met.append(fault)
            return met

    def _falls(self, index: int, fault: Fault, request: str) -> bool:
        if fault.probability >= 1:
            return True
        self._repeats[index, request] += 1
        repeat = self._repeats[index, request]
        draw = random.Random(f"{self._seed}|{index}|{request}|{repeat}").random()
        return draw < fault.probability


def _matches(pattern: str, route: str) -> bool:
    return pattern == "*" or fnmatchcase(route, pattern.lower())


def _instead(fault: Fault) -> Reply:
    match fault.kind:
        case "throttle":
            wait = fault.retry_after
            headers = () if wait is None else (("Retry-After", str(max(1, math.ceil(wait)))),)
            return error_reply(429, "TooManyRequests", "Please retry again later.", headers=headers)
        case "html":
            page = b"<!DOCTYPE html><html><body><h1>Our services are busy</h1></body></html>"
            return Reply(status=fault.status or 200, body=page, content_type="text/html")
        case "expiredToken":
            message = "Lifetime validation failed, the token is expired."
            return error_reply(401, "InvalidAuthenticationToken", message)
        case "noConsent":
            message = "Insufficient privileges to complete the operation."
            return error_reply(403, "Authorization_RequestDenied", message)
        case "noLicence":
            return error_reply(500, "generalException", "Error retrieving reputation")
        case "gone":
            message = "Resource not found for the segment 'threatIntelligence'."
            return error_reply(fault.status or 404, "ResourceNotFound", message)
        case _:
            message = "The service is temporarily unavailable."
            return error_reply(fault.status or 503, "serviceUnavailable", message)


def _spoilt(fault: Fault, reply: Reply, target: str) -> Reply:
    match fault.kind:
        case "latency":
            return replace(reply, latency=max(reply.latency, fault.seconds))
        case "slow":
            return replace(reply, trickle=fault.seconds)
        case "cut":
            return replace(reply, cut_at=len(reply.body) // 2)
        case "drop":
            return replace(reply, cut_at=-1)
        case "odd":
            return _odd(reply)
        case _:
            return _spoilt_list(fault, reply, target)


def _spoilt_list(fault: Fault, reply: Reply, target: str) -> Reply:
    """Return a list with records or its nextLink spoilt; anything but a list as it is."""
    if reply.status != 200 or b'"value":[' not in reply.body:
        return reply
    document = json.loads(reply.body)
    if fault.kind == "duplicates":
        document["value"] = [row for row in document["value"] for _ in range(fault.times)]
    elif fault.kind == "loop":
        document["@odata.nextLink"] = target
    else:
        document["@odata.nextLink"] = f"{FOREIGN_LINK}?$skiptoken=1"
    return replace(reply, body=json.dumps(document, separators=(",", ":")).encode())


def _odd(reply: Reply) -> Reply:
    """Return a JSON answer as a later version of the API might send it."""
    if reply.status != 200 or reply.content_type != "application/json":
        return reply
    document = _oddly(json.loads(reply.body))
    for row in document.get("value", [])[::3]:
        row.pop("artifact", None)
    return replace(reply, body=json.dumps(document, separators=(",", ":")).encode())


def _oddly(value: Any) -> Any:
    if isinstance(value, list):
        return [_oddly(item) for item in value]
    if not isinstance(value, dict):
        return value
    odd = {name: _oddly(item) for name, item in value.items()}
    words = dict.fromkeys(_ENUMERATIONS & odd.keys(), "unknownFutureValue")
    return odd | words | dict.fromkeys(_NULLABLE & odd.keys())


def _fault_json(fault: Fault) -> dict[str, Any]:
    shown = asdict(fault)
    return {**shown, "retryAfter": shown.pop("retry_after")}


def _snake(item: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {("retry_after" if name == "retryAfter" else name): item[name] for name in item}
    renamed.pop("met", None)
    return renamed
