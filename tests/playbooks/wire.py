"""How Logic Apps call out: retries, 202 with `Location`, time limits - on a clock of our own.

Only loopback addresses are ever called. Waiting moves the virtual clock and takes no time.
"""

import base64
import http.client
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Authenticate = Callable[[Mapping[str, Any], str], Mapping[str, str]]
"""From an action's `authentication` and its URL to the headers that the platform would send."""

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_RETRIED = frozenset({408, 429, *range(500, 600)})
_POLL_SECONDS = 20.0


class TimedOut(Exception):
    """The action's `limit.timeout` passed before there was an answer."""


class Unreachable(Exception):
    """Nobody answered at the address; the message says which."""


@dataclass(slots=True)
class Clock:
    """Virtual seconds since the run began; `listeners` hear of every wait."""

    now: float = 0.0
    listeners: list[Callable[[float], object]] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        """Let time pass at once."""
        self.now += seconds
        for listener in self.listeners:
            listener(seconds)


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy: after how many seconds each retry follows."""

    delays: tuple[float, ...]

    @classmethod
    def of(cls, policy: Mapping[str, Any] | None) -> "Retry":
        """Read a `retryPolicy`; without one Logic Apps retry four times, 7 seconds doubled."""
        policy = policy or {"type": "exponential", "count": 4, "interval": "PT7S"}
        if policy["type"] == "none":
            return cls(())
        interval = seconds_of(policy["interval"])
        if policy["type"] == "fixed":
            return cls((interval,) * policy["count"])
        if policy["type"] != "exponential":
            raise ValueError(f"no such retry policy: {policy['type']}")
        least = seconds_of(policy.get("minimumInterval", "PT5S"))
        most = seconds_of(policy.get("maximumInterval", "P1D"))
        return cls(
            tuple(min(max(interval * 2**n, least), most) for n in range(int(policy["count"])))
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One outgoing request as an action's evaluated inputs describe it."""

    action: str
    method: str
    url: str
    headers: Mapping[str, str]
    queries: Mapping[str, Any]
    body: Any
    authentication: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that went out and the status that came back; `status` 0: nobody answered."""

    action: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    status: int
    at: float

    @property
    def path(self) -> str:
        """The path without host and query."""
        return urlsplit(self.url).path


class Wire:
    """Sends calls for one run and keeps what was sent."""

    def __init__(self, *, clock: Clock, authenticate: Authenticate) -> None:
        self._clock = clock
        self._authenticate = authenticate
        self.sent: list[Sent] = []

    def call(
        self, call: Call, *, retry: Retry, limit: float | None, follow: bool
    ) -> dict[str, Any]:
        """Send with retries, follow 202 where wanted, and return the action's outputs.

        `limit` is in seconds. Raises `TimedOut` and `Unreachable`.
        """
        deadline = None if limit is None else self._clock.now + limit
        outputs = self._with_retries(call, retry, deadline)
        while follow and outputs["statusCode"] == 202 and "Location" in outputs["headers"]:
            self._wait(float(outputs["headers"].get("Retry-After", _POLL_SECONDS)), deadline)
            poll = Call(
                action=call.action,
                method="GET",
                url=outputs["headers"]["Location"],
                headers={},
                queries={},
                body=None,
                authentication=call.authentication,
            )
            outputs = self._with_retries(poll, retry, deadline)
        return outputs

    def _with_retries(self, call: Call, retry: Retry, deadline: float | None) -> dict[str, Any]:
        for delay in retry.delays:
            try:
                outputs = self._send(call)
            except Unreachable:
                self._wait(delay, deadline)
                continue
            if outputs["statusCode"] not in _RETRIED:
                return outputs
            self._wait(float(outputs["headers"].get("Retry-After", delay)), deadline)
        return self._send(call)

    def _wait(self, seconds: float, deadline: float | None) -> None:
        if deadline is not None and self._clock.now + seconds > deadline:
            self._clock.wait(max(deadline - self._clock.now, 0.0))
            raise TimedOut
        self._clock.wait(seconds)

    def _send(self, call: Call) -> dict[str, Any]:
        parts = urlsplit(call.url)
        if parts.hostname not in {"127.0.0.1", "::1", "localhost"} or parts.scheme != "http":
            raise AssertionError(f"{call.action} would leave this machine: {call.url}")
        headers = {name: str(value) for name, value in call.headers.items()}
        payload: bytes | None = None
        if call.body is not None:
            text = call.body if isinstance(call.body, str) else json.dumps(call.body)
            payload = text.encode("utf-8")
            headers.setdefault("Content-Type", "application/json")
        headers.update(self._authenticate(call.authentication, call.url))
        query = "&".join(
            part for part in (parts.query, urlencode(call.queries, quote_via=quote)) if part
        )
        target = parts.path + (f"?{query}" if query else "")
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        try:
            connection.request(call.method.upper(), target, payload, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._note(call, headers, 0)
            raise Unreachable(f"{parts.netloc} did not answer: {error}") from error
        finally:
            connection.close()
        self._note(call, headers, response.status)
        outputs: dict[str, Any] = {
            "statusCode": response.status,
            "headers": _titled(response.getheaders()),
        }
        if content:
            outputs["body"] = _body(content, response.headers.get("Content-Type", ""))
        return outputs

    def _note(self, call: Call, headers: Mapping[str, str], status: int) -> None:
        method = call.method.upper()
        self.sent.append(
            Sent(call.action, method, call.url, headers, call.body, status, self._clock.now)
        )


def seconds_of(duration: str) -> float:
    """Seconds of an ISO 8601 duration of days, hours, minutes and seconds."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {duration!r}")
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _titled(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {"-".join(part.title() for part in name.split("-")): value for name, value in headers}


def _body(content: bytes, content_type: str) -> Any:
    kind = content_type.split(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return json.loads(content)
    if kind.startswith("text/"):
        return content.decode("utf-8", "replace")
    return {"$content-type": content_type, "$content": base64.b64encode(content).decode("ascii")}
