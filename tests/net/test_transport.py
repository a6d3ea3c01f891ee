import gzip
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import (
    ApiError,
    ApiGone,
    BadAnswer,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    IdentityError,
    InputError,
    MdtiError,
    Missing,
    ServerFault,
    SettingError,
    Throttled,
    Unauthorized,
)
from mdti.net.answers import Answer, retry_after
from mdti.net.deadline import Deadline
from mdti.net.messages import origin_of
from mdti.net.meter import Counters
from mdti.net.transport import Request, Response, Transport
from tests.net.rude import Clock, Raw, Seen, reply, rude

SCOPE = "https://graph.microsoft.com/.default"
URL = "https://graph.microsoft.com/v1.0/thing"


class Tokens:
    """A token source that gives numbered tokens and remembers what was asked of it."""

    def __init__(self) -> None:
        self.number = 1
        self.renewals = 0

    def __call__(self, scope: str, renew: bool) -> str:
        if renew:
            self.renewals += 1
            self.number += 1
        return f"token-{self.number}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def transport(clock: Clock, tokens: Tokens) -> Iterator[Transport]:
    transport = make(clock, tokens)
    yield transport
    transport.close()


def make(
    clock: Clock, token: Callable[[str, bool], str] | None = None, **options: Any
) -> Transport:
    chosen: dict[str, Any] = {"concurrency": 4, "environ": {}, "random": Random(7)} | options
    return Transport(token=token or Tokens(), clock=clock, sleep=clock.sleep, **chosen)


def within(clock: Clock, seconds: float = 90.0) -> Deadline:
    return Deadline.after(seconds, clock=clock)


def passed_on(index: int) -> dict[str, Any]:
    """What `requests` was told beside the request itself."""
    options: dict[str, Any] = vars(responses.calls[index].request)["req_kwargs"]
    return options


class Script:
    """Answers in turn; the last one for ever."""

    def __init__(self, *answers: Raw) -> None:
        self.answers = list(answers)
        self.lock = threading.Lock()

    def __call__(self, seen: Seen) -> Raw:
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@responses.activate
def test_a_request_carries_exactly_the_promised_headers(transport: Transport, clock: Clock) -> None:
    responses.get(URL, json={"ok": True})
    answer = transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    assert answer.json() == {"ok": True}
    sent = dict(responses.calls[0].request.headers)
    assert len(sent.pop("client-request-id")) == 36
    assert sent == {
        "Accept": "application/json",
        "User-Agent": "mdti-actor-lookup/0.1.0",
        "Authorization": "Bearer token-1",
    }


def test_over_the_wire_nothing_is_added_but_host_and_length(
    transport: Transport, clock: Clock
) -> None:
    with rude(Script(reply({}))) as server:
        transport.send(
            Request(f"{server.root}/x", "POST", body=b"{}", content_type="application/json"),
            deadline=within(clock),
        )
    assert set(server.seen[0].headers) == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "content-type",
        "content-length",
        "client-request-id",
    }


@responses.activate
def test_without_an_audience_no_token_is_asked_for(clock: Clock) -> None:
    def refuse(scope: str, renew: bool) -> str:
        raise AssertionError("asked for a token")

    responses.get(URL, json={})
    transport = make(clock, refuse)
    transport.send(Request(URL), deadline=within(clock))
    transport.close()
    assert "Authorization" not in responses.calls[0].request.headers


@responses.activate
def test_headers_of_the_request_replace_the_usual_ones(transport: Transport, clock: Clock) -> None:
    responses.get(URL, json={})
    accept = "application/taxii+json;version=2.1"
    transport.send(Request(URL, headers=(("Accept", accept),)), deadline=within(clock))
    assert responses.calls[0].request.headers["Accept"] == accept


