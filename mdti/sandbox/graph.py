"""Microsoft Graph: `/security/threatIntelligence`, `$batch` and `runHuntingQuery`.

Paths are read in any case and in both key syntaxes (`hosts/x`, `hosts('x')`), under `/v1.0` and
`/beta`. What the documents leave open is a switch of `GraphOptions`; its defaults are what the
reference pages and published integrations make likely.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mdti.sandbox import hunting, shapes
from mdti.sandbox.batch import answer_batch
from mdti.sandbox.identity import GRAPH, Tokens
from mdti.sandbox.odata import BadOption, Collection, Paging, Row, count, listing
from mdti.sandbox.wire import Reply, Request, error_reply, json_reply
from mdti.sandbox.world import World

_AUDIENCES = (GRAPH, "00000003-0000-0000-c000-000000000000")
_KEY = re.compile(r"^(\w+)\('(.*)'\)$")
_EMPTY_COLLECTIONS = frozenset(
    {"components", "cookies", "trackers", "ports", "sslcertificates", "subdomains"}
    | {"hostpairs", "parenthostpairs", "childhostpairs"}
)
_PASSIVE_DNS = Collection(
    filterable=frozenset({"recordType"}),
    sortable=frozenset({"firstSeenDateTime", "lastSeenDateTime"}),
)
_PLAIN = Collection()
_COUNT = ["$count"]
_ARTICLES = Collection(searches=lambda row: f"{row['title']} {row['tags']} {row['summary']}")
_PROFILES = Collection(
    filterable=frozenset({"kind"}),
    sortable=frozenset({"title"}),
    searches=lambda row: f"{row['title']} {row['aliases']} {row['summary']}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """Switches for what the documents leave open.

    `filter_required`: passive DNS wants `$filter`, as its page says and its example does not.
    `missing_as_404`: which of `reputation` and `lists` answer 404 for an unknown host.
    `addresses_in_reverse`: `passiveDnsReverse` of an address lists the names that resolved to it.
    `odd_types`: some `@odata.type` values in another case, some left out.
    """

    paging: Paging = field(default_factory=Paging)
    filter_required: bool = False
    missing_as_404: frozenset[str] = frozenset()
    addresses_in_reverse: bool = False
    odd_types: bool = True
    batch: bool = True
    beta: bool = True


class Graph:
    """The Graph vendor; `options` may be replaced while it runs."""

    name = "graph"

    def __init__(
        self, world: World, tokens: Tokens, *, options: GraphOptions | None = None
    ) -> None:
        self.world = world
        self.tokens = tokens
        self.options = options or GraphOptions()

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the setting that points the app here; the tokens' audience stays Graph's own."""
        return {"GRAPH_ENDPOINT": base_url}

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        version, *segments = _expanded(request.segments)
        if version not in ("v1.0", "beta") or (version == "beta" and not self.options.beta):
            return error_reply(404, "BadRequest", "Invalid version.")
        verdict = self.tokens.judge(request.headers.get("authorization"), *_AUDIENCES)
        if verdict.word != "valid":
            return _unauthorized(verdict.word)
        reply = self._authenticated(request, version, segments, verdict.roles)
        return replace(reply, verdict="valid")

    def _authenticated(
        self, request: Request, version: str, segments: list[str], roles: frozenset[str]
    ) -> Reply:
        match [request.method, *segments]:
            case ["POST", "$batch"] if self.options.batch:
                return answer_batch(request, version)
            case ["POST", "security", "runhuntingquery"]:
                if "ThreatHunting.Read.All" not in roles:
                    return _forbidden()
                return self._hunt(request)
            case [_, "security", "threatintelligence", *rest] if rest:
                if request.method != "GET":
                    return error_reply(405, "MethodNotAllowed", "The method is not allowed.")
                if "ThreatIntelligence.Read.All" not in roles:
                    return _forbidden()
                return self._read(request, f"{request.base_url}/{version}", rest)
            case _:
                return _no_segment(segments[-1] if segments else "")

    def _read(self, request: Request, root: str, rest: list[str]) -> Reply:
        listed = _Listing(request, self.options.paging, root)
        try:
            match rest:
                case ["hosts", value, *below]:
                    return self._host(listed, value, below)
                case ["intelprofiles", *below]:
                    return self._profiles(listed, below)
                case ["articles", *below]:
                    return self._articles(listed, below)
                case ["vulnerabilities", cve, *below]:
                    return self._vulnerability(listed, cve.upper(), below)
                case [name]:
                    return error_reply(400, "BadRequest", f"Listing '{name}' is not supported.")
                case _:
                    return _no_segment(rest[0])
        except BadOption as problem:
            return error_reply(400, "BadRequest", str(problem))

    def _host(self, listed: "_Listing", value: str, below: list[str]) -> Reply:
        facts = self.world.hosts.get(value)
        match below:
            case []:
                return _not_found(value) if facts is None else listed.one(shapes.host(facts))
            case ["reputation"]:
                if facts is None and "reputation" in self.options.missing_as_404:
                    return _not_found(value)
                return listed.one(shapes.reputation(value, facts))
            case ["passivedns" | "passivednsreverse" as direction, *tail] if tail in ([], _COUNT):
                if facts is None and "lists" in self.options.missing_as_404:
                    return _not_found(value)
                return self._passive_dns(listed, value, direction == "passivednsreverse")
            case [name, *tail] if name in _EMPTY_COLLECTIONS and tail in ([], _COUNT):
                return listed.rows([], dict, _PLAIN)
            case ["whois"]:
                return _not_found(value)
            case _:
                return _no_segment(below[0])

    def _passive_dns(self, listed: "_Listing", value: str, reverse: bool) -> Reply:
        address = shapes.is_address(value)
        if reverse and address and not self.options.addresses_in_reverse:
            records = []
        elif reverse or address:
            records = list(self.world.askers(value))
        else:
            records = list(self.world.answers(value))
        odd = self.options.odd_types
        collection = replace(_PASSIVE_DNS, filter_required=self.options.filter_required)
        return listed.rows(
            records,
            lambda record: shapes.passive_dns(record, queried=value, odd_types=odd),
            collection,
        )

    def _profiles(self, listed: "_Listing", below: list[str]) -> Reply:
        if below in ([], _COUNT):
            return listed.rows(list(self.world.profiles.values()), shapes.profile, _PROFILES)
        profile = self.world.profiles.get(below[0])
        if profile is None:
            return _not_found(below[0])
        if len(below) == 1:
            return listed.one(shapes.profile(profile))
        if below[1] != "indicators":
            return _no_segment(below[1])
        odd = self.options.odd_types
        return listed.rows(
            profile.indicators,
            lambda item: shapes.profile_indicator(profile.id, item, odd_types=odd),
            _PLAIN,
        )

    def _articles(self, listed: "_Listing", below: list[str]) -> Reply:
        if below in ([], _COUNT):
            return listed.rows(list(self.world.articles.values()), shapes.article, _ARTICLES)
        article = self.world.articles.get(below[0])
        if article is None:
            return _not_found(below[0])
        if len(below) == 1:
            return listed.one(shapes.article(article))
        if below[1] != "indicators":
            return _no_segment(below[1])
        odd = self.options.odd_types
        return listed.rows(
            article.indicators,
            lambda item: shapes.article_indicator(item, odd_types=odd),
            _PLAIN,
        )

    def _vulnerability(self, listed: "_Listing", cve: str, below: list[str]) -> Reply:
        found = self.world.vulnerabilities.get(cve)
        if found is None:
            return _not_found(cve)
        match below:
            case []:
                return listed.one(shapes.vulnerability(found))
            case ["articles"]:
                naming = [
                    article
                    for article in self.world.articles.values()
                    if cve in f"{article.summary} {article.body}"
                ]
                return listed.rows(naming, shapes.article, _PLAIN)
            case ["components"]:
                name = f"{found.vendor} {found.software}"
                return listed.rows([name], lambda text: {"id": text, "name": text}, _PLAIN)
            case _:
                return _no_segment(below[0])

    def _hunt(self, request: Request) -> Reply:
        try:
            asked = {name.lower(): value for name, value in request.json().items()}
            answer = hunting.run(str(asked["query"]), self.world)
        except hunting.BadQuery as problem:
            return error_reply(400, "BadRequest", str(problem))
        except (AttributeError, KeyError, ValueError):
            return error_reply(400, "BadRequest", "The body must be JSON with a Query.")
        context = f"{request.base_url}/v1.0/$metadata#microsoft.graph.security.huntingQueryResults"
        return json_reply({"@odata.context": context, **answer})


