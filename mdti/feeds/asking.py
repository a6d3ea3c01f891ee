"""How feeds ask: one request, the server's time, and errors that say what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mdti.errors import ApiError, BadAnswer, MdtiError
from mdti.feeds.fields import object_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.transport import Transport

Hints = Mapping[type[MdtiError], str]
"""What to do about an error of a kind; the first kind that fits is taken."""
Now = Callable[[], datetime]
"""The time in UTC."""


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends requests; `hints` go with the errors that a person has to mend."""

    transport: Transport
    hints: Hints

    def ask(self, request: Request, *, deadline: Deadline) -> Response:
        """Send a request; raises what `Transport.send` raises, with a hint."""
        try:
            return self.transport.send(request, deadline=deadline)
        except MdtiError as error:
            raise explained(error, self.hints) from None


def explained(error: MdtiError, hints: Hints) -> MdtiError:
    """Return the error with what to do about it, unless it says so itself."""
    if error.hint is None:
        error.hint = next((hint for kind, hint in hints.items() if isinstance(error, kind)), None)
    return error


def server_time(response: Response) -> datetime | None:
    """Return the server's own time from its `Date` header (RFC 9110, 6.6.1), None without one."""
    try:
        moment = parsedate_to_datetime(response.headers.get("date", ""))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def document_of(response: Response) -> Mapping[str, object]:
    """Return the JSON object that was answered; raises `BadAnswer` for anything else."""
    document = response.json()
    if not isinstance(document, dict):
        raise BadAnswer(f"{response.api} answered with JSON that is no object.", api=response.api)
    return object_of(document)


def is_passing(error: MdtiError) -> bool:
    """Tell whether an error concerns one attempt, and not what was asked or who asks."""
    status = error.status if isinstance(error, ApiError) else None
    return status is None or status == 429 or status >= 500
