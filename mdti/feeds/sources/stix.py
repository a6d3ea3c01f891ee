"""STIX 2.1 objects as changes; for every source that speaks STIX.

The objects are read field by field, and tolerantly: platforms leave fields out, add their own and
break rules of the standard that a validating library would refuse (contracts, OpenCTI 1.3).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from mdti.feeds.fields import (
    EPOCH,
    UNDATED,
    list_of,
    object_of,
    percent_of,
    stamp,
    text_of,
    tlp_of,
    words_of,
)
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.patterns import observables
from mdti.feeds.ports import Change, Remove
from mdti.feeds.sources.building import id_of, skip, unreadable, upsert
from mdti.feeds.values import Values
from mdti.moment import moment_of


def change_of(
    item: object,
    *,
    values: Values,
    version: str | None = None,
    score: int | None = None,
    labels: Iterable[str] = (),
    link: str | None = None,
) -> Change:
    """Return the change that a STIX indicator brings.

    `version` is the object's `modified` unless given; `score`, `labels` and `link` are what the
    source says beside the standard's own fields. A revoked indicator is a removal.
    """
    source_id = id_of(object_of(item).get("id"))
    if source_id is None:
        return unreadable(item)
    stix = object_of(item)
    known = version if version is not None else version_of(stix)
    if stix.get("revoked") is True:
        return Remove(source_id, known, "revoked")
    if stix.get("type") != "indicator":
        return skip(source_id, known, "other kind of object")
    if stix.get("pattern_type", "stix") != "stix":
        return skip(source_id, known, "pattern of another language")
    named = observables(stix.get("pattern"))
    return upsert(
        source_id,
        known,
        named.found,
        values=values,
        make=partial(_indicator, stix, score, tuple(labels), link),
        skipped=named.skipped,
    )


def version_of(stix: Mapping[str, Any]) -> str:
    """Return the version of a STIX object: when it was last modified, else created."""
    moment = moment_of(stix.get("modified")) or moment_of(stix.get("created"))
    return UNDATED if moment is None else stamp(moment)


def first_link(references: object) -> str | None:
    """Return the first https link of `external_references`."""
    for reference in list_of(references)[:20]:
        url = object_of(reference).get("url")
        if isinstance(url, str) and url.startswith("https://") and len(url) <= 2_000:
            return text_of(url, limit=2_000)
    return None


def _indicator(
    stix: Mapping[str, Any], score: int | None, labels: tuple[str, ...], link: str | None, key: Key
) -> Indicator:
    modified = moment_of(stix.get("modified")) or moment_of(stix.get("created"))
    return Indicator(
        key=key,
        modified=modified or EPOCH,
        confidence=percent_of(stix.get("confidence")),
        score=score,
        title=text_of(stix.get("name"), limit=200),
        description=text_of(stix.get("description")),
        threat_types=words_of(stix.get("indicator_types")),
        tags=tuple(dict.fromkeys((*words_of(stix.get("labels")), *labels))),
        tlp=tlp_of(*list_of(stix.get("object_marking_refs"))[:20]),
        valid_from=moment_of(stix.get("valid_from")),
        valid_until=moment_of(stix.get("valid_until")),
        link=link or first_link(stix.get("external_references")),
    )
