"""From what a source says to the changes of a batch; shared by all sources."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from mdti.feeds.fields import UNDATED, name_of_nameless, text_of
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Upsert
from mdti.feeds.values import Refused, ValueKind, Values

MAX_ID = 500
"""Longest id of a source object that is taken as it is, in characters."""


def upsert(
    source_id: str,
    version: str,
    observables: Iterable[tuple[ValueKind, object]],
    *,
    values: Values,
    make: Callable[[Key], Indicator],
    skipped: Mapping[str, int] | None = None,
) -> Upsert:
    """Return the change that makes a source object's observables its whole set of indicators.

    `make` adds what the source says of the object to a key. What cannot become a key is counted by
    reason, added to `skipped`.
    """
    reasons = Counter(skipped or {})
    found: dict[Key, Indicator] = {}
    for kind, text in observables:
        key = values.key(kind, text)
        if isinstance(key, Refused):
            reasons[key.reason] += 1
        elif key not in found:
            found[key] = make(key)
    return Upsert(source_id, version, tuple(found.values()), dict(reasons) or None)


def skip(source_id: str, version: str, reason: str) -> Upsert:
    """Return the change of an object that gives no indicator, for one reason."""
    return Upsert(source_id, version, (), {reason: 1})


def unreadable(item: object) -> Upsert:
    """Return the change of a record that does not even say which object it is."""
    return skip(name_of_nameless(item), UNDATED, "record without an id")


def id_of(value: object) -> str | None:
    """Return the id of a source object, or None when it is not usable as one."""
    text = text_of(value, limit=MAX_ID + 1)
    return text if text and text == value and len(text) <= MAX_ID else None