@responses.activate
def test_client_request_ids_differ(transport: Transport, clock: Clock) -> None:
    responses.get(URL, json={})
    for _ in range(2):
        transport.send(Request(URL), deadline=within(clock))
    assert len({call.request.headers["client-request-id"] for call in responses.calls}) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, BadAnswer),
        (400, ApiError),
        (403, Forbidden),
        (404, Missing),
        (409, ApiError),
        (410, ApiGone),
        (422, ApiError),
        (500, ServerFault),
        (501, ServerFault),
        (503, ServerFault),
    ],
)
@responses.activate
def test_each_status_is_its_own_error(
    status: int, kind: type[ApiError], transport: Transport, clock: Clock
) -> None:
    body = {"error": {"code": "Some_Code", "message": "secret words"}}
    responses.get(URL, json=body, status=status, headers={"request-id": "abc-1"})
    with pytest.raises(ApiError) as caught:
        transport.send(Request(f"{URL}?key=hush"), deadline=within(clock))
    error = caught.value
    assert type(error) is kind
    assert (error.api, error.status) == ("graph.microsoft.com", status)
    assert (error.reason, error.request_id) == ("Some_Code", "abc-1")
    assert error.message == f"graph.microsoft.com answered {status} (Some_Code)."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"error": null}',
        b'{"error": {"code": 7}}',
        b'{"error": {"code": "<script>alert(1)</script>"}}',
        b'{"error": {"code": "line\\nbreak"}}',
        b'{"error": {"code": "' + b"x" * 65 + b'"}}',
        b"[" * 60_000,
        b'{"error": {"code": "x"}, "pad": "' + b"y" * 70_000 + b'"}',
        b"\xff\xfe",
    ],
)
@responses.activate
def test_an_error_code_that_is_no_code_is_not_repeated(
    body: bytes, transport: Transport, clock: Clock
) -> None:
    responses.get(URL, body=body, status=400)
    with pytest.raises(ApiError) as caught:
        transport.send(Request(URL), deadline=within(clock))
    assert caught.value.reason is None
    assert caught.value.message == "graph.microsoft.com answered 400."


@responses.activate
def test_a_key_that_the_api_echoes_as_its_code_is_not_repeated(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, json={"error": "k3y"}, status=400)
    request = Request(URL, headers=(("Authorization", "apikey me:k3y"),))
    with pytest.raises(ApiError) as caught:
        transport.send(request, deadline=within(clock))
    assert caught.value.reason is None


@responses.activate
def test_a_401_renews_the_token_once_and_asks_once_more(
    transport: Transport, clock: Clock, tokens: Tokens
) -> None:
    responses.get(URL, status=401)
    responses.get(URL, json={"ok": True})
    answer = transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    assert answer.json() == {"ok": True}
    assert tokens.renewals == 1
    assert responses.calls[1].request.headers["Authorization"] == "Bearer token-2"


@responses.activate
def test_a_second_401_is_unauthorized(transport: Transport, clock: Clock, tokens: Tokens) -> None:
    responses.get(URL, status=401)
    with pytest.raises(Unauthorized):
        transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    assert len(responses.calls) == 2
    assert tokens.renewals == 1


@responses.activate
def test_a_401_to_a_request_without_our_token_is_not_repeated(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, status=401)
    with pytest.raises(Unauthorized):
        transport.send(Request(URL), deadline=within(clock))
    assert len(responses.calls) == 1


def test_a_token_that_dies_under_many_requests_is_renewed_once(clock: Clock) -> None:
    tokens = Tokens()

    def handler(seen: Seen) -> Raw:
        fresh = seen.headers["authorization"] == "Bearer token-2"
        return reply({}) if fresh else reply({}, status=401)

    with rude(handler) as server:
        transport = make(clock, tokens, concurrency=8)
        requests = [Request(f"{server.root}/{n}", audience=SCOPE) for n in range(40)]
        outcomes = dict(transport.map(requests, deadline=within(clock)))
        transport.close()
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())
    assert tokens.renewals == 1


