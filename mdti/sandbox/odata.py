"""OData as Graph's threat intelligence speaks it: options, pages and links to the next one.

Which option a collection takes follows its reference page and the schema's annotations. What the
documents leave open - page sizes, the form of the link, answers to an unknown option - is a switch.
"""

import base64
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from mdti.sandbox.wire import Request

Row = TypeVar("Row")
_EQUALS = re.compile(r"^\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*$", re.IGNORECASE)
_PAGING = frozenset({"$skip", "$skiptoken"})


class BadOption(Exception):
    """An option that the collection does not take, or cannot read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """How lists are cut: page sizes, the form of links, and how strictly options are read.

    A `$top` above `max_page_size` is cut to it, or refused with `refuse_large_top`; `strict`
    refuses options that a collection is not documented to take instead of ignoring them.
    """

    page_size: int = 100
    max_page_size: int = 1000
    refuse_large_top: bool = False
    next_link: Literal["token", "skip"] = "token"
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What one collection takes, besides `$count`, `$select`, `$top` and `$skip`.

    `searches` gives the text of a row that `$search` looks in.
    """

    filterable: frozenset[str] = frozenset()
    sortable: frozenset[str] = frozenset()
    searches: Callable[[Mapping[str, Any]], str] | None = None
    filter_required: bool = False

    def options(self) -> frozenset[str]:
        """Return the names of the options it takes."""
        taken = {"$count", "$select", "$top", *_PAGING}
        taken |= {"$filter"} if self.filterable else set()
        taken |= {"$orderby"} if self.sortable else set()
        taken |= {"$search"} if self.searches else set()
        return frozenset(taken)


def listing(
    request: Request,
    rows: Sequence[Row],
    render: Callable[[Row], dict[str, Any]],
    *,
    collection: Collection,
    paging: Paging,
    context: str,
) -> dict[str, Any]:
    """Return one page as Graph sends it; raises `BadOption`.

    Rows are rendered only as far as the answer needs them: a hub has thousands.
    """
    options = _options(request, collection, paging)
    selected, shown = _selected(rows, render, options, collection)
    top = _number(options, "$top", paging.page_size)
    if top > paging.max_page_size and paging.refuse_large_top:
        raise BadOption(f"Query option '$top' is at most {paging.max_page_size}.")
    top = min(top, paging.max_page_size)
    start = _start(options, request.path)
    stop = start + top
    page: dict[str, Any] = {"@odata.context": context}
    if options.get("$count", "").lower() == "true":
        page |= {"@odata.count": len(selected)}
    if stop < len(selected):
        page |= {"@odata.nextLink": _next_link(request, stop, paging)}
    values = [shown(row) for row in selected[start:stop]]
    return page | {"value": _projected(values, options)}


def count(
    request: Request,
    rows: Sequence[Row],
    render: Callable[[Row], dict[str, Any]],
    *,
    collection: Collection,
    paging: Paging,
) -> int:
    """Return how many rows the filter leaves, for `/$count`; raises `BadOption`."""
    options = _options(request, collection, paging)
    return len(_selected(rows, render, options, collection)[0])


def _options(request: Request, collection: Collection, paging: Paging) -> dict[str, str]:
    given = {name.lower(): value for name, value in request.query}
    taken = collection.options()
    unknown = sorted(name for name in given if name.startswith("$") and name not in taken)
    if unknown and paging.strict:
        raise BadOption(f"Query option '{unknown[0]}' is not allowed.")
    if collection.filter_required and "$filter" not in given:
        raise BadOption("Query option '$filter' is required.")
    return {name: value for name, value in given.items() if name in taken}


def _selected(
    rows: Sequence[Row],
    render: Callable[[Row], dict[str, Any]],
    options: Mapping[str, str],
    collection: Collection,
) -> tuple[Sequence[Any], Callable[[Any], dict[str, Any]]]:
    if not {"$filter", "$orderby", "$search"} & options.keys():
        return rows, render
    values = [render(row) for row in rows]
    if "$filter" in options:
        name, wanted = _equality(options["$filter"], collection.filterable)
        values = [value for value in values if str(value.get(name, "")).lower() == wanted]
    if "$search" in options and collection.searches is not None:
        text, term = collection.searches, options["$search"].strip('"').lower()
        values = [value for value in values if term in text(value).lower()]
    if "$orderby" in options:
        name, _, direction = options["$orderby"].strip().partition(" ")
        key = _named(name, collection.sortable, "$orderby")
        descending = direction.strip().lower() == "desc"
        values.sort(key=lambda value: str(value.get(key) or "")[:19], reverse=descending)
    return values, dict


def _equality(text: str, filterable: frozenset[str]) -> tuple[str, str]:
    found = _EQUALS.match(text)
    if found is None:
        raise BadOption("Query option '$filter' takes one comparison, such as recordType eq 'A'.")
    return _named(found[1], filterable, "$filter"), found[2].replace("''", "'").lower()


def _named(name: str, allowed: frozenset[str], option: str) -> str:
    for known in allowed:
        if known.lower() == name.lower():
            return known
    raise BadOption(f"Property '{name}' cannot be used in '{option}'.")


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal():
        raise BadOption(f"Query option '{name}' takes a number that is not negative.")
    return int(text)


def _start(options: Mapping[str, str], path: str) -> int:
    token = options.get("$skiptoken")
    if token is None:
        return _number(options, "$skip", 0)
    try:
        offset, _, check = base64.urlsafe_b64decode(token).decode("ascii").partition(".")
    except ValueError as error:
        raise BadOption("Query option '$skiptoken' cannot be read.") from error
    if check != _check(offset, path) or not offset.isdecimal():
        raise BadOption("Query option '$skiptoken' does not belong to this collection.")
    return int(offset)


def _next_link(request: Request, offset: int, paging: Paging) -> str:
    kept = [(name, value) for name, value in request.query if name.lower() not in _PAGING]
    if paging.next_link == "skip":
        kept.append(("$skip", str(offset)))
    else:
        token = f"{offset}.{_check(str(offset), request.path)}".encode()
        kept.append(("$skiptoken", base64.urlsafe_b64encode(token).decode()))
    query = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in kept)
    return f"{request.base_url}{request.path}?{query}"


def _check(offset: str, path: str) -> str:
    return f"{zlib.crc32(f'{offset} {path}'.encode()):08x}"


def _projected(values: list[dict[str, Any]], options: Mapping[str, str]) -> list[dict[str, Any]]:
    chosen = {name.strip().lower() for name in options.get("$select", "").split(",")} - {""}
    if not chosen:
        return values
    chosen |= {"id", "@odata.type"}
    return [
        {name: part for name, part in value.items() if name.lower() in chosen} for value in values
    ]
