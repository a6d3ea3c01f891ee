"""Times as other systems write them."""

from datetime import UTC, datetime

_NO_TIME = datetime(1, 1, 2, tzinfo=UTC)


def moment_of(text: object) -> datetime | None:
    """Return an ISO 8601 time in UTC, or None for anything that is not one.

    Any number of fractional digits is read, to microseconds; without a zone the time is UTC.
    0001-01-01 is how .NET writes that there is no time.
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _NO_TIME else None
