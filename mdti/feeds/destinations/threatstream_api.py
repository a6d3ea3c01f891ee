"""ThreatStream's resources, as far as a destination needs them; the key is in a header only."""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from mdti.errors import BadAnswer, Forbidden, MdtiError, Missing, SettingError, Unauthorized
from mdti.feeds.asking import Hints, document_of
from mdti.feeds.destinations.carrying import Carrier
from mdti.feeds.destinations.threatstream_rows import Observed, observed_of, pattern_of
from mdti.feeds.indicator import Key
from mdti.feeds.values import Values
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.transport import Transport

Place = TypeVar("Place", bound=Hashable)

PAGE: Final = 1_000
MOST_PATTERN: Final = 3_000
"""Characters of one question for values; longer addresses are cut off by some servers."""
_MOST_PAGES: Final = 10_000
_LIST: Final = "/api/v2/intelligence/"
_CREDENTIALS: Final = frozenset({"username", "api_key"})
HINTS: Hints = {
    Unauthorized: "Check THREATSTREAM_USERNAME and THREATSTREAM_API_KEY.",
    Forbidden: "The user needs the right Approve Intel to import without approval; without it, "
    "set THREATSTREAM_APPROVAL to import.",
    Missing: "THREATSTREAM_URL must be the root of the ThreatStream API.",
}


class ThreatStreamApi:
    """One organisation's ThreatStream, seen by one user.

    Errors are those of `Transport.send`, with hints.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        values: Values,
        url: str,
        username: str,
        api_key: str,
        mark: str,
        hints: Hints = HINTS,
    ) -> None:
        for name, value in (("USERNAME", username), ("API_KEY", api_key)):
            if not value or not value.isascii() or not value.isprintable():
                raise SettingError(f"THREATSTREAM_{name} must be set, in printable ASCII.")
        self._transport = transport
        self._carrier = Carrier(transport, hints=hints)
        self._root = url.rstrip("/")
        self._headers = (("Authorization", f"apikey {username}:{api_key}"),)
        self._values = values
        self._mark = mark

    @property
    def carrier(self) -> Carrier:
        """What sends the requests."""
        return self._carrier

    def marked(self, *, deadline: Deadline) -> Iterator[Observed]:
        """Yield the active rows that carry our mark."""
        options = {
            "tags.name": self._mark,
            "status": "active",
            "order_by": "update_id",
            "update_id__gt": "0",
        }
        return self._read(options, deadline)

    def named(self, keys: Sequence[Key], *, deadline: Deadline) -> dict[Key, list[Observed]]:
        """Return every row that has the value of a key, whoever owns it and whatever its status."""
        found: dict[Key, list[Observed]] = {key: [] for key in keys}
        strangers = 0
        for chunk in _chunks(list(found)):
            options = {"value__regexp": pattern_of(key.value for key in chunk), "order_by": "id"}
            for row in self._read(options, deadline):
                if row.key in found:
                    found[row.key].append(row)
                    continue
                strangers += 1
                if strangers > PAGE:
                    raise BadAnswer("ThreatStream does not filter its list by value__regexp.")
        return found

    def import_directly(self, body: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Import without approval: 202, which says nothing about what became of the objects."""
        request = self._request("PATCH", "/api/v1/intelligence/", body, idempotent=True)
        self._carrier.ask(request, deadline=deadline)

    def open_session(self, form: bytes, *, deadline: Deadline) -> str:
        """Import with approval; returns the number of the import session.

        Not repeated after a fault: each time it is asked it opens another session.
        """
        request = Request(
            url=f"{self._root}/api/v1/intelligence/import/",
            method="POST",
            body=form,
            content_type="application/x-www-form-urlencoded",
            headers=self._headers,
            idempotent=False,
        )
        return session_of(self._carrier.ask(request, deadline=deadline))

    def session_status(self, number: str, *, deadline: Deadline) -> str:
        """Return how far a session is; `deleted` also for one that is not there any more."""
        request = self._get(f"{self._root}/api/v1/importsession/{quote(number, safe='')}/")
        try:
            document = document_of(self._carrier.ask(request, deadline=deadline))
        except Missing:
            return "deleted"
        return str(document.get("status"))

    def change(
        self, changes: Mapping[str, Mapping[str, Any]], *, deadline: Deadline
    ) -> dict[str, MdtiError | None]:
        """Change rows by their ids, many at once; returns the error of each that failed."""
        return self._send_all(
            {
                one: self._request("PATCH", f"{_LIST}{quote(one, safe='')}/", body, idempotent=True)
                for one, body in changes.items()
            },
            deadline,
        )

    def add_tags(
        self, tags: Mapping[str, Sequence[Mapping[str, str]]], *, deadline: Deadline
    ) -> dict[str, MdtiError | None]:
        """Add tags to rows by their ids, many at once; returns the error of each that failed."""
        return self._send_all(
            {
                one: self._request("POST", _tag_path(one), {"tags": list(names)}, idempotent=True)
                for one, names in tags.items()
            },
            deadline,
        )

    def remove_tags(
        self, tags: Sequence[tuple[str, str]], *, deadline: Deadline
    ) -> dict[tuple[str, str], MdtiError | None]:
        """Remove tags, each by the ids of its row and of itself; returns errors as `change` does.

        Anomali documents no such call; the client of Google SecOps makes it.
        """
        return self._send_all(
            {
                (row, tag): Request(
                    url=f"{self._root}{_tag_path(row)}{quote(tag, safe='')}/",
                    method="DELETE",
                    headers=self._headers,
                    idempotent=True,
                )
                for row, tag in tags
            },
            deadline,
        )

    def _send_all(
        self, requests: Mapping[Place, Request], deadline: Deadline
    ) -> dict[Place, MdtiError | None]:
        places = list(requests)
        outcomes = self._transport.map(requests.values(), deadline=deadline)
        return {
            places[index]: outcome if isinstance(outcome, MdtiError) else None
            for index, outcome in outcomes
        }

    def _request(
        self, method: str, path: str, body: Mapping[str, Any], *, idempotent: bool
    ) -> Request:
        return Request(
            url=f"{self._root}{path}",
            method=method,
            body=json.dumps(body, separators=(",", ":")).encode(),
            content_type="application/json",
            headers=self._headers,
            idempotent=idempotent,
        )

    def _get(self, url: str) -> Request:
        return Request(url, headers=self._headers)

    def _read(self, options: Mapping[str, str], deadline: Deadline) -> Iterator[Observed]:
        query = urlencode({**options, "limit": PAGE})
        seen: set[str] = set()
        while query not in seen and len(seen) < _MOST_PAGES:
            seen.add(query)
            request = self._get(f"{self._root}{_LIST}?{query}")
            response = self._carrier.ask(request, deadline=deadline)
            rows, following = page_of(response)
            for row in rows:
                observed = observed_of(row, values=self._values, mark=self._mark)
                if observed is not None:
                    yield observed
            if following is None:
                return
            query = following
        raise BadAnswer("ThreatStream linked the pages of a list in a circle.")


