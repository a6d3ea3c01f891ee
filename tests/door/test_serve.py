import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import azure.functions as func
import pytest
import requests

from mdti.errors import SettingError
from mdti.serve import MAX_DELIVERIES, Server, serve


def app_of(*functions: Callable[[func.FunctionApp], object]) -> list[Any]:
    app = func.FunctionApp()
    for register in functions:
        register(app)
    return list(app.get_functions())


def echo(app: func.FunctionApp) -> None:
    @app.route("things/{name}/parts/{part}", methods=["GET", "POST"])
    def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        document = {
            "url": req.url,
            "method": req.method,
            "params": dict(req.params),
            "route": dict(req.route_params),
            "headers": dict(req.headers),
            "body": req.get_body().decode(),
            "function": context.function_name,
            "trace": context.trace_context.trace_parent,
        }
        return func.HttpResponse(json.dumps(document), mimetype="application/json")


def literal(app: func.FunctionApp) -> None:
    @app.route("things/{name}/parts/all", methods=["GET"])
    def literal(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        return func.HttpResponse("all", status_code=203, headers={"X-One": "1"})


def broken(app: func.FunctionApp) -> None:
    @app.route("broken", methods=["GET"])
    def broken(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        raise ValueError("s3cret")


def sender(app: func.FunctionApp) -> None:
    @app.route("send", methods=["POST"])
    @app.queue_output("out", queue_name="q", connection="AzureWebJobsStorage")
    def send(req: func.HttpRequest, out: func.Out[str], context: func.Context) -> func.HttpResponse:
        out.set(req.get_body().decode())
        return func.HttpResponse(status_code=202)


def receiver(work: Callable[[str], None]) -> Callable[[func.FunctionApp], None]:
    def register(app: func.FunctionApp) -> None:
        @app.queue_trigger("message", queue_name="q", connection="AzureWebJobsStorage")
        def receive(message: func.QueueMessage, context: func.Context) -> None:
            work(message.get_body().decode())

    return register


@contextmanager
def served(*functions: Callable[[func.FunctionApp], object]) -> Iterator[Server]:
    with serve(app_of(*functions), port=0, environ={}) as server:
        yield server


def raw(server: Server, request: str) -> bytes:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request.replace("HOST", f"{host}:{port}").encode("latin-1"))
        return connection.makefile("rb").read()


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def test_a_function_gets_the_request_as_it_was_sent() -> None:
    with served(echo) as server:
        answer = requests.post(
            f"{server.url}/api/Things/a%20b%2Fc/parts/7?q=1&q=2&empty=",
            data="caf\u00e9".encode(),
            headers={"X-Note": "n", "traceparent": "00-trace"},
            timeout=30,
        )

    seen = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert seen["route"] == {"name": "a b/c", "part": "7"}
    assert seen["params"] == {"q": "1,2", "empty": ""}
    assert (seen["method"], seen["body"], seen["headers"]["x-note"]) == ("POST", "caf\u00e9", "n")
    assert (seen["function"], seen["trace"]) == ("echo", "00-trace")


def test_headers_given_twice_are_one_list() -> None:
    with served(echo) as server:
        answer = raw(
            server,
            "GET /api/things/a/parts/b HTTP/1.1\r\nHost: HOST\r\nX-A: 1\r\nX-A: 2\r\n"
            "Connection: close\r\n\r\n",
        )

    assert b'"x-a": "1,2"' in answer


def test_a_fixed_path_goes_before_a_parameter() -> None:
    with served(echo, literal) as server:
        answer = requests.get(f"{server.url}/api/things/x/parts/ALL", timeout=30)

    assert (answer.status_code, answer.text, answer.headers["X-One"]) == (203, "all", "1")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_what_a_function_raises_is_a_500_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(broken) as server:
        answer = requests.get(f"{server.url}/api/broken", timeout=30)

    assert (answer.status_code, answer.content) == (500, b"")
    assert "broken failed: ValueError" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_message_reaches_the_function_of_its_queue() -> None:
    got: list[str] = []
    with served(sender, receiver(got.append)) as server:
        for text in ("one", "two"):
            requests.post(f"{server.url}/api/send", data=text, timeout=30)
        assert server.wait_until_idle(30)

    assert sorted(got) == ["one", "two"]


def test_a_message_comes_again_until_it_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []

    def refuse(text: str) -> None:
        got.append(text)
        raise OSError("no")

    with served(sender, receiver(refuse)) as server:
        requests.post(f"{server.url}/api/send", data="one", timeout=30)
        assert server.wait_until_idle(30)

    assert got == ["one"] * MAX_DELIVERIES
    assert "gave a message up" in caplog.text


def test_waiting_for_messages_ends_with_its_time() -> None:
    go_on = threading.Event()
    with served(sender, receiver(lambda _: assert_set(go_on))) as server:
        requests.post(f"{server.url}/api/send", data="one", timeout=30)
        assert server.wait_until_idle(0.0) is False
        go_on.set()
        assert server.wait_until_idle(30)


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


def test_no_more_functions_run_at_once_than_allowed() -> None:
    inside, most, lock = 0, 0, threading.Lock()
    all_here = threading.Barrier(2)

    def count(app: func.FunctionApp) -> None:
        @app.route("count", methods=["GET"])
        def count(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            all_here.wait(30)
            with lock:
                inside -= 1
            return func.HttpResponse()

    environ = {"PYTHON_THREADPOOL_THREAD_COUNT": "2"}
    with serve(app_of(count), port=0, environ=environ) as server:
        url = f"{server.url}/api/count"
        threads = [
            threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 30})
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert most == 2


def test_it_says_where_it_is_and_forgets_it_again() -> None:
    environ = {"WEBSITE_HOSTNAME": "before.example"}
    with serve([], port=0, environ=environ) as server:
        assert f"http://{environ['WEBSITE_HOSTNAME']}" == server.url
    assert environ == {"WEBSITE_HOSTNAME": "before.example"}

    environ = {}
    with serve([], port=0, environ=environ):
        assert environ
    assert environ == {}


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "timer_0"), (3, "timer_0, timer_1, timer_2"), (5, "timer_0, timer_1, timer_2 and 2 more")],
)
def test_it_says_which_timers_do_not_run(count: int, said: str) -> None:
    def timers(app: func.FunctionApp) -> None:
        for number in range(count):

            @app.function_name(f"timer_{number}")
            @app.timer_trigger("timer", schedule="0 0 * * * *")
            def run(timer: func.TimerRequest) -> None:
                raise AssertionError

    with served(timers) as server:
        assert server.notes[0] == f"Timers do not run here: {said}."


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "app.example"])
def test_it_listens_on_this_machine_only(host: str) -> None:
    with pytest.raises(SettingError, match="this machine"):
        serve([], host=host, port=0)


