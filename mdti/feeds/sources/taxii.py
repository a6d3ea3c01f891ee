"""Any TAXII 2.1 server as a source; `anyrun` is one that adds to the standard.

A collection is read page by page along the server's opaque `next`, which has to come with the same
filters every time. It may expire, or move on though its answer was lost; then the read goes on from
the last date that is safe. Where a read ends, the server's own date header says (TAXII 2.1, 5.4),
never this machine's clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from mdti.errors import (
    ApiError,
    BadAnswer,
    DeadlineExceeded,
    Forbidden,
    Missing,
    SettingError,
    Unauthorized,
)
from mdti.feeds.asking import (
    Asker,
    Hints,
    Now,
    document_of,
    is_passing,
    server_time,
    utc_now,
)
from mdti.feeds.fields import EPOCH, object_of
from mdti.feeds.ports import Batch, Change, Cursor, Phase
from mdti.feeds.sources.stix import change_of
from mdti.feeds.values import Values
from mdti.moment import moment_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.transport import Transport

MEDIA_TYPE = "application/taxii+json;version=2.1"
PAGE = 1_000
"""Objects that are asked for at once; servers may give fewer."""
OVERLAP = timedelta(minutes=1)
"""How far behind the last date a read starts; dates are exclusive, and objects may share one."""
_LONGEST_TOKEN = 4_096
_RESTARTS = 3
_EXPIRED = frozenset({400, 404, 410, 422})  # what servers answer to a link they forgot
_HINTS: Hints = {
    Unauthorized: "Check the user and password, or the token, of the TAXII server.",
    Forbidden: "The TAXII server's user must be allowed to read the collection.",
    Missing: "The URL must be that of an API root, and the collection's id one of its own.",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server is asked for changes.

    `since` is the option that takes a date, `header` the answer's header with the last one,
    `ordered` whether objects come in the order of that date, and `revoked` the values of
    `match[revoked]` to ask for, one after the other; None does not use it.
    """

    since: str
    header: str
    ordered: bool
    revoked: tuple[str | None, ...]


STANDARD = Dialect("added_after", "x-taxii-date-added-", ordered=True, revoked=(None,))


@dataclass(frozen=True, slots=True)
class _Strand:
    """One collection under one filter; `key` is its name in cursors."""

    collection: str
    revoked: str | None

    @property
    def key(self) -> str:
        return f"{self.collection}:{self.revoked or 'all'}"


@dataclass(frozen=True, slots=True)
class _Page:
    objects: Sequence[Any]
    token: str | None
    last: datetime | None
    at: datetime

    @property
    def place(self) -> tuple[str | None, ...]:
        """What tells a page from others: some servers give one `next` for all pages."""
        return self.token, *(str(object_of(item).get("id")) for item in self.objects)


