"""Requests read with suspicion, and answers that no cache and no browser may misread.

Light on purpose: this is loaded while the platform looks for functions, before any request.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import azure.functions as func

from mdti.errors import ApiError, CallerUnknown, InputError, MdtiError, SettingError, TooManyItems

JSON = "application/json"
MAX_IDEMPOTENCY_KEY = 255
JOBS_PATH = "/api/v1/jobs/"

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOSTNAME = re.compile(r"(\[::1\]|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::\d{1,5})?", re.I)
_KEY = re.compile(rf"[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}")
_PLAIN = "; charset=utf-8"


def read_json(request: func.HttpRequest, *, limit: int) -> object:
    """Return the JSON value in a request's body of at most `limit` bytes.

    Raises TooManyItems for more, InputError for what is not UTF-8 or not JSON (RFC 8259 has
    neither NaN nor Infinity) and for a nesting that no request of ours has.
    """
    body = request.get_body()
    if len(body) > limit:
        raise TooManyItems(f"The body has more than {limit:,} bytes.")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.") from None
    except ValueError:
        raise InputError("The body is not JSON.") from None
    except RecursionError:
        raise InputError("The body is nested too deeply.") from None


def idempotency_key(request: func.HttpRequest) -> str | None:
    """Return the `Idempotency-Key` header, or None; raise InputError for a malformed one."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InputError(
            f"An Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters."
        )
    return key


def job_url(hostname: str, job_id: str) -> str:
    """Return the absolute URL of a job at WEBSITE_HOSTNAME; raise SettingError when that is wrong.

    Never a request's Host header: whoever sends it would say where the caller's token goes next.
    """
    match = _HOSTNAME.fullmatch(hostname)
    if match is None:
        raise SettingError(
            "WEBSITE_HOSTNAME must be the app's host name.",
            hint="The platform sets it; outside Azure set it to a name or address with its port.",
        )
    scheme = "http" if match[1].lower() in _LOOPBACK else "https"
    return f"{scheme}://{hostname}{JOBS_PATH}{job_id}"


def answer(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse:
    """Return an answer that is not stored, not sniffed and, as a page, allowed nothing."""
    safe = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if content_type.startswith("text/html"):
        safe |= {"Content-Security-Policy": _page_policy(), "Referrer-Policy": "no-referrer"}
    # The platform adds the charset to every text type by itself.
    mimetype = content_type.removesuffix(_PLAIN)
    return func.HttpResponse(
        body, status_code=status, mimetype=mimetype, headers=safe | dict(headers or {})
    )


def json_answer(
    document: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """Return a document as JSON."""
    from mdti.render.document import dump

    return answer(dump(document), status=status, headers=headers)


def error_answer(error: MdtiError) -> func.HttpResponse:
    """Return an error as the contract shows it, with the headers that its status asks for."""
    headers: dict[str, str] = {}
    if isinstance(error, CallerUnknown):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ApiError) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return json_answer(error.to_json(), status=error.http_status, headers=headers)


def health() -> func.HttpResponse:
    """Return that the process lives, and nothing else."""
    return answer(b'{"status":"ok"}')


def _page_policy() -> str:
    from mdti.render.html import content_security_policy

    return f"{content_security_policy()}; frame-ancestors 'none'"


def _no_constant(name: str) -> object:
    raise ValueError(name)