@responses.activate
def test_without_a_token_nothing_is_sent(clock: Clock) -> None:
    def none(scope: str, renew: bool) -> str:
        raise IdentityError("No token.")

    transport = make(clock, none)
    with pytest.raises(IdentityError):
        transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    transport.close()
    assert len(responses.calls) == 0


@responses.activate
def test_an_identity_that_fails_after_a_pause_is_the_error(clock: Clock) -> None:
    def dying(scope: str, renew: bool) -> str:
        if clock.slept:
            raise IdentityError("No token.")
        return "token"

    responses.get(URL, status=429, headers={"Retry-After": "5"})
    transport = make(clock, dying)
    with pytest.raises(IdentityError):
        transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    transport.close()


@responses.activate
def test_an_identity_that_fails_at_the_renewal_is_the_error(clock: Clock) -> None:
    def dying(scope: str, renew: bool) -> str:
        if renew:
            raise IdentityError("No token.")
        return "token"

    responses.get(URL, status=401)
    transport = make(clock, dying)
    with pytest.raises(IdentityError):
        transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    transport.close()


@responses.activate
def test_a_429_waits_for_retry_after_and_asks_again(transport: Transport, clock: Clock) -> None:
    responses.get(URL, status=429, headers={"Retry-After": "7"})
    responses.get(URL, json={"ok": True})
    assert transport.send(Request(URL), deadline=within(clock)).status == 200
    assert len(clock.slept) == 1
    assert 7.0 <= clock.slept[0] <= 7.05
    assert transport.counters() == Counters(requests=2, throttled=1)


@responses.activate
def test_a_post_is_repeated_after_a_429(transport: Transport, clock: Clock) -> None:
    responses.post(URL, status=429, headers={"Retry-After": "1"})
    responses.post(URL, json={})
    assert transport.send(Request(URL, "POST", body=b"{}"), deadline=within(clock)).status == 200


@pytest.mark.parametrize(
    ("method", "idempotent", "sent"),
    [
        ("GET", None, 4),
        ("PUT", None, 4),
        ("DELETE", None, 4),
        ("POST", True, 4),
        ("POST", None, 1),
        ("PATCH", None, 1),
        ("GET", False, 1),
    ],
)
@responses.activate
def test_a_server_fault_is_repeated_only_when_that_does_no_harm(
    method: str, idempotent: bool | None, sent: int, transport: Transport, clock: Clock
) -> None:
    responses.add(method, URL, status=502)
    with pytest.raises(ServerFault):
        transport.send(Request(URL, method, idempotent=idempotent), deadline=within(clock))
    assert len(responses.calls) == sent


@responses.activate
def test_back_offs_double_with_jitter(transport: Transport, clock: Clock) -> None:
    responses.get(URL, status=500)
    with pytest.raises(ServerFault):
        transport.send(Request(URL), deadline=within(clock))
    assert len(clock.slept) == 3
    for pause, most in zip(clock.slept, (0.5, 1.0, 2.0), strict=True):
        assert most / 2 <= pause <= most


@responses.activate
def test_a_503_with_retry_after_pauses_like_a_429(transport: Transport, clock: Clock) -> None:
    responses.get(URL, status=503, headers={"Retry-After": "3"})
    responses.get(URL, json={})
    transport.send(Request(URL), deadline=within(clock))
    assert 3.0 <= clock.slept[0] <= 3.05


@responses.activate
def test_a_pause_longer_than_the_time_left_is_refused_instead_of_slept(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, status=429, headers={"Retry-After": "300"})
    with pytest.raises(Throttled) as caught:
        transport.send(Request(URL), deadline=within(clock, 90.0))
    assert caught.value.retry_after == 300.0
    assert clock.slept == []
    with pytest.raises(Throttled, match="longer than there is time"):
        transport.send(Request(URL), deadline=within(clock, 90.0))
    assert len(responses.calls) == 1


@responses.activate
def test_a_server_that_throttles_for_ever_ends_with_the_time(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, status=429)
    with pytest.raises(Throttled):
        transport.send(Request(URL), deadline=within(clock, 60.0))
    assert sum(clock.slept) <= 60.0
    assert len(responses.calls) < 20


