import ast
import http.client
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import requests

import mdti.sandbox
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Reply, Request, Vendor, json_reply
from tests.sandbox.conftest import Caller


class Echo:
    """A further vendor, as another file would add one."""

    name = "echo"

    def settings(self, base_url: str) -> Mapping[str, str]:
        return {"ECHO_URL": base_url}

    def handle(self, request: Request) -> Reply:
        if request.path == "/stream":
            return Reply(content_type="text/event-stream", stream=iter([b"data: 1\n\n"] * 2))
        if request.path == "/bug":
            raise LookupError("a bug of this vendor")
        return json_reply(
            {"path": request.segments, "q": request.option("Q"), "b": len(request.body)}
        )


def echo(_: Sandbox) -> Iterable[Vendor]:
    return [Echo()]


def test_a_further_vendor_needs_a_name_a_handler_and_its_settings() -> None:
    with Sandbox(vendors=echo) as sandbox, requests.Session() as session:
        url = sandbox.environment()["ECHO_URL"]
        reply = session.post(f"{url}/a%2Fb/c?q=1&q=2", data=b"xyz", timeout=10)

    assert reply.json() == {"path": ["a/b", "c"], "q": "2", "b": 3}


def test_a_vendor_may_stream_events() -> None:
    with Sandbox(vendors=echo) as sandbox, requests.Session() as session:
        reply = session.get(f"{sandbox.vendor_url('echo')}/stream", timeout=10)

    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.text == "data: 1\n\n" * 2


def test_a_vendors_own_failure_is_a_500_and_is_raised_on_leaving() -> None:
    sandbox = Sandbox(vendors=echo)
    sandbox.start()
    with requests.Session() as session:
        reply = session.get(f"{sandbox.vendor_url('echo')}/bug", timeout=10)

    assert reply.status_code == 500
    with pytest.raises(LookupError, match="a bug of this vendor"):
        sandbox.stop()


def test_the_environment_points_the_app_at_every_vendor(sandbox: Sandbox) -> None:
    settings = sandbox.environment()

    assert settings["GRAPH_ENDPOINT"] == sandbox.graph_url
    assert settings["IDENTITY_ENDPOINT"] == f"{sandbox.identity_url}/msi/token"
    assert settings.keys() == {
        "GRAPH_ENDPOINT",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "AZURE_CLIENT_ID",
    }


def test_it_listens_on_loopback_and_stops_with_connections_open(caller: Caller) -> None:
    assert caller.get("/articles").status_code == 200
    port = int(caller.sandbox.url.rpartition(":")[2])
    caller.sandbox.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_comes_back_on_the_same_port_after_an_outage(caller: Caller) -> None:
    caller.sandbox.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        caller.get("/articles")
    caller.sandbox.start()

    assert caller.get("/articles").status_code == 200


def test_a_connection_serves_many_requests(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=10)
    for _ in range(3):
        connection.request("GET", "/_sandbox")
        reply = connection.getresponse()
        assert (reply.status, reply.version) == (200, 11)
        reply.read()
        assert connection.sock is not None
    connection.close()


def test_garbage_ends_the_connection_and_nothing_else(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    for garbage in (b"\r\n", b"GET\r\n\r\n", b"\xff\xfe nonsense HTTP/9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(garbage)
            assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /graph HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 411 ")


def test_an_unknown_prefix_is_404(sandbox: Sandbox, caller: Caller) -> None:
    assert caller.session.get(f"{sandbox.url}/nobody/x", timeout=10).status_code == 404


def test_faults_are_switched_over_http(sandbox: Sandbox, caller: Caller) -> None:
    url = f"{sandbox.url}/_sandbox/faults"
    document = {
        "faults": [{"kind": "throttle", "route": "*/articles", "count": 1, "retryAfter": 2}],
        "limit": {"rate": 100, "burst": 100},
    }
    put = caller.session.put(url, json=document, timeout=10)
    first, second = caller.get("/articles"), caller.get("/articles")

    assert put.json()["faults"][0]["count"] == 1
    assert (first.status_code, first.headers["Retry-After"]) == (429, "2")
    assert second.status_code == 200
    assert caller.session.get(url, timeout=10).json()["faults"][0]["met"] == 2
    assert caller.session.delete(url, timeout=10).json() == {"faults": [], "limit": None}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"faults": 1}',
        '{"faults": [{}]}',
        '{"faults": [{"kind": "typo"}]}',
        '{"limit": 1}',
    ],
)
def test_a_wrong_fault_document_changes_nothing(
    sandbox: Sandbox, caller: Caller, body: str
) -> None:
    reply = caller.session.put(f"{sandbox.url}/_sandbox/faults", data=body, timeout=10)

    assert reply.status_code == 400
    assert sandbox.faults.to_json() == {"faults": [], "limit": None}


def test_the_log_and_the_vendors_are_readable_over_http(sandbox: Sandbox, caller: Caller) -> None:
    caller.get("/articles?$top=1")
    overview = caller.session.get(f"{sandbox.url}/_sandbox", timeout=10).json()
    log = caller.session.get(f"{sandbox.url}/_sandbox/requests", timeout=10).json()["requests"]

    assert overview["settings"] == sandbox.environment()
    assert [entry["query"] for entry in log] == [{"$top": "1"}]
    assert caller.token not in str(log)
    caller.session.delete(f"{sandbox.url}/_sandbox/requests", timeout=10)
    assert sandbox.requests == ()


def test_the_peak_of_requests_in_flight_is_known() -> None:
    together = threading.Barrier(4, timeout=10)

    class Meeting(Echo):
        def handle(self, request: Request) -> Reply:
            together.wait()
            return json_reply({})

    with Sandbox(vendors=lambda _: [Meeting()]) as sandbox:
        url = f"{sandbox.vendor_url('echo')}/"
        threads = [threading.Thread(target=_get, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sandbox.peak_in_flight == 4


def _get(url: str) -> None:
    with requests.Session() as session:
        session.get(url, timeout=10)


def test_the_sandbox_imports_the_standard_library_and_itself_alone() -> None:
    for path in Path(mdti.sandbox.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                known = name.partition(".")[0] in sys.stdlib_module_names
                assert known or name.startswith("mdti.sandbox"), (path.name, name)
