"""Reading many collections at once, page by page, along `@odata.nextLink`.

A link in an answer is text from outside: it is followed only to the collection it came from, and
never twice.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from mdti.errors import BadAnswer, MdtiError, Missing
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response, origin_of
from mdti.net.meter import Meter
from mdti.net.transport import Transport

Records = Sequence[Mapping[str, Any]]
Enough = Callable[[int, Records], str | None]

_NEXT = "@odata.nextLink"
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Collection:
    """The records of one collection, in the order of its pages.

    `end` is `all` when the last page was read, `oversize` at a cap, else the word of `enough`.
    """

    items: tuple[dict[str, Any], ...] = field(repr=False)
    end: str


@dataclass(slots=True)
class _Reading:
    """A collection while it is read."""

    request: Request
    items: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


def read_all(
    transport: Transport,
    requests: Sequence[Request],
    *,
    deadline: Deadline,
    enough: Enough | None = None,
    max_pages: int = 100,
    max_records: int = 10_000,
    meter: Meter | None = None,
) -> tuple[Collection | MdtiError, ...]:
    """Read the collections that `requests` open; returns one result for each, in their order.

    Each round asks for the next page of every collection that has one. `enough` sees the number of
    a collection and its records so far and may end it with a word of its own, as may `max_pages`
    and `max_records` with `oversize`; a collection whose last page was read ends with `all` in any
    case. A page that fails makes its collection an error: what was read of it is not returned.
    Errors are those of `Transport.send`, and `BadAnswer` for a page that is no page or a link that
    leads elsewhere.
    """
    results: dict[int, Collection | MdtiError] = {}
    open_: dict[int, _Reading] = {n: _Reading(request) for n, request in enumerate(requests)}
    while open_:
        numbers = sorted(open_)
        pages = [open_[number].request for number in numbers]
        for index, outcome in transport.map(pages, deadline=deadline, meter=meter):
            number = numbers[index]
            reading = open_[number]
            result: Collection | MdtiError | None
            if isinstance(outcome, Missing) and reading.seen:
                # Taken for an unknown object, it would make what was read before look like all.
                result = BadAnswer(f"{outcome.api} lost a page of a collection.", api=outcome.api)
            elif isinstance(outcome, MdtiError):
                result = outcome
            else:
                stop = partial(enough, number) if enough is not None else None
                result = _turn(reading, outcome, stop, max_pages, max_records)
            if result is not None:
                results[number] = result
                del open_[number]
    return tuple(results[number] for number in range(len(requests)))


def next_link(request: Request, link: object, *, api: str) -> str:
    """Return the link to the page after `request`'s, checked to stay in the same collection.

    Same scheme, host, port and path, the path compared without regard to case or to how its
    unreserved characters are written (RFC 3986, 6.2.2). Raises `BadAnswer` otherwise.
    """
    if isinstance(link, str) and _same_place(request.url, link):
        return link
    raise BadAnswer(f"{api} linked the next page of a collection to another place.", api=api)


def _turn(
    reading: _Reading,
    page: Response,
    enough: Callable[[Records], str | None] | None,
    max_pages: int,
    max_records: int,
) -> Collection | MdtiError | None:
    """Add a page; return how the collection ended, or None when another page is to be read."""
    try:
        records, link = _open_page(page)
        reading.items += records
        if link is None:
            return Collection(tuple(reading.items), "all")
        reading.seen.add(reading.request.url)
        url = next_link(reading.request, link, api=page.api)
    except BadAnswer as error:
        return error
    if url in reading.seen:
        return BadAnswer(f"{page.api} linked the pages of a collection in a circle.", api=page.api)
    word = enough(reading.items) if enough is not None else None
    if word is not None:
        return Collection(tuple(reading.items), word)
    if len(reading.items) >= max_records or len(reading.seen) >= max_pages:
        return Collection(tuple(reading.items), "oversize")
    reading.request = replace(reading.request, url=url)
    return None


def _open_page(page: Response) -> tuple[list[dict[str, Any]], object]:
    document = page.json()
    records = document.get("value") if isinstance(document, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise BadAnswer(f"{page.api} answered with something that is no page.", api=page.api)
    return records, document.get(_NEXT)


def _same_place(here: str, there: str) -> bool:
    try:
        same_origin = origin_of(there) == origin_of(here)
    except MdtiError:
        return False
    return same_origin and _path(here) == _path(there)


def _path(url: str) -> str:
    return _ESCAPE.sub(_normal, urlsplit(url).path).casefold()


def _normal(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