@responses.activate
def test_an_outage_is_not_multiplied_by_retries(transport: Transport, clock: Clock) -> None:
    responses.get(URL, status=500)
    outcomes = dict(transport.map([Request(URL)] * 100, deadline=within(clock, 1e6)))
    assert len(outcomes) == 100
    assert all(type(outcome) is ServerFault for outcome in outcomes.values())
    assert len(responses.calls) == 150


@responses.activate
def test_a_page_of_html_with_200_is_a_bad_answer(transport: Transport, clock: Clock) -> None:
    responses.get(URL, body="<html>", content_type="text/html; charset=utf-8")
    with pytest.raises(BadAnswer, match="web page"):
        transport.send(Request(URL), deadline=within(clock))


@responses.activate
def test_a_404_page_of_a_web_server_does_not_say_that_the_object_is_missing(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, body="<html>", content_type="text/html", status=404)
    with pytest.raises(BadAnswer):
        transport.send(Request(URL), deadline=within(clock))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not JSON") as caught:
        Response(200, {}, body, "api.example").json()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("location", ["https://elsewhere.example/", "/v1.0/other"])
@responses.activate
def test_redirects_are_not_followed(location: str, transport: Transport, clock: Clock) -> None:
    responses.get(URL, status=302, headers={"Location": location})
    with pytest.raises(BadAnswer):
        transport.send(Request(URL), deadline=within(clock))
    assert len(responses.calls) == 1


def test_cookies_are_neither_kept_nor_sent(transport: Transport, clock: Clock) -> None:
    with rude(Script(reply({}, headers={"set-cookie": "session=1; Path=/"}))) as server:
        for _ in range(2):
            transport.send(Request(f"{server.root}/"), deadline=within(clock))
    assert all("cookie" not in seen.headers for seen in server.seen)


def test_neither_netrc_nor_proxy_variables_are_obeyed(
    transport: Transport, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with rude(Script(reply({}))) as server:
        transport.send(Request(f"{server.root}/"), deadline=within(clock))
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("cut", "chunked"), [(b'{"a": 1', False), (b"", False), (b"5\r\nabc", True), (b"", True)]
)
def test_a_body_that_is_cut_off_is_asked_for_again(
    cut: bytes, chunked: bool, transport: Transport, clock: Clock
) -> None:
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 50"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + b"\r\n\r\n"
    with rude(Script(Raw([head, cut], close=True), reply({"ok": True}))) as server:
        answer = transport.send(Request(f"{server.root}/"), deadline=within(clock))
    assert answer.json() == {"ok": True}
    assert len(server.seen) == 2


def test_a_body_that_is_always_cut_off_is_a_bad_answer(transport: Transport, clock: Clock) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"
    with (
        rude(Script(Raw([head], close=True))) as server,
        pytest.raises(BadAnswer, match="cut off"),
    ):
        transport.send(Request(f"{server.root}/"), deadline=within(clock))
    assert len(server.seen) == 4


def test_a_body_that_does_not_decompress_is_a_bad_answer(
    transport: Transport, clock: Clock
) -> None:
    answer = reply(headers={"content-encoding": "gzip"}, body=b"not gzip at all")
    with rude(Script(answer)) as server, pytest.raises(BadAnswer, match="decompressed"):
        transport.send(Request(f"{server.root}/"), deadline=within(clock))


