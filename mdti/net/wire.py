"""One HTTP exchange with one API: a session that carries nothing over, a body read in pieces.

The session keeps connections and nothing else. `trust_env` is False: `requests` then reads neither
proxy variables nor `.netrc`, so a variable set for another program cannot redirect or add
credentials to ours. It would also forget a company's certificate authority, so
`REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` are read here. A proxy comes from an argument alone.
"""

import ssl
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Final, Protocol

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from mdti.errors import BadAnswer, ConnectionFailed, DeadlineExceeded, SettingError
from mdti.net.answers import Answer, Fault
from mdti.net.deadline import Deadline
from mdti.net.messages import Origin, Request
from mdti.net.quiet import quiet_libraries

BROKEN: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    UnicodeError,
)
"""What an exchange may end in besides an answer."""

_CHUNK = 65_536
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class _Body(Protocol):
    def read1(self, amt: int, decode_content: bool) -> bytes: ...


def ca_bundle(environ: Mapping[str, str]) -> str | None:
    """Return the path of the certificate authorities to trust instead of the usual ones.

    Raises `SettingError` when the variable that names it points to nothing.
    """
    for name in _CA_VARIABLES:
        path = environ.get(name)
        if not path:
            continue
        if not Path(path).exists():
            raise SettingError(f"{name} must be the path of a file or directory of certificates.")
        return path
    return None


class Wire:
    """The connections to one origin.

    `read_timeout` bounds the silence between two pieces of an answer, in seconds; `max_bytes` the
    decoded body. `proxy` is never used for loopback.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connections: int,
        connect_timeout: float,
        read_timeout: float,
        max_bytes: int,
        proxy: str | None,
        ca_path: str | None,
    ) -> None:
        quiet_libraries()
        self._origin = origin
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._max_bytes = max_bytes
        self._verify: str | bool = ca_path or True
        self._proxies = {origin.scheme: proxy} if proxy and not origin.loopback else {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self._session.mount(f"{origin.scheme}://", adapter)

    def exchange(
        self, request: Request, headers: Mapping[str, str], *, deadline: Deadline
    ) -> Answer | Fault:
        """Send `request` with exactly `headers` and read the answer to its end."""
        remaining = deadline.remaining()
        if remaining <= 0.0:
            return self._late()
        try:
            with self._send(request, headers, remaining) as response:
                body = self._read(response.raw, deadline)
                if isinstance(body, Fault):
                    return body
                known = CaseInsensitiveDict(response.headers)
                return Answer(response.status_code, known, body)
        except BROKEN as error:
            # Only the kind is kept: the texts of these exceptions quote URLs and header values.
            return self._broken(error)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _send(
        self, request: Request, headers: Mapping[str, str], remaining: float
    ) -> requests.Response:
        """Send `request`; the answer's body is still to be read."""
        prepared = requests.Request(
            request.method, request.url, headers=dict(headers), data=request.body
        ).prepare()
        return self._session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            verify=self._verify,
            proxies=self._proxies,
            timeout=(min(self._connect_timeout, remaining), min(self._read_timeout, remaining)),
        )

    def _read(self, raw: _Body, deadline: Deadline) -> bytes | Fault:
        pieces = bytearray()
        # read1 returns what has arrived; read would wait for a full piece, past any deadline.
        while piece := raw.read1(_CHUNK, decode_content=True):
            pieces += piece
            if len(pieces) > self._max_bytes:
                return Fault(self._bad(f"more than {self._max_bytes} bytes"), passing=False)
            if deadline.expired:
                return self._late()
        return bytes(pieces)

    def _broken(self, cause: Exception) -> Fault:
        name = self._origin.name
        if _is_untrusted(cause):
            error = ConnectionFailed(
                f"{name} showed a certificate that is not trusted.",
                hint="Behind a company proxy, REQUESTS_CA_BUNDLE must name its certificates.",
                api=name,
            )
            return Fault(error, passing=False)
        if isinstance(cause, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
            message = f"The request to {name} has an address or a header that cannot be sent."
            return Fault(ConnectionFailed(message, api=name), passing=False)
        if isinstance(cause, urllib3.exceptions.DecodeError):
            return Fault(self._bad("a body that cannot be decompressed"), passing=True)
        if isinstance(cause, urllib3.exceptions.ProtocolError):
            return Fault(self._bad("a body that was cut off"), passing=True)
        if isinstance(cause, requests.Timeout | urllib3.exceptions.TimeoutError):
            return Fault(ConnectionFailed(f"{name} did not answer in time.", api=name), True)
        return Fault(ConnectionFailed(f"The connection to {name} failed.", api=name), True)

    def _bad(self, what: str) -> BadAnswer:
        return BadAnswer(f"{self._origin.name} answered with {what}.", api=self._origin.name)

    def _late(self) -> Fault:
        return Fault(DeadlineExceeded(f"No time is left for {self._origin.name}."), passing=False)


def _is_untrusted(cause: BaseException) -> bool:
    # Other TLS faults look the same to requests, but may pass.
    link: BaseException | None = cause
    while link is not None and not isinstance(link, ssl.SSLCertVerificationError):
        link = link.__cause__ or link.__context__
    return link is not None
