"""An indicator as bytes, for the mirror: everything but its key and `modified`.

Equal bytes mean that a destination would be told the same, so the bytes are what versions of an
indicator are compared by: an object that its source publishes again unchanged costs no request.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from mdti.feeds.indicator import Indicator, Key

_TIMES: Final = ("valid_from", "valid_until")
_LISTS: Final = ("threat_types", "actors", "tags")
_FIELDS: Final = tuple(
    (field.name, field.default)
    for field in fields(Indicator)
    if field.name not in ("key", "modified")
)


def encode(indicator: Indicator) -> bytes:
    """Return the indicator as compact JSON; fields at their default are left out."""
    document: dict[str, Any] = {}
    for name, default in _FIELDS:
        value = getattr(indicator, name)
        if value == default:
            continue
        document[name] = value.astimezone(UTC).isoformat() if name in _TIMES else value
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()


def decode(payload: bytes, key: Key, modified: datetime) -> Indicator:
    """Return the indicator that `encode` described; fields of another version are passed over."""
    document: Mapping[str, Any] = json.loads(payload)
    known: dict[str, Any] = {name: document[name] for name, _ in _FIELDS if name in document}
    for name in _TIMES:
        if name in known:
            known[name] = datetime.fromisoformat(known[name])
    for name in _LISTS:
        if name in known:
            known[name] = tuple(known[name])
    return Indicator(key=key, modified=modified, **known)