def test_a_compressed_body_is_read(transport: Transport, clock: Clock) -> None:
    content = gzip.compress(b'{"ok": ' + b"1" * 4_000 + b"}")
    with rude(Script(reply(headers={"content-encoding": "gzip"}, body=content))) as server:
        answer = transport.send(Request(f"{server.root}/"), deadline=within(clock))
    assert answer.json()["ok"] == int("1" * 4_000)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_above_the_cap_is_dropped(compressed: bool, clock: Clock) -> None:
    big = b"[" + b"1," * 200_000 + b"1]"
    body = gzip.compress(big) if compressed else big
    headers = {"content-encoding": "gzip"} if compressed else {}
    transport = make(clock, max_bytes=100_000)
    with (
        rude(Script(reply(headers=headers, body=body))) as server,
        pytest.raises(BadAnswer, match="more than 100000 bytes"),
    ):
        transport.send(Request(f"{server.root}/"), deadline=within(clock))
    transport.close()
    assert len(server.seen) == 1


def test_a_body_that_drips_ends_with_the_deadline(transport: Transport, clock: Clock) -> None:
    dripped = []

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
        for number in range(1_000_000):
            clock.now += 10.0
            dripped.append(number)
            yield b"x"

    with rude(lambda seen: Raw(drip())) as server, pytest.raises(DeadlineExceeded):
        transport.send(Request(f"{server.root}/"), deadline=within(clock, 25.0))
    transport.close()
    assert server.seen


def test_a_refused_connection_is_repeated_then_named(transport: Transport, clock: Clock) -> None:
    with rude(Script(reply({}))) as server:
        gone = server.root
    with pytest.raises(ConnectionFailed) as caught:
        transport.send(Request(f"{gone}/"), deadline=within(clock))
    assert gone.removeprefix("http://") in caught.value.message
    assert len(clock.slept) == 3


def test_a_server_that_does_not_speak_tls_is_no_answer(transport: Transport, clock: Clock) -> None:
    with rude(Script(reply({}))) as server:
        url = server.root.replace("http://", "https://")
        with pytest.raises(ConnectionFailed):
            transport.send(Request(f"{url}/"), deadline=within(clock))


def test_a_header_that_cannot_be_sent_is_an_error_that_does_not_repeat_it(
    transport: Transport, clock: Clock
) -> None:
    request = Request("http://127.0.0.1:9/", headers=(("x-key", "hush\r\nx: y"),))
    with pytest.raises(ConnectionFailed) as caught:
        transport.send(request, deadline=within(clock))
    assert "hush" not in str(caught.value)
    assert clock.slept == []


