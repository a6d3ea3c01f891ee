import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.errors import (
    ApiGone,
    BadAnswer,
    ConnectionFailed,
    DeadlineExceeded,
    SettingError,
    Throttled,
    Unauthorized,
)
from mdti.net.deadline import Deadline
from mdti.net.messages import Request
from mdti.net.stream import stream
from tests.net.certificates import certificate
from tests.net.rude import Clock, Raw, Seen, reply, rude

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"


def opened(url: str, *, deadline: Deadline | None = None, silence: float = 5.0) -> list[bytes]:
    request = Request(url, headers=(("Authorization", "Bearer s3cret"),))
    with stream(
        request,
        media_type="text/event-stream",
        deadline=deadline or Deadline.after(30),
        silence=silence,
        environ={},
    ) as pieces:
        return list(pieces.body)


def test_pieces_come_as_they_were_sent() -> None:
    body = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    with rude(lambda _: Raw([body])) as server:
        assert b"".join(opened(server.root)) == b"abc"
    [seen] = server.seen
    assert seen.headers["accept"] == "text/event-stream"
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthorized), (410, ApiGone), (429, Throttled), (302, BadAnswer)],
)
def test_another_status_is_the_error_it_means(status: int, error: type[Exception]) -> None:
    headers = {"location": "https://elsewhere.example/", "retry-after": "7"}
    with rude(lambda _: reply({}, status=status, headers=headers)) as server:
        with pytest.raises(error) as caught:
            opened(server.root)
        assert len(server.seen) == 1
    assert "s3cret" not in f"{caught.value!r} {caught.value}"


def test_another_type_is_no_stream() -> None:
    with rude(lambda _: reply({})) as server, pytest.raises(BadAnswer):
        opened(server.root)


def test_a_stream_that_falls_silent_is_a_broken_connection() -> None:
    def handler(seen: Seen) -> Raw:
        def pieces() -> Iterator[bytes]:
            yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n"
            silent.wait(10)

        return Raw(pieces(), close=True)

    silent = threading.Event()
    with rude(handler) as server:
        try:
            with pytest.raises(ConnectionFailed):
                opened(server.root, silence=0.05)
        finally:
            silent.set()


def test_an_error_whose_body_breaks_off_is_still_that_error() -> None:
    body = b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"
    with rude(lambda _: Raw([body], close=True)) as server, pytest.raises(Unauthorized):
        opened(server.root)


def test_a_body_that_simply_ends_has_no_more_pieces() -> None:
    body = HEAD + b"connection: close\r\n\r\nab"
    with rude(lambda _: Raw([body], close=True)) as server:
        assert opened(server.root) == [b"ab"]


def test_a_stream_that_is_cut_off_is_a_bad_answer() -> None:
    body = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"ff\r\nab"
    with rude(lambda _: Raw([body], close=True)) as server, pytest.raises(BadAnswer):
        opened(server.root)


def test_nobody_there_is_a_failed_connection() -> None:
    with rude(lambda _: reply({})) as server:
        pass
    with pytest.raises(ConnectionFailed):
        opened(server.root)


def test_the_deadline_ends_a_stream_that_goes_on() -> None:
    clock = Clock()

    def handler(seen: Seen) -> Raw:
        def pieces() -> Iterator[bytes]:
            yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
            for _ in range(100_000):
                clock.now += 1.0
                yield b"2\r\nab\r\n"

        return Raw(pieces(), close=True)

    with rude(handler) as server, pytest.raises(DeadlineExceeded):
        opened(server.root, deadline=Deadline.after(5.0, clock=clock))


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    with rude(lambda _: reply({})) as server:
        with pytest.raises(DeadlineExceeded):
            opened(server.root, deadline=Deadline.after(0.0))
        assert server.seen == []


def test_plain_http_is_for_loopback_only() -> None:
    with pytest.raises(SettingError):
        opened("http://stream.example/")


def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with rude(lambda _: reply({}), tls=made) as server:
        with pytest.raises(ConnectionFailed) as caught:
            opened(server.root)
        assert server.seen == []
    assert "certificate" in caught.value.message


def test_a_header_that_cannot_be_sent_is_no_crash_and_is_not_shown() -> None:
    with rude(lambda _: reply({})) as server:
        request = Request(server.root, headers=(("Authorization", "Bearer \u201csecret\u201d"),))
        deadline = Deadline.after(5.0)
        with (
            pytest.raises(ConnectionFailed) as caught,
            stream(request, media_type="text/event-stream", deadline=deadline, silence=1.0),
        ):
            pass
        assert server.seen == []
    assert "secret" not in str(caught.value)
