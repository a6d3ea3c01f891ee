"""What destinations read from an indicator alike: its severity, its life, its words."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from mdti.feeds.indicator import Indicator, Severity

_FLOORS: tuple[tuple[int, Severity], ...] = ((60, "high"), (40, "medium"), (20, "low"))


def severity_of(indicator: Indicator) -> Severity:
    """Return the indicator's severity, else what its score stands for.

    From 60 high, from 40 medium, from 20 low, as OpenCTI's connector has it; the confidence stands
    in for a missing score, and without both it is informational.
    """
    if indicator.severity is not None:
        return indicator.severity
    score = indicator.confidence if indicator.score is None else indicator.score
    return next(
        (word for floor, word in _FLOORS if score is not None and score >= floor), "informational"
    )


def end_within(indicator: Indicator, *, now: datetime, expire_days: int) -> datetime:
    """Return when a row that is written at `now` ends: with its indicator, or after some days."""
    latest = now + timedelta(days=expire_days)
    return latest if indicator.valid_until is None else min(indicator.valid_until, latest)


def sentence(indicator: Indicator) -> str:
    """Return the description, else what there is to say of the indicator."""
    if indicator.description:
        return indicator.description
    words = ", ".join(distinct((*indicator.actors, *indicator.threat_types)))
    return words or title(indicator)


def title(indicator: Indicator) -> str:
    """Return the title, else the value."""
    return indicator.title or indicator.key.value


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Return words once each, in their order, without regard to case; empty ones left out."""
    found: dict[str, str] = {}
    for word in words:
        if word:
            found.setdefault(word.casefold(), word)
    return tuple(found.values())


def zulu(moment: datetime, *, timespec: str = "seconds") -> str:
    """Return a time as ISO 8601 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