@pytest.mark.parametrize(
    "url",
    [
        "http://graph.microsoft.com/v1.0",
        "http://10.0.0.1/",
        "http://localhost.example/",
        "ftp://graph.microsoft.com/",
        "graph.microsoft.com/v1.0",
        "https://",
        "https://user:pass@graph.microsoft.com/",
        "https://graph.microsoft.com:port/",
        "https://[::1/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_not_https_or_loopback_is_a_wrong_setting(
    url: str, transport: Transport, clock: Clock
) -> None:
    with pytest.raises(SettingError) as caught:
        transport.send(Request(url), deadline=within(clock))
    assert "pass" not in str(caught.value).replace("password", "")
    assert transport.counters().requests == 0


@pytest.mark.parametrize(
    "path", ["../me", "a/../../me", "%2e%2e/me", "a/%2E%2e/b", "./a", "a b", "a\r\nb", "a\\b", "\0"]
)
def test_a_path_that_climbs_or_holds_odd_characters_is_never_sent(
    path: str, transport: Transport, clock: Clock
) -> None:
    with pytest.raises(InputError):
        transport.send(Request(f"https://graph.microsoft.com/v1.0/{path}"), deadline=within(clock))
    assert transport.counters().requests == 0


@given(text=st.text(max_size=40))
@settings(deadline=None, max_examples=80)
def test_no_text_makes_an_origin_that_is_neither_https_nor_loopback(text: str) -> None:
    for url in (text, f"https://{text}", f"http://{text}", f"https://graph.microsoft.com{text}"):
        try:
            origin = origin_of(url)
        except MdtiError:
            continue
        assert origin.scheme == "https" or origin.loopback


def test_origins_are_named_with_a_port_only_where_it_is_unusual() -> None:
    assert origin_of("https://graph.microsoft.com/x").name == "graph.microsoft.com"
    assert origin_of("https://graph.microsoft.com:8443/x").name == "graph.microsoft.com:8443"
    assert origin_of("http://[::1]:81/x").name == "[::1]:81"
    assert origin_of("https://GRAPH.microsoft.com:443/") == origin_of("https://graph.microsoft.com")


def test_map_answers_every_index_once_and_lets_errors_stand_beside_answers(
    transport: Transport, clock: Clock
) -> None:
    def handler(seen: Seen) -> Raw:
        return reply({"path": seen.path}, status=404 if seen.path.endswith("3") else 200)

    with rude(handler) as server:
        urls = [f"{server.root}/{n}" for n in range(50)] + ["http://example.test/"]
        outcomes = list(transport.map(map(Request, urls), deadline=within(clock)))
    assert sorted(index for index, _ in outcomes) == list(range(51))
    for index, outcome in outcomes:
        if index == 50:
            assert isinstance(outcome, SettingError)
        elif str(index).endswith("3"):
            assert isinstance(outcome, Missing)
        else:
            assert isinstance(outcome, Response)
            assert outcome.json() == {"path": f"/{index}"}


def test_map_reads_its_requests_only_as_fast_as_the_work_goes(
    transport: Transport, clock: Clock
) -> None:
    read = []

    def requests(root: str) -> Iterator[Request]:
        for number in range(10_000):
            read.append(number)
            yield Request(f"{root}/{number}")

    with rude(Script(reply({}))) as server:
        outcomes = transport.map(requests(server.root), deadline=within(clock))
        assert read == []
        next(outcomes)
        assert len(read) <= 2 * 4
        assert isinstance(outcomes, Iterator)
        outcomes.close()  # type: ignore[attr-defined]
        transport.close()
    assert len(server.seen) <= 8


def test_map_of_nothing_is_nothing(transport: Transport, clock: Clock) -> None:
    assert list(transport.map([], deadline=within(clock))) == []


def test_what_hangs_past_the_deadline_comes_back_as_an_error_for_its_index(clock: Clock) -> None:
    release = threading.Event()
    hanging = threading.Event()
    time = Clock()

    def handler(seen: Seen) -> Raw:
        if seen.path == "/good":
            return reply({})
        hanging.set()
        release.wait(30)
        return reply({})

    transport = make(time)
    with rude(handler) as server:
        paths = ["good", "bad", "bad", "good", *["late"] * 20]
        requests = [Request(f"{server.root}/{path}") for path in paths]
        deadline = Deadline.after(0.02, clock=time)
        outcomes = {}
        for index, outcome in transport.map(requests, deadline=deadline):
            outcomes[index] = outcome
            if index == 3:
                hanging.wait(30)
                time.now += 1.0
        release.set()
        transport.close()
    assert sorted(outcomes) == list(range(24))
    assert isinstance(outcomes[0], Response)
    assert isinstance(outcomes[1], DeadlineExceeded)
    assert all(isinstance(outcomes[index], MdtiError) for index in range(4, 24))


@responses.activate
def test_with_no_time_at_all_nothing_is_sent(transport: Transport, clock: Clock) -> None:
    outcomes = dict(transport.map([Request(URL)] * 3, deadline=within(clock, 0.0)))
    assert all(isinstance(outcome, DeadlineExceeded) for outcome in outcomes.values())
    assert len(responses.calls) == 0


def test_a_paused_host_holds_no_thread_of_another(clock: Clock) -> None:
    paused = threading.Event()
    release = threading.Event()

    def sleep(seconds: float) -> None:
        paused.set()
        release.wait(30)
        clock.now += seconds

    transport = Transport(
        token=Tokens(), concurrency=2, clock=clock, sleep=sleep, random=Random(1), environ={}
    )
    busy = Script(reply({}, status=429, headers={"retry-after": "5"}), reply({}))
    with rude(busy) as throttled, rude(Script(reply({}))) as other:
        outcomes: dict[int, Response | MdtiError] = {}
        requests = [Request(f"{throttled.root}/{n}") for n in range(10)]
        thread = threading.Thread(
            target=lambda: outcomes.update(transport.map(requests, deadline=within(clock)))
        )
        thread.start()
        paused.wait(30)
        assert transport.send(Request(f"{other.root}/"), deadline=within(clock)).status == 200
        release.set()
        thread.join()
    transport.close()
    assert len(outcomes) == 10
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())


