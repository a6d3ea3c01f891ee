"""One long answer that is read while it is still being written, such as an event stream.

Everything of `mdti.net.wire` holds here too: nothing carried over between requests, redirects off,
TLS verified, errors without a word from outside. What differs is that the body has no end to wait
for, so its pieces are handed on as they arrive. Nothing is retried; only the reader knows where to
go on.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from requests.structures import CaseInsensitiveDict

from mdti import __version__
from mdti.errors import BadAnswer, DeadlineExceeded
from mdti.net.answers import Answer, error_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, origin_of
from mdti.net.wire import BROKEN, Wire, ca_bundle

_PIECE = 65_536
_ERROR_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Pieces:
    """A body that is still being written: its headers, and its pieces as they arrive.

    Reading the pieces raises `ConnectionFailed` after a silence or a break, `BadAnswer` for a body
    that was cut off, and `DeadlineExceeded`.
    """

    headers: Mapping[str, str]
    body: Iterator[bytes]


@contextmanager
def stream(
    request: Request,
    *,
    media_type: str,
    deadline: Deadline,
    silence: float,
    connect_timeout: float = 10.0,
    proxy: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Pieces]:
    """Send `request` and give the pieces of its answer while the context lasts.

    `silence` is how many seconds may pass between two pieces. Raises the subclass of `ApiError`
    that a status outside 200 to 299 means, `BadAnswer` for another type than `media_type`, and
    `SettingError` for an address that may not be used.
    """
    wire = _StreamWire(
        origin_of(request.url),
        connections=1,
        connect_timeout=connect_timeout,
        read_timeout=silence,
        max_bytes=_ERROR_BYTES,
        proxy=proxy,
        ca_path=ca_bundle(environ),
    )
    try:
        with wire.open(request, media_type=media_type, deadline=deadline) as pieces:
            yield pieces
    finally:
        wire.close()


class _StreamWire(Wire):
    """A connection that is used once."""

    @contextmanager
    def open(self, request: Request, *, media_type: str, deadline: Deadline) -> Iterator[Pieces]:
        """Send `request` and give the pieces of its answer."""
        remaining = deadline.remaining()
        if remaining <= 0.0:
            raise self._late().error
        headers = {
            "Accept": media_type,
            # A compressed stream would hold back events until a block is full.
            "Accept-Encoding": "identity",
            "User-Agent": f"mdti-actor-lookup/{__version__}",
        }
        response = self._sent(request, headers | dict(request.headers), remaining)
        with response:
            name = self._origin.name
            known = CaseInsensitiveDict(response.headers)
            if response.status_code not in range(200, 300):
                body = self._error_body(response)
                raise error_of(request, Answer(response.status_code, known, body), api=name)
            kind = known.get("content-type", "").partition(";")[0].strip().lower()
            if kind != media_type:
                raise BadAnswer(f"{name} answered with no {media_type}.", api=name)
            yield Pieces(known, self._pieces(response, deadline))

    def _sent(
        self, request: Request, headers: Mapping[str, str], remaining: float
    ) -> requests.Response:
        try:
            return self._send(request, headers, remaining)
        except BROKEN as error:
            fault = self._broken(error)
        raise fault.error

    def _error_body(self, response: requests.Response) -> bytes:
        try:
            return bytes(response.raw.read1(_ERROR_BYTES, decode_content=True))
        except BROKEN:
            return b""

    def _pieces(self, response: requests.Response, deadline: Deadline) -> Iterator[bytes]:
        while True:
            if deadline.expired:
                raise DeadlineExceeded(f"No time is left for {self._origin.name}.")
            try:
                piece = response.raw.read1(_PIECE, decode_content=True)
            except BROKEN as error:
                fault = self._broken(error)
            else:
                if not piece:
                    return
                yield piece
                continue
            raise fault.error