@pytest.mark.parametrize(
    ("first", "head", "expected"),
    [
        ("GET /api", "Host: evil.example\r\n", 421),
        ("GET /api", "", 421),
        ("GET /api", "Host: HOST\r\nOrigin: https://evil.example\r\n", 403),
        ("GET /api", "Host: HOST\r\nOrigin: null\r\n", 403),
        ("GET /api", "Host: HOST\r\nOrigin: http://HOST\r\n", 200),
        ("POST /api", "Host: HOST\r\nTransfer-Encoding: chunked\r\n", 411),
        ("POST /api", "Host: HOST\r\nContent-Length: -1\r\n", 411),
        ("POST /api", "Host: HOST\r\nContent-Length: 999999999\r\n", 413),
        ("BREW /api", "Host: HOST\r\n", 404),
        ("GET /other", "Host: HOST\r\n", 404),
    ],
)
def test_what_does_not_come_from_this_machine_is_refused(
    first: str, head: str, expected: int
) -> None:
    request = f"{first}/things/a/parts/b HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    with served(echo) as server:
        assert status(raw(server, request)) == expected


def test_leaving_lets_a_request_under_way_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(app: func.FunctionApp) -> None:
        @app.route("slow", methods=["GET"])
        def slow(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            begun.set()
            assert_set(go_on)
            return func.HttpResponse("done")

    answers: list[str] = []
    server = serve(app_of(slow), port=0, environ={})
    server.start()
    url = f"{server.url}/api/slow"
    caller = threading.Thread(target=lambda: answers.append(requests.get(url, timeout=30).text))
    caller.start()
    assert begun.wait(30)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    go_on.set()
    stopper.join(30)
    caller.join(30)

    assert answers == ["done"]