def test_nothing_is_lost_to_a_server_that_throttles_and_breaks(clock: Clock) -> None:
    random = Random(5)
    lock = threading.Lock()

    def handler(seen: Seen) -> Raw:
        with lock:
            luck = random.random()
        if luck < 0.1:
            return reply({}, status=429, headers={"retry-after": "1"})
        if luck < 0.15:
            return Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"], close=True)
        return reply({"path": seen.path})

    transport = make(clock, concurrency=8, retries=6)
    with rude(handler) as server:
        requests = [Request(f"{server.root}/{n}") for n in range(200)]
        outcomes = dict(transport.map(requests, deadline=within(clock, 1e6)))
        transport.close()
    for index in range(200):
        outcome = outcomes[index]
        assert isinstance(outcome, Response)
        assert outcome.json() == {"path": f"/{index}"}


def test_threads_are_made_once_per_host_and_never_per_call(clock: Clock) -> None:
    transport = make(clock, concurrency=3)
    with rude(Script(reply({}))) as server:
        name = f"mdti {server.root.removeprefix('http://')}"
        for _ in range(5):
            list(transport.map([Request(f"{server.root}/")] * 20, deadline=within(clock)))
        mine = [thread for thread in threading.enumerate() if thread.name.startswith(name)]
        assert len(mine) == 3
        transport.close()


@responses.activate
def test_a_meter_counts_one_look_up_and_the_counters_the_process(
    transport: Transport, clock: Clock
) -> None:
    responses.get(URL, status=429, headers={"Retry-After": "1"})
    responses.get(URL, json={})
    first, second = transport.meter(), transport.meter()
    transport.send(Request(URL), deadline=within(clock), meter=first)
    list(transport.map([Request(URL)] * 3, deadline=within(clock), meter=second))
    assert (first.requests, first.throttled) == (2, 1)
    assert second.counters() == Counters(requests=3, throttled=0)
    assert transport.counters() == Counters(requests=5, throttled=1)


def test_a_wait_for_an_answer_is_resumed_while_there_is_time() -> None:
    release = threading.Event()

    class Standing(Clock):
        def __call__(self) -> float:
            self.slept.append(self.now)
            if len(self.slept) > 9:
                release.set()
            return self.now

    def stuck(scope: str, renew: bool) -> str:
        release.wait(30)
        raise IdentityError("No token.")

    transport = make(Clock(), stuck)
    deadline = Deadline.after(0.002, clock=Standing())
    with pytest.raises(IdentityError):
        transport.send(Request(URL, audience=SCOPE), deadline=deadline)
    transport.close()


def test_a_mistake_of_ours_reaches_the_caller(clock: Clock) -> None:
    def mistaken(scope: str, renew: bool) -> str:
        raise RuntimeError("a bug")

    transport = make(clock, mistaken)
    with pytest.raises(RuntimeError, match="a bug"):
        transport.send(Request(URL, audience=SCOPE), deadline=within(clock))
    transport.close()


def test_closing_ends_a_pause() -> None:
    asked = threading.Event()

    def handler(seen: Seen) -> Raw:
        asked.set()
        return reply({}, status=429, headers={"retry-after": "60"})

    transport = Transport(token=Tokens(), environ={})
    outcomes: dict[int, Response | MdtiError] = {}
    with rude(handler) as server:
        requests = [Request(f"{server.root}/")]
        thread = threading.Thread(
            target=lambda: outcomes.update(transport.map(requests, deadline=Deadline.after(90)))
        )
        thread.start()
        asked.wait(30)
        transport.close()
        thread.join()
    assert isinstance(outcomes[0], MdtiError)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@responses.activate
