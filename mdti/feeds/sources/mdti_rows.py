"""What rows of `ThreatIntelIndicators` mean: the newest version of each indicator. Pure.

One indicator has a row for each comparison of its pattern and for each of its versions. Most
addresses of Microsoft Defender TI are `network-traffic` observables, not `ipv4-addr` (contracts,
sentinel-and-defender 0.3), so the key's kind decides, not its first word.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from mdti.feeds.fields import EPOCH, UNDATED, percent_of, stamp, text_of, tlp_of, words_of
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.patterns import kind_of, observables
from mdti.feeds.ports import Change, Remove
from mdti.feeds.sources.building import id_of, unreadable, upsert
from mdti.feeds.values import ValueKind, Values
from mdti.moment import moment_of

Row = Mapping[str, Any]

_GROUP = "activitygroup:"


def changes_of(rows: Iterable[Row], values: Values) -> tuple[Change, ...]:
    """Return one change for each indicator that has a row; all rows of one must be among `rows`."""
    groups: dict[str, list[Row]] = {}
    changes: list[Change] = []
    for row in rows:
        source_id = id_of(row.get("Id"))
        if source_id is None:
            changes.append(unreadable(dict(row)))
        else:
            groups.setdefault(source_id, []).append(row)
    changes += [_change(source_id, group, values) for source_id, group in groups.items()]
    return tuple(changes)


def _change(source_id: str, rows: Sequence[Row], values: Values) -> Change:
    newest = max(rows, key=lambda row: moment_of(row.get("TimeGenerated")) or EPOCH)
    ingested = moment_of(newest.get("TimeGenerated"))
    version = UNDATED if ingested is None else stamp(ingested)
    reason = _withdrawn(newest)
    if reason is not None:
        return Remove(source_id, version, reason)
    # Rows of one version share what the indicator calls its version, not always the moment.
    same = [row for row in rows if row.get("Modified") == newest.get("Modified")]
    found: list[tuple[ValueKind, object]] = []
    skipped: dict[str, int] = {}
    for row in same:
        more, reasons = _observed(row)
        found += [one for one in more if one not in found]
        skipped |= reasons
    make = partial(_indicator, newest)
    return upsert(source_id, version, found, values=values, make=make, skipped=skipped)


def _withdrawn(row: Row) -> str | None:
    """Return why an indicator is gone; a column that is empty says nothing."""
    if row.get("IsDeleted") is True:
        return "deleted"
    if row.get("Revoked") is True:
        return "revoked"
    return "inactive" if row.get("IsActive") is False else None


def _observed(row: Row) -> tuple[list[tuple[ValueKind, object]], Mapping[str, int]]:
    """Return what a row observes; the address type of an endpoint is not a value of its own."""
    path = row.get("ObservableKey")
    if not isinstance(path, str) or not path:
        named = observables(row.get("Pattern"))
        return list(named.found), named.skipped
    if path.endswith("_ref.type"):
        return [], {}
    kind = kind_of(path)
    if kind is None:
        return [], {"other kind of observable": 1}
    return [(kind, row.get("ObservableValue"))], {}


def _indicator(row: Row, key: Key) -> Indicator:
    labels = (*_words(row.get("Tags")), *_words(row.get("Labels")))
    modified = moment_of(row.get("Modified")) or moment_of(row.get("Created"))
    return Indicator(
        key=key,
        modified=modified or moment_of(row.get("TimeGenerated")) or EPOCH,
        confidence=percent_of(row.get("Confidence")),
        title=text_of(row.get("Name"), limit=200),
        description=text_of(row.get("Description")),
        threat_types=_words(row.get("ThreatTypes")),
        actors=tuple(
            dict.fromkeys(
                name
                for one in labels
                if one.lower().startswith(_GROUP) and (name := one[len(_GROUP) :].strip())
            )
        ),
        tags=tuple(dict.fromkeys(one for one in labels if not one.lower().startswith(_GROUP))),
        tlp=tlp_of(row.get("Tlp")),
        valid_from=moment_of(row.get("ValidFrom")),
        valid_until=moment_of(row.get("ValidUntil")),
    )


def _words(value: object) -> tuple[str, ...]:
    """Return the words of a JSON list in text, or of a list with commas."""
    if not isinstance(value, str) or not value:
        return ()
    if value.startswith("["):
        try:
            return words_of(json.loads(value))
        except (ValueError, RecursionError):
            return ()
    return words_of(value.split(","))
