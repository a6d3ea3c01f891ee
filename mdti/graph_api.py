"""Microsoft Graph as such: one builder of paths, and errors by what they mean there."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mdti.errors import (
    ApiError,
    ApiGone,
    BadAnswer,
    ConsentMissing,
    Forbidden,
    InputError,
    LicenceMissing,
    MdtiError,
    ServerFault,
    SettingError,
    Unauthorized,
)
from mdti.net.deadline import Deadline
from mdti.net.meter import Meter
from mdti.net.paging import Collection, Enough, read_all
from mdti.net.transport import Request, Response, Transport
from mdti.settings import GraphSettings

PERMISSION = "ThreatIntelligence.Read.All"
HUNTING_PERMISSION = "ThreatHunting.Read.All"

MAX_PAGES = 400
"""Pages of one collection; 10,000 records at 25 a page, the smallest size that was ever seen."""


class GraphApi:
    """Sends requests below one versioned root of Graph."""

    def __init__(self, transport: Transport, *, settings: GraphSettings) -> None:
        self._transport, self._settings = transport, settings

    def get_all(
        self, paths: Sequence[str], *, deadline: Deadline, meter: Meter | None = None
    ) -> list[Response | MdtiError]:
        """Get many paths at once; returns an answer or an error for each, in their order."""
        answers: dict[int, Response | MdtiError] = {}
        requests = [self._request(path) for path in paths]
        for index, answer in self._transport.map(requests, deadline=deadline, meter=meter):
            answers[index] = _refined(answer) if isinstance(answer, MdtiError) else answer
        return [answers[index] for index in range(len(paths))]

    def read_all(
        self,
        paths: Sequence[str],
        *,
        max_records: int,
        deadline: Deadline,
        enough: Enough | None = None,
        meter: Meter | None = None,
    ) -> list[Collection | MdtiError]:
        """Read many collections at once; see `mdti.net.paging.read_all`."""
        answers = read_all(
            self._transport,
            [self._request(path) for path in paths],
            deadline=deadline,
            enough=enough,
            max_pages=MAX_PAGES,
            max_records=max_records,
            meter=meter,
        )
        return [_refined(a) if isinstance(a, MdtiError) else a for a in answers]

    def post(
        self, path: str, body: bytes, *, deadline: Deadline, meter: Meter | None = None
    ) -> Response:
        """Post JSON to something that only reads, so that it may be repeated."""
        request = self._request(path, method="POST", body=body)
        try:
            return self._transport.send(request, deadline=deadline, meter=meter)
        except Forbidden as error:
            raise no_consent(error, HUNTING_PERMISSION) from error

    def _request(self, path: str, *, method: str = "GET", body: bytes | None = None) -> Request:
        return Request(
            self._settings.root + path,
            method=method,
            audience=self._settings.audience,
            body=body,
            content_type="application/json" if body is not None else None,
            idempotent=True,
        )


def path_of(*segments: str) -> str:
    """Return a path below threat intelligence; each segment is quoted whole."""
    if any(not segment.strip(".") for segment in segments):
        raise InputError("A path segment must not be empty or made of dots.")
    quoted = (quote(segment, safe="") for segment in segments)
    return "/security/threatIntelligence/" + "/".join(quoted)


def is_fatal(error: MdtiError) -> bool:
    """Return whether every further question to Graph would fail the same way."""
    return isinstance(error, ConsentMissing | LicenceMissing | ApiGone | SettingError) or (
        error.code in {"identityUnavailable", "identityRefused"}
    )


def no_consent(error: Forbidden, permission: str) -> ConsentMissing:
    """Return what a 403 of Graph means: the permission, or a token from before its grant."""
    return ConsentMissing(
        f"Graph refuses the app's identity: {permission} is not granted, or the token is older "
        "than the grant.",
        hint=f"Grant the application permission {permission}; a token asked for before the grant "
        "is kept for up to a day.",
        **_facts(error),
    )


def no_api(error: ApiError) -> ApiGone:
    """Return what it means that not even the list of intel profiles is found."""
    return ApiGone(
        f"{error.api} has no threat intelligence API.",
        hint="Check GRAPH_ENDPOINT and GRAPH_API_VERSION, and whether Microsoft moved the API. "
        "National clouds do not have it.",
        **_facts(error),
    )


def bad_answer(what: str, response: Response) -> BadAnswer:
    """Return the error for an answer that is JSON, but not what the contract says."""
    return BadAnswer(what, api=response.api, status=response.status)


def _refined(error: MdtiError) -> MdtiError:
    """Return the error by what it means for threat intelligence."""
    if isinstance(error, Forbidden):
        return no_consent(error, PERMISSION)
    if isinstance(error, Unauthorized):
        return Unauthorized(
            "Graph refuses the app's token, also a fresh one.",
            hint="Check that the app's identity belongs to the tenant and the cloud of "
            "GRAPH_ENDPOINT, and that it was not disabled.",
            **_facts(error),
        )
    if isinstance(error, ApiGone):
        return no_api(error)
    if isinstance(error, ServerFault) and error.reason == "generalException":
        return LicenceMissing(
            "Graph answers 500 generalException, again and again.",
            hint="This is how Graph says that the tenant has no licence: threat intelligence "
            "comes with Microsoft Defender XDR or Microsoft Sentinel.",
            **_facts(error),
        )
    return error


def _facts(error: ApiError) -> dict[str, Any]:
    return {
        "api": error.api,
        "status": error.status,
        "reason": error.reason,
        "request_id": error.request_id,
    }