def test_a_companys_certificates_are_used_and_a_wrong_path_is_named(
    name: str, clock: Clock, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    transport = make(clock, environ={name: str(bundle)})
    with pytest.raises(SettingError, match=name):
        transport.send(Request(URL), deadline=within(clock))
    bundle.write_text("")
    responses.get(URL, json={})
    transport.send(Request(URL), deadline=within(clock))
    assert passed_on(0)["verify"] == str(bundle)
    transport.close()


@responses.activate
def test_a_proxy_is_used_only_when_it_is_given(clock: Clock) -> None:
    responses.get(URL, json={})
    for proxy, expected in ((None, {}), ("http://proxy:8080", {"https": "http://proxy:8080"})):
        transport = make(clock, proxy=proxy)
        transport.send(Request(URL), deadline=within(clock))
        assert passed_on(-1)["proxies"] == expected
        assert passed_on(-1)["verify"] is True
        transport.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
    ],
)
def test_retry_after_in_numbers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (0, 0.0), (-5, 0.0)])
def test_retry_after_as_a_date_is_measured_by_the_servers_own_clock(
    ahead: int, seconds: float
) -> None:
    date = datetime(2031, 1, 1, tzinfo=UTC)
    then = format_datetime(date + timedelta(seconds=ahead), usegmt=True)
    headers = {"retry-after": then, "date": format_datetime(date, usegmt=True)}
    assert retry_after(headers) == seconds
    assert retry_after({"retry-after": then}) is None
    assert retry_after({"retry-after": then, "date": "Wed, 01 Jan 2031 00:00:00"}) is None


SECRETS = ("s3cret-token", "s3cret-key", "s3cret-header", "s3cret-query", "s3cret-body")


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 410, 429, 500, 503])
def test_no_token_key_or_header_value_reaches_a_log_an_exception_or_a_repr(
    status: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = Request(
        "",
        audience=SCOPE,
        headers=(("x-api-key", "s3cret-key"), ("x-other", "s3cret-header")),
        body=b"s3cret-body",
    )
    document = {"error": {"code": "s3cret-key", "message": " ".join(SECRETS)}}
    headers = {"request-id": "s3cret header", "x-echo": "s3cret-token"}
    transport = make(clock, lambda scope, renew: "s3cret-token")
    texts = [repr(request), repr(transport)]
    with rude(Script(reply(document, status=status, headers=headers))) as server:
        sent = Request(
            f"{server.root}/x?api_key=s3cret-query",
            audience=request.audience,
            headers=request.headers,
            body=request.body,
        )
        texts.append(repr(sent))
        for _, outcome in transport.map([sent], deadline=within(clock, 20.0)):
            texts += [repr(outcome), str(outcome)]
            if isinstance(outcome, MdtiError):
                texts += [str(outcome.to_json()), repr(vars(outcome)), repr(outcome.__context__)]
        transport.close()
    texts += [record.getMessage() for record in caplog.records]
    texts.append(repr(Answer(200, {"x": "s3cret-header"}, b"s3cret-body")))
    assert not [text for text in texts for secret in SECRETS if secret in text]


def test_no_secret_is_in_the_error_of_a_connection_that_fails(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with rude(Script(reply({}))) as server:
        gone = server.root
    transport = make(clock, lambda scope, renew: "s3cret-token")
    request = Request(f"{gone}/x?api_key=s3cret-query", audience=SCOPE)
    with pytest.raises(ConnectionFailed) as caught:
        transport.send(request, deadline=within(clock))
    transport.close()
    texts = [repr(caught.value), repr(caught.value.__context__), repr(caught.value.__cause__)]
    texts += [record.getMessage() for record in caplog.records]
    assert "s3cret" not in " ".join(texts)
