from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import BadAnswer
from mdti.feeds.sources import sse
from mdti.feeds.sources.sse import Event, events_of

STREAM = (
    "\ufeffevent: connected\ndata: {}\n\n"
    ": ping\n\n"
    "id: 1-0\r\nevent: create\r\ndata: ä\r\ndata: b\r\n\r\n"
    "id: 2-0\revent: heartbeat\rdata:x\r\r"
    "retry: 5\nid: bad\0id\ndata\n\n"
    "data: cut off"
).encode()
EVENTS = [
    Event("connected", "{}", None),
    Event("create", "ä\nb", "1-0"),
    Event("heartbeat", "x", "2-0"),
    Event("message", "", None),
]


def test_a_stream_is_read_as_its_events() -> None:
    assert list(events_of([STREAM])) == EVENTS


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_the_pieces_are_cut_does_not_matter(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(ends)]

    assert list(events_of(pieces)) == EVENTS


def test_an_event_is_given_before_the_next_one_begins() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"data: 1\n\n"
        raise AssertionError("nobody asked for more")

    assert next(events_of(pieces())).data == "1"


@pytest.mark.parametrize("piece", [b"data: xxxxxxxxxx\n", b"x" * 16])
def test_an_event_without_end_is_refused(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1_000)

    with pytest.raises(BadAnswer):
        list(events_of([piece] * 200))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_are_some_events(pieces: list[bytes]) -> None:
    assert all(isinstance(event, Event) for event in events_of(pieces))
