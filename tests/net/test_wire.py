import threading
from collections.abc import Iterator

from mdti.errors import ConnectionFailed, DeadlineExceeded
from mdti.net.answers import Fault
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, origin_of
from mdti.net.wire import Wire
from tests.net.rude import Clock, Raw, Seen, reply, rude


def wire(root: str, read_timeout: float = 5.0) -> Wire:
    return Wire(
        origin_of(root),
        connections=1,
        connect_timeout=5.0,
        read_timeout=read_timeout,
        max_bytes=100,
        proxy=None,
        ca_path=None,
    )


def test_without_time_nothing_is_sent() -> None:
    with rude(lambda seen: reply({})) as server:
        one = wire(server.root)
        answer = one.exchange(
            Request(f"{server.root}/"), {}, deadline=Deadline.after(0.0, clock=Clock())
        )
        one.close()
    assert isinstance(answer, Fault)
    assert isinstance(answer.error, DeadlineExceeded)
    assert server.seen == []


def test_a_server_that_stays_silent_is_a_fault_that_may_pass() -> None:
    release = threading.Event()

    def silent(seen: Seen) -> Raw:
        release.wait(30)
        return reply({})

    def stops(seen: Seen) -> Raw:
        def pieces() -> Iterator[bytes]:
            yield b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"
            release.wait(30)

        return Raw(pieces())

    for handler in (silent, stops):
        release.clear()
        with rude(handler) as server:
            one = wire(server.root, read_timeout=0.01)
            answer = one.exchange(Request(f"{server.root}/"), {}, deadline=Deadline.after(30.0))
            release.set()
            one.close()
        assert isinstance(answer, Fault)
        assert isinstance(answer.error, ConnectionFailed)
        assert "in time" in answer.error.message
        assert answer.passing