def _tag_path(row: str) -> str:
    return f"/api/v1/intelligence/{quote(row, safe='')}/tag/"


def session_of(response: Response) -> str:
    """Return the number of the import session that was opened."""
    number = document_of(response).get("import_session_id")
    if isinstance(number, bool) or not isinstance(number, str | int) or not str(number).isdecimal():
        raise BadAnswer(f"{response.api} named no import session.", api=response.api)
    return str(number)


def page_of(response: Response) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return the rows of a page, and the query of the next one.

    A link is text from outside: only its query is used, at our own address and without what may be
    a key.
    """
    document = document_of(response)
    rows, meta = document.get("objects"), document.get("meta")
    if not isinstance(rows, list) or not isinstance(meta, dict):
        raise BadAnswer(f"{response.api} answered with something that is no page.")
    link = meta.get("next")
    if not link:
        return [row for row in rows if isinstance(row, dict)], None
    is_link = isinstance(link, str) and link.isprintable()
    path, _, query = link.partition("?") if is_link else ("", "", "")
    if not path.endswith(_LIST):
        raise BadAnswer(f"{response.api} linked the next page of a list to another place.")
    options = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in options if name not in _CREDENTIALS]
    return [row for row in rows if isinstance(row, dict)], urlencode(kept)


def _chunks(keys: Sequence[Key]) -> Iterator[list[Key]]:
    """Split keys so that no question for their values becomes too long."""
    chunk: list[Key] = []
    length = 0
    for key in keys:
        size = len(pattern_of([key.value]))
        if chunk and length + size > MOST_PATTERN:
            yield chunk
            chunk, length = [], 0
        chunk.append(key)
        length += size
    if chunk:
        yield chunk
