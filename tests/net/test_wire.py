import threading
from collections.abc import Iterator
from pathlib import Path

from mdti.errors import ConnectionFailed, DeadlineExceeded
from mdti.net.answers import Answer, Fault
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, origin_of
from mdti.net.wire import Wire
from tests.net.certificates import certificate
from tests.net.rude import Clock, Raw, Seen, reply, rude


def wire(root: str, read_timeout: float = 5.0, ca_path: str | None = None) -> Wire:
    return Wire(
        origin_of(root),
        connections=1,
        connect_timeout=5.0,
        read_timeout=read_timeout,
        max_bytes=100,
        proxy=None,
        ca_path=ca_path,
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


def test_a_certificate_nobody_vouches_for_ends_it_at_once(tmp_path: Path) -> None:
    with rude(lambda seen: reply({}), tls=certificate(tmp_path)) as server:
        one = wire(server.root)
        answer = one.exchange(Request(f"{server.root}/"), {}, deadline=Deadline.after(30.0))
        one.close()
    assert isinstance(answer, Fault)
    assert "not trusted" in answer.error.message
    assert not answer.passing
    assert server.seen == []


def test_a_certificate_of_the_companys_own_authority_is_trusted(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    with rude(lambda seen: reply({}), tls=path) as server:
        one = wire(server.root, ca_path=str(path))
        answer = one.exchange(Request(f"{server.root}/"), {}, deadline=Deadline.after(30.0))
        one.close()
    assert isinstance(answer, Answer)
    assert answer.status == 200


def test_tls_that_breaks_otherwise_may_pass() -> None:
    with rude(lambda seen: reply({})) as server:
        root = server.root.replace("http://", "https://")
        one = wire(root)
        answer = one.exchange(Request(f"{root}/"), {}, deadline=Deadline.after(30.0))
        one.close()
    assert isinstance(answer, Fault)
    assert answer.passing