class TaxiiSource:
    """The indicators of some collections of one API root.

    `url` is the API root, `collections` the ids, `authorization` the value of that header. The
    first read, and each full one, goes back `depth_days`, and a full one judges what is not older;
    None goes back to the beginning, and the first read is then a full one. `now` dates that look
    back only.
    """

    name = "taxii"
    hints: ClassVar[Hints] = _HINTS

    def __init__(
        self,
        *,
        url: str,
        collections: Sequence[str],
        authorization: str,
        transport: Transport,
        values: Values,
        depth_days: int | None = None,
        page: int = PAGE,
        dialect: Dialect = STANDARD,
        now: Now = utc_now,
    ) -> None:
        if not collections:
            raise SettingError("A TAXII feed needs the id of at least one collection.")
        self._root = url.rstrip("/")
        self._strands = [_Strand(one, how) for one in collections for how in dialect.revoked]
        self._headers = [("Accept", MEDIA_TYPE)]
        if authorization:
            self._headers.append(("Authorization", authorization))
        self._asker = Asker(transport, self.hints)
        self._values = values
        self._depth_days = depth_days
        self._page_size = page
        self._dialect = dialect
        self._now = now

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield one strand after the other; see `mdti.feeds.ports.Source.read`."""
        state = dict(cursor or {})
        if not state or (full and "snapshot" not in state):
            state = self._beginning(full=full)
        try:
            for strand in self._strands:
                if "snapshot" in state and f"after:{strand.key}" in state:
                    continue
                for changes in self._read(strand, state, deadline):
                    phase: Phase = "snapshot" if "snapshot" in state else "delta"
                    yield Batch(changes, dict(state), phase)
        except DeadlineExceeded:
            return
        if state.pop("snapshot", None):
            yield Batch((), dict(state), "snapshot_end", since=state.get("from", ""))

    def _beginning(self, *, full: bool) -> dict[str, str]:
        state: dict[str, str] = {}
        if self._depth_days is not None:
            state["from"] = _iso(self._now() - timedelta(days=self._depth_days))
        if full or self._depth_days is None:
            state["snapshot"] = "yes"
        return state

    def _read(
        self, strand: _Strand, state: dict[str, str], deadline: Deadline
    ) -> Iterator[tuple[Change, ...]]:
        """Yield the pages of a strand; `state` is then where to go on after each."""
        names = [f"{name}:{strand.key}" for name in ("since", "next", "seen", "after", "began")]
        since_name, next_name, seen_name, after_name, began_name = names
        if next_name not in state:
            state.pop(seen_name, None)
            state.pop(began_name, None)
            state[since_name] = self._since(state, after_name)
        elif self._dialect.ordered:
            self._restart(state, names)
        visited: set[tuple[str | None, ...]] = set()
        restarts = 0
        while True:
            try:
                page = self._page(strand, state[since_name], state.get(next_name), deadline)
            except ApiError as error:
                restarts += 1
                if next_name not in state or restarts > _RESTARTS or not self._lost(error):
                    raise
                self._restart(state, names)
                visited.clear()
                continue
            began = state.setdefault(began_name, _iso(page.at))
            if page.last is not None:
                seen = moment_of(state.get(seen_name)) or EPOCH
                state[seen_name] = _iso(max(seen, page.last))
            if page.place in visited:
                raise BadAnswer("The TAXII server led the pages of a collection in a circle.")
            changes = tuple(change_of(item, values=self._values) for item in page.objects)
            if page.token is None:
                since = state.pop(since_name)
                state.pop(next_name, None)
                state.pop(began_name)
                last = state.pop(seen_name, since or _iso(EPOCH))
                # Without an order, what changed on a page already read may be older than the last.
                state[after_name] = last if self._dialect.ordered else min(last, began)
                yield changes
                return
            visited.add(page.place)
            state[next_name] = page.token
            yield changes

    def _since(self, state: Mapping[str, str], after_name: str) -> str:
        after = moment_of(state.get(after_name))
        if after is None:
            return state.get("from", "")
        return _iso(max(after - OVERLAP, EPOCH)) if after > EPOCH + OVERLAP else ""

    def _lost(self, error: ApiError) -> bool:
        """Tell whether a link has to be given up.

        A server may move a link on with every answer, even one that never arrived, so a link is
        not asked for twice where dates can take its place.
        """
        return error.status in _EXPIRED or (self._dialect.ordered and is_passing(error))

    def _restart(self, state: dict[str, str], names: Sequence[str]) -> None:
        """Go on without a link; only dates in order make the last one safe."""
        since_name, next_name, seen_name, *_ = names
        del state[next_name]
        seen = moment_of(state.get(seen_name))
        if seen is not None and self._dialect.ordered:
            state[since_name] = _iso(seen - OVERLAP)

    def _page(self, strand: _Strand, since: str, token: str | None, deadline: Deadline) -> _Page:
        options = [("match[type]", "indicator")]
        if strand.revoked is not None:
            options.append(("match[revoked]", strand.revoked))
        if since:
            options.append((self._dialect.since, since))
        options.append(("limit", str(self._page_size)))
        if token is not None:
            options.append(("next", token))
        query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in options)
        path = f"/collections/{quote(strand.collection, safe='')}/objects/"
        again = None if token is None or not self._dialect.ordered else False
        url = f"{self._root}{path}?{query}"
        request = Request(url, headers=tuple(self._headers), idempotent=again)
        return self._opened(self._asker.ask(request, deadline=deadline))

    def _opened(self, response: Response) -> _Page:
        document = document_of(response)
        objects = document.get("objects", [])
        token = document.get("next") or None
        if not isinstance(objects, list) or not isinstance(token, str | None):
            raise BadAnswer(f"{response.api} answered with no TAXII envelope.", api=response.api)
        if token is not None and (len(token) > _LONGEST_TOKEN or not token.isprintable()):
            raise BadAnswer(f"{response.api} answered with no usable link.", api=response.api)
        dates = [response.headers.get(self._dialect.header + one) for one in ("last", "first")]
        moments = [moment for date in dates if (moment := moment_of(date)) is not None]
        at = server_time(response) or self._now()
        # A date in the server's own future would hide what comes until then.
        last = min(max(moments), at) if moments else None
        return _Page(objects, token if objects else None, last, at)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