@dataclass(frozen=True, slots=True)
class _Listing:
    """One request's way of showing what was found."""

    request: Request
    paging: Paging
    root: str

    def one(self, body: dict[str, Any]) -> Reply:
        return json_reply({"@odata.context": f"{self._context()}/$entity", **body})

    def rows(
        self, rows: list[Row], render: Callable[[Row], dict[str, Any]], collection: Collection
    ) -> Reply:
        if self.request.path.lower().endswith("/$count"):
            number = count(self.request, rows, render, collection=collection, paging=self.paging)
            return Reply(body=str(number).encode(), content_type="text/plain")
        page = listing(
            self.request,
            rows,
            render,
            collection=collection,
            paging=self.paging,
            context=self._context(),
        )
        return json_reply(page)

    def _context(self) -> str:
        below = "/".join(self.request.segments[1:])
        return f"{self.root}/$metadata#{below}"


def _expanded(segments: list[str]) -> list[str]:
    """Return the segments in lower case, `hosts('x')` taken apart into two."""
    expanded: list[str] = []
    for segment in segments:
        keyed = _KEY.match(segment)
        parts = [segment] if keyed is None else [keyed[1], keyed[2].replace("''", "'")]
        expanded.extend(part.lower() for part in parts)
    return expanded


def _unauthorized(word: str) -> Reply:
    messages = {
        "missing": "Access token is empty.",
        "malformed": "CompactToken parsing failed.",
        "badSignature": "Signature is invalid.",
        "expired": "Lifetime validation failed, the token is expired.",
        "wrongAudience": "Access token validation failure. Invalid audience.",
    }
    return error_reply(401, "InvalidAuthenticationToken", messages[word], verdict=word)


def _forbidden() -> Reply:
    message = "Insufficient privileges to complete the operation."
    return error_reply(403, "Authorization_RequestDenied", message)


def _not_found(value: str) -> Reply:
    return error_reply(404, "ResourceNotFound", f"Resource '{value[:80]}' was not found.")


def _no_segment(segment: str) -> Reply:
    message = f"Resource not found for the segment '{segment[:80]}'."
    return error_reply(400, "BadRequest", message)
