"""The HTTP contract's requests: JSON to values, and what is answered at once or later.

Everything is checked before any question leaves. A field that is unknown is refused, because a
misspelt option that is ignored gives an answer to another question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdti.errors import InputError, TooManyItems
from mdti.ioc import HostParser
from mdti.models import Host, Lookup, LookupOptions
from mdti.render.document import lookup_document
from mdti.settings import LookupSettings

MAX_IOCS = 100
MAX_SYNCHRONOUS_IOCS = 10
MAX_SYNCHRONOUS_SECONDS = 90  # a Logic App waits 120 s for an answer, the front end 230 s
MAX_BODY = 1024 * 1024

_LIMITS = {
    "depth": (0, 3),
    "lookbackDays": (0, 36_500),
    "maxHosts": (1, 5_000),
    "timeoutSeconds": (1, 600),
}


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """What to look up; `single` when one IOC was asked for by itself."""

    hosts: tuple[Host, ...]
    single: bool
    options: LookupOptions

    @property
    def takes_long(self) -> bool:
        """True when the answer is given later, whoever asks."""
        return (
            len(self.hosts) > MAX_SYNCHRONOUS_IOCS
            or self.options.timeout_seconds > MAX_SYNCHRONOUS_SECONDS
        )

    def to_json(self) -> dict[str, Any]:
        """Return the request as `parse_lookup` reads it, for a job."""
        asked: dict[str, Any] = (
            {"ioc": self.hosts[0].value}
            if self.single
            else {"iocs": [host.value for host in self.hosts]}
        )
        return asked | {
            "depth": self.options.depth,
            "lookbackDays": self.options.lookback_days,
            "maxHosts": self.options.max_hosts,
            "timeoutSeconds": self.options.timeout_seconds,
        }


def parse_lookup(body: object, *, parser: HostParser, settings: LookupSettings) -> LookupRequest:
    """Return the look-up that a JSON body asks for; raise `InputError` saying what is wrong."""
    if not isinstance(body, Mapping):
        raise InputError('The body must be a JSON object such as {"ioc": "evil.com"}.')
    unknown = sorted(set(map(str, body)) - {"ioc", "iocs", *_LIMITS})
    if unknown:
        raise InputError(f"Unknown field: {unknown[0][:40]!a}.")
    if ("ioc" in body) == ("iocs" in body):
        raise InputError("The body must have either `ioc` or `iocs`.")
    single = "ioc" in body
    asked = [body["ioc"]] if single else body["iocs"]
    if not isinstance(asked, list) or not asked:
        raise InputError("`iocs` must be a list of at least one IOC.")
    if len(asked) > MAX_IOCS:
        raise TooManyItems(f"At most {MAX_IOCS} IOCs in one request; this one has {len(asked):,}.")
    hosts = tuple(dict.fromkeys(parser.parse(ioc) for ioc in asked))
    return LookupRequest(hosts, single, parse_options(body, settings=settings))


def lookup_answer(request: LookupRequest, lookups: Sequence[Lookup]) -> Mapping[str, Any]:
    """Return the JSON answer to a request: one look-up, or a list of them."""
    documents = [lookup_document(lookup) for lookup in lookups]
    return documents[0] if request.single else {"lookups": documents}


def parse_options(body: Mapping[str, object], *, settings: LookupSettings) -> LookupOptions:
    """Return the options of a look-up; what is not given comes from the settings."""
    return LookupOptions(
        depth=_whole(body, "depth", settings.depth),
        lookback_days=_whole(body, "lookbackDays", settings.lookback_days),
        max_hosts=_whole(body, "maxHosts", settings.max_hosts),
        timeout_seconds=_whole(body, "timeoutSeconds", settings.timeout_seconds),
    )


def query_options(query: Mapping[str, str]) -> dict[str, object]:
    """Return the options of a query string as the JSON body would have them."""
    options: dict[str, object] = {}
    for name in _LIMITS:
        text = query.get(name)
        if text is None:
            continue
        if not text.isascii() or not text.isdigit() or len(text) > 6:
            raise InputError(f"`{name}` must be a whole number.")
        options[name] = int(text)
    return options


def wants_later(prefer: str | None) -> bool:
    """Return whether a `Prefer` header asks for an answer later (RFC 7240, 4.1)."""
    preferences = (part.split(";")[0].strip().lower() for part in (prefer or "").split(","))
    return "respond-async" in preferences


def _whole(body: Mapping[str, object], name: str, default: int) -> int:
    value = body.get(name, default)
    low, high = _LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"`{name}` must be a whole number from {low:,} to {high:,}.")
    return value
