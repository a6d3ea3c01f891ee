"""What an HTTP answer means: a response, an error, or a reason to ask again.

Pure: whether there is time, quota or an attempt left to ask again is the transport's decision.
Of an answer that is an error only the status, the API's own error code and its request id are
used, so that no text from outside reaches a log.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from mdti.errors import (
    ApiError,
    ApiGone,
    BadAnswer,
    Forbidden,
    MdtiError,
    Missing,
    ServerFault,
    Throttled,
    Unauthorized,
)
from mdti.net.messages import Request, Response

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_ERRORS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: Missing,
    410: ApiGone,
    429: Throttled,
}
_NOT_RETRIED = frozenset({501, 505})  # RFC 9110, 15.6: the server will not learn it meanwhile


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of any status, read to its end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """No usable answer; `passing` when another attempt may fare better."""

    error: MdtiError
    passing: bool


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again: after a fresh token, after the pause the API wants, or after a short back-off.

    `error` is the result if it cannot be asked again.
    """

    why: Literal["renew", "refused", "fault"]
    error: MdtiError


def judge(request: Request, answer: Answer | Fault, *, api: str) -> Response | MdtiError | Again:
    """Say what an answer to `request` means; `api` is the host's name for messages."""
    if isinstance(answer, Fault):
        return _fault(request, answer.error) if answer.passing else answer.error
    if answer.status in range(200, 300):
        return _success(answer, api)
    error = error_of(request, answer, api=api)
    if answer.status == 401 and request.audience is not None:
        return Again("renew", error)
    if answer.status == 429:
        return Again("refused", error)
    if not isinstance(error, ServerFault) and answer.status != 408:
        return error
    if answer.status in _NOT_RETRIED or not request.repeatable:
        return error
    return Again("refused" if asks_to_wait(answer) else "fault", error)


def asks_to_wait(answer: Answer) -> bool:
    """Tell whether the API wants everybody to pause: 429, or 503 with a `Retry-After`."""
    if answer.status == 429:
        return True
    return answer.status == 503 and "retry-after" in answer.headers


def error_of(request: Request, answer: Answer, *, api: str) -> ApiError:
    """Return the error that an answer with a status outside 200 to 299 stands for."""
    kind: type[ApiError] = ApiError
    if answer.status in range(500, 600):
        kind = ServerFault
    if answer.status in range(300, 400):
        kind = BadAnswer
    if answer.status == 404 and _is_html(answer):
        kind = BadAnswer  # a web server's page, so nothing is known about the object
    elif answer.status in _ERRORS:
        kind = _ERRORS[answer.status]
    reason = _reason(answer.body, request)
    says = f" ({reason})" if reason else ""
    return kind(
        f"{api} answered {answer.status}{says}.",
        api=api,
        status=answer.status,
        reason=reason,
        request_id=_request_id(answer.headers),
        retry_after=retry_after(answer.headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the API wants us to wait, or None when it does not say.

    Seconds, or an HTTP date (RFC 9110, 10.2.3) that is measured against the answer's own `Date`,
    so a wrong clock on either side does no harm; Azure's `retry-after-ms` comes first.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        text = headers.get(name, "").strip()
        if _SECONDS.fullmatch(text):
            return float(text) / 1000.0
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _fault(request: Request, error: MdtiError) -> MdtiError | Again:
    return Again("fault", error) if request.repeatable else error


def _success(answer: Answer, api: str) -> Response | MdtiError:
    if _is_html(answer):
        return BadAnswer(
            f"{api} answered {answer.status} with a web page.",
            hint="Something between here and the API answers in its place, such as a proxy.",
            api=api,
            status=answer.status,
        )
    return Response(answer.status, answer.headers, answer.body, api)


def _is_html(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"text/html", "application/xhtml+xml"}


def _reason(body: bytes, request: Request) -> str | None:
    if len(body) > 65_536:
        return None
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = document.get("error") if isinstance(document, dict) else None
    code = _code(error.get("code") if isinstance(error, dict) else error)
    # An API may echo the key it was sent; tokens are longer than any code.
    if code is not None and any(code in value for _, value in request.headers):
        return None
    return code


def _request_id(headers: Mapping[str, str]) -> str | None:
    return _code(headers.get("request-id") or headers.get("x-ms-request-id"))


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
