"""Microsoft's login services on this machine: real names, real TLS, and an identity that answers.

`azure-identity` insists on https and on the login host that it was given. It reaches that host
through the proxy in the environment, and trusts a certificate that was made for the test; nothing
of the verification is switched off.
"""

import json
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

import pytest
import requests

from mdti.sandbox.host import Sandbox
from tests.net.certificates import certificate
from tests.net.rude import Raw, Seen, reply, rude

HOSTS = ("login.microsoftonline.com", "login.microsoft.com", "login.microsoftonline.us")


@dataclass
class Login:
    """Who was asked, and who was told a secret: host, tenant, client, scope."""

    connected: list[str] = field(default_factory=list)
    told: list[tuple[str, str, str, str]] = field(default_factory=list)


@contextmanager
def login_services(sandbox: Sandbox, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Login]:
    """Answer for the login services of Microsoft's clouds by the sandbox's identity."""
    login = Login()
    pem = certificate(folder, *HOSTS)

    def answer(seen: Seen) -> Raw:
        host = seen.headers["host"]
        path = seen.path.partition("?")[0]
        tenant = path.split("/")[1]
        if path.endswith("/openid-configuration"):
            root = f"https://{host}/{tenant}/oauth2/v2.0"
            return reply(
                {
                    "issuer": f"https://{host}/{tenant}/v2.0",
                    "authorization_endpoint": f"{root}/authorize",
                    "token_endpoint": f"{root}/token",
                }
            )
        if path.endswith("/discovery/instance"):
            document = {"tenant_discovery_endpoint": f"https://{host}/x", "metadata": []}
            return reply(document)
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        login.told.append((host, tenant, form.get("client_id", ""), form.get("scope", "")))
        with requests.Session() as session:
            session.trust_env = False
            given = session.post(f"{sandbox.identity_url}{path}", data=form, timeout=30)
        return reply(json.loads(given.content), status=given.status_code)

    with rude(answer, tls=pem) as server, _proxy(server.root, login) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            patch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        yield login


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    target: tuple[str, int]
    login: Login


class _Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("_Server", self.server)
        line = self.rfile.readline().decode()
        while self.rfile.readline().strip():
            pass
        asked = re.fullmatch(r"CONNECT (\S+):443 HTTP/1\.[01]\s*", line)
        if asked is None:
            self.wfile.write(b"HTTP/1.1 400 Bad\r\n\r\n")
            return
        server.login.connected.append(asked[1])
        with socket.create_connection(server.target) as target:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self.wfile.flush()
            back = threading.Thread(target=_pump, args=(target, self.connection), daemon=True)
            back.start()
            _pump(self.connection, target)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of the two has gone


@contextmanager
def _proxy(root: str, login: Login) -> Iterator[str]:
    host, _, port = root.removeprefix("https://").rpartition(":")
    with _Server(("127.0.0.1", 0), _Tunnel) as server:
        server.target, server.login = (host, int(port)), login
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
