"""Server-sent events: pieces of a byte stream to events (WHATWG HTML, 9.2.6). Pure."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mdti.errors import BadAnswer

MAX_EVENT = 16 * 1024 * 1024
"""Most characters of one event; a report with all its references stays far below."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is its own, None when the frame named none."""

    name: str
    data: str
    id: str | None


def events_of(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream as soon as each is complete.

    Lines may end in LF, CR or CRLF, characters may be cut anywhere, comments and unknown fields
    are passed over, and a frame that the end of the stream cuts off is none. Raises `BadAnswer`
    when an event exceeds `MAX_EVENT`.
    """
    name, identifier, size = "", None, 0
    data: list[str] = []
    for line in _lines(pieces):
        size += len(line)
        if size > MAX_EVENT:
            raise BadAnswer("An event of the stream is too large.")
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                identifier = value
            continue
        if data or name or identifier is not None:
            yield Event(name or "message", "\n".join(data), identifier)
        name, data, identifier, size = "", [], None, 0


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    parts: list[str] = []
    held = 0
    after_return = False
    for piece in pieces:
        text = decoder.decode(piece)
        if after_return and text:
            text = text.removeprefix("\n")
            after_return = False
        after_return = after_return or text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines[:-1]:
            yield "".join((*parts, line))
            parts, held = [], 0
        parts.append(lines[-1])
        held += len(lines[-1])
        if held > MAX_EVENT:
            raise BadAnswer("An event of the stream is too large.")
