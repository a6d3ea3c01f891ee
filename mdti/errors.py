"""Everything that can go wrong, by meaning.

    MdtiError                   code, message, hint
    ├── InputError              400 what was asked for cannot be looked up
    │   └── TooManyItems        413
    ├── SettingError            503 a setting is missing or wrong; names it
    ├── CallerRefused           403 the caller is not on the list
    │   └── CallerUnknown       401
    ├── NotFound                404 a job, an actor
    │   └── Expired             410
    ├── Conflict                409 the same key for two requests
    ├── DeadlineExceeded        503 the time for the whole answer is over
    ├── StoreError              503 the state store did not do its part
    │   ├── WriteConflict       somebody else wrote first (ETag)
    │   └── LeaseLost           another holder has the lease
    ├── IdentityError           503 no token for an audience
    └── ApiError                502 an outside API; adds status, api, request_id, retry_after
        ├── Unauthorized        401, after a fresh token
        ├── Forbidden           403
        │   └── ConsentMissing  the permission was not granted, or the token is older than the grant
        ├── Missing             404
        ├── Throttled           429, and no time left to wait
        ├── ServerFault         5xx
        │   └── LicenceMissing  Graph's way of saying that the tenant has no licence
        ├── ApiGone             the whole API is not there (any more, or in this cloud)
        ├── BadAnswer           not what the contract says: HTML, cut off, too large, a foreign link
        └── ConnectionFailed    no answer at all

`code` is the word for machines, in `{"error": {"code": ...}}`; `hint` says what to do about it.
Messages carry no token, key or header value, so they may be logged and shown.
"""

from typing import Any, ClassVar


class MdtiError(Exception):
    """Base of every error this package raises on purpose."""

    code: ClassVar[str] = "internalError"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, Any]:
        """Return the error as the HTTP contract shows it."""
        details = {"hint": self.hint} if self.hint else {}
        return {"error": {"code": self.code, "message": self.message, "details": details}}


class InputError(MdtiError):
    """What was asked for cannot be looked up; the message says why."""

    code = "badRequest"
    http_status = 400


class TooManyItems(InputError):
    """More items, or more bytes, than one request may carry."""

    code = "tooLarge"
    http_status = 413


class SettingError(MdtiError):
    """A setting is missing or wrong; the message names it and says what it should be."""

    code = "badSetting"
    http_status = 503


class CallerRefused(MdtiError):
    """The caller is not on the list of allowed callers."""

    code = "forbidden"
    http_status = 403


class CallerUnknown(CallerRefused):
    """Nobody said who calls."""

    code = "unauthorized"
    http_status = 401


class NotFound(MdtiError):
    """There is no such job, actor or feed."""

    code = "notFound"
    http_status = 404


class Expired(NotFound):
    """It existed, and its time is over."""

    code = "gone"
    http_status = 410


class Conflict(MdtiError):
    """It contradicts what was asked before, such as one key for two different requests."""

    code = "conflict"
    http_status = 409


class DeadlineExceeded(MdtiError):
    """The time for the whole answer is over."""

    code = "deadlineExceeded"
    http_status = 503


class StoreError(MdtiError):
    """The state store could not be read or written."""

    code = "storeUnavailable"
    http_status = 503


class WriteConflict(StoreError):
    """Somebody else wrote first: the ETag differs, or the key exists already."""


class LeaseLost(StoreError):
    """The lease is held by somebody else."""


class IdentityError(MdtiError):
    """No token could be had for an audience."""

    code = "identityUnavailable"
    http_status = 503


class ApiError(MdtiError):
    """An outside API did not answer as it should.

    `api` is the host that was asked, `status` its HTTP status (None without an answer), `reason`
    the API's own error code, `request_id` what its support asks for, `retry_after` in seconds.
    """

    code = "upstreamError"
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        api: str = "",
        status: int | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.api = api
        self.status = status
        self.reason = reason
        self.request_id = request_id
        self.retry_after = retry_after

    def to_json(self) -> dict[str, Any]:
        """Return the error with what the API's support would ask for."""
        document = super().to_json()
        known = {"api": self.api, "status": self.status, "requestId": self.request_id}
        document["error"]["details"] |= {name: value for name, value in known.items() if value}
        return document


class Unauthorized(ApiError):
    """The API refused even a fresh token (401)."""

    code = "identityRefused"


class Forbidden(ApiError):
    """The identity may not do this (403)."""

    code = "upstreamForbidden"


class ConsentMissing(Forbidden):
    """The application permission was not granted, or the token is older than the grant."""

    code = "consentMissing"


class Missing(ApiError):
    """The API has no such object (404)."""

    code = "upstreamNotFound"


class Throttled(ApiError):
    """The API asked to wait longer than there is time (429)."""

    code = "upstreamThrottled"
    http_status = 503


class ServerFault(ApiError):
    """The API failed (5xx), also when asked again."""


class LicenceMissing(ServerFault):
    """The tenant has no licence for Microsoft threat intelligence."""

    code = "licenceMissing"


class ApiGone(ApiError):
    """The API does not exist there (any more, or in this cloud)."""

    code = "apiGone"


class BadAnswer(ApiError):
    """The answer is not what the contract says: HTML, cut off, too large, or a foreign link."""

    code = "badUpstreamAnswer"


class ConnectionFailed(ApiError):
    """No answer came: name resolution, TLS, a refused or a broken connection, a time-out."""

    code = "upstreamUnreachable"
