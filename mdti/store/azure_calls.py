"""What all calls to the blob service share: conditions, and the meaning of refusals."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mdti.errors import LeaseLost, StoreError, WriteConflict

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.core.pipeline import PipelineResponse

SETTING = "AzureWebJobsStorage"
ONCE: dict[str, Any] = {"retry_total": 0}
"""Options of a call that is not repeated: its second try could meet the first one's effect."""

_FORBIDDEN = "Grant the app's identity Storage Blob Data Owner on the storage account."


def condition(if_match: str | None, if_absent: bool) -> dict[str, Any]:
    """Return the options of a write on that condition, which is sent once."""
    from azure.core import MatchConditions

    if if_match is not None:
        return {"etag": if_match, "match_condition": MatchConditions.IfNotModified} | ONCE
    if if_absent:
        return {"match_condition": MatchConditions.IfMissing} | ONCE
    return {}


@contextmanager
def meaning(action: str, key: str) -> Iterator[None]:
    """Turn errors of the SDK into ours.

    Their texts and requests are dropped: those of a refused signature repeat what was signed.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    try:
        yield
    except HttpResponseError as error:
        if isinstance(error, ClientAuthenticationError) and error.response is None:
            raise StoreError(
                f"no token for storage, to {action} {key}: {type(error).__name__}",
                hint=f"Check the identity in {SETTING}__clientId.",
            ) from None
        raise _refusal(error, f"storage refused to {action} {key}") from None
    except AzureError as error:
        raise StoreError(
            f"storage did not answer, to {action} {key}: {type(error).__name__}",
            hint=f"Check the endpoint in {SETTING} and the network rules of the account.",
        ) from None


def free_connection(answer: "PipelineResponse[Any, Any]") -> None:
    """Free the connection of a refused or empty download; a hook for its answers.

    The SDK leaves such answers unread, and their connection is never used again: every miss of a
    cache would cost a new one.
    """
    from azure.core.exceptions import AzureError

    response = answer.http_response
    if response.status_code >= 400:
        with suppress(AzureError):
            response.read()
    elif response.headers.get("Content-Length") == "0":
        response.close()


def _refusal(error: "HttpResponseError", text: str) -> StoreError:
    code = error_code(error)
    text = f"{text}: {error.status_code} {code}"
    if code.startswith("Lease"):
        return LeaseLost(text)
    if error.status_code == 412 or code == "BlobAlreadyExists":
        return WriteConflict(text)
    return StoreError(text, hint=_FORBIDDEN if error.status_code in (401, 403) else None)


def error_code(error: "HttpResponseError") -> str:
    """Return the service's own word for the refusal."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "without a code")
