"""What the frames of an OpenCTI live stream mean. Pure.

The event's name decides, not the type inside: an object that left the stream's filter comes as
`delete` with an inner `update`. Objects sent along because another one refers to them are nobody's
matter here. Facts: contracts, opencti-anyrun-anomali-threatconnect 1.2 and 1.3.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from mdti.feeds.fields import EPOCH, list_of, object_of, percent_of, text_of, tlp_of, words_of
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Change, Remove
from mdti.feeds.sources.building import id_of, skip, unreadable, upsert
from mdti.feeds.sources.sse import Event
from mdti.feeds.sources.stix import change_of, first_link
from mdti.feeds.values import ValueKind, Values
from mdti.moment import moment_of

Position = tuple[int, int]
"""An event id as numbers: milliseconds, and a count within them. Ids do not sort as text."""

BEGINNING: Position = (0, 0)

_ID = re.compile(r"(\d{1,13})(?:-(\d{1,13}))?")
_EXTENSION = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
_OBSERVABLE_EXTENSION = "extension-definition--f93e2c80-4231-4f9a-af8b-95c9bd566a82"
_OBSERVABLES: Mapping[str, ValueKind] = MappingProxyType(
    {
        "ipv4-addr": "host",
        "ipv6-addr": "host",
        "domain-name": "host",
        "hostname": "host",
        "url": "url",
        "email-addr": "email",
    }
)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the stream goes back and on, as it says when it is opened; None: it does not say."""

    first: Position | None
    last: Position | None


def position_of(text: object) -> Position | None:
    """Return an event id as numbers, None when it is none."""
    found = _ID.fullmatch(text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2] or 0)) if found else None


def shown(position: Position) -> str:
    """Return a position as the stream writes it."""
    return f"{position[0]}-{position[1]}"


def reach_of(event: Event) -> Reach | None:
    """Return what a `connected` frame says; None for any other frame."""
    if event.name != "connected":
        return None
    told = _json(event.data)
    return Reach(position_of(told.get("firstEventId")), position_of(told.get("lastEventId")))


@dataclass(slots=True)
class Drain:
    """Gathers the changes of a stream, and how far they are complete.

    Several frames may share one id, so a position counts as reached only when a later id or a
    heartbeat was seen: `at` is the position reached, `changes` what lies at or before it.
    """

    values: Values
    at: Position
    changes: list[Change] = field(default_factory=list)
    _current: Position | None = None
    _pending: list[Change] = field(default_factory=list)

    def feed(self, event: Event) -> None:
        """Take one frame."""
        position = position_of(event.id)
        if position is not None and position != self._current:
            self._commit()
            self._current = position
        if event.name == "heartbeat":
            self._commit()
            self._current = position
            self.at = max(self.at, position or self.at)
            return
        self._pending += changes_of(event, self._current or self.at, self.values)

    def take(self) -> tuple[Change, ...]:
        """Return the complete changes and forget them."""
        taken, self.changes = tuple(self.changes), []
        return taken

    def drop(self) -> None:
        """Forget what is not complete, for the stream broke; it comes again."""
        self._pending, self._current = [], None

    def _commit(self) -> None:
        self.changes += self._pending
        self.at = max(self.at, self._current or self.at)
        self._pending = []


def changes_of(event: Event, position: Position, values: Values) -> Iterator[Change]:
    """Yield the changes that one frame brings; frames about other things bring none."""
    if event.name not in ("create", "update", "merge", "delete"):
        return
    told = _json(event.data)
    if object_of(told.get("origin")).get("referer") == "dependencies":
        return
    stix = object_of(told.get("data"))
    version = shown(position)
    if not stix:
        yield unreadable(event.data[:10_000])
        return
    if text_of(stix.get("type")) not in ("indicator", "file", *_OBSERVABLES):
        return
    source_id = id_of(stix.get("id"))
    if source_id is None:
        yield unreadable(stix)
    elif event.name == "delete":
        reason = "deleted" if told.get("type") == "delete" else "left the stream"
        yield Remove(source_id, version, reason)
    else:
        yield from _merged(told, version)
        yield _present(stix, source_id, version, values)


def _merged(told: Mapping[str, Any], version: str) -> Iterator[Change]:
    """Yield the removal of objects that were merged into another one."""
    for source in list_of(object_of(told.get("context")).get("sources"))[:1_000]:
        source_id = id_of(source if isinstance(source, str) else object_of(source).get("id"))
        if source_id is not None:
            yield Remove(source_id, version, "merged")


def _present(stix: Mapping[str, Any], source_id: str, version: str, values: Values) -> Change:
    extensions = object_of(stix.get("extensions"))
    platform = object_of(extensions.get(_EXTENSION))
    if stix.get("type") == "indicator":
        return change_of(
            stix, values=values, version=version, score=percent_of(platform.get("score"))
        )
    observable = object_of(extensions.get(_OBSERVABLE_EXTENSION))
    found = list(_observed(stix))
    if not found:
        return skip(source_id, version, "other kind of observable")
    make = partial(_indicator, stix, platform, observable)
    return upsert(source_id, version, found, values=values, make=make)


def _observed(stix: Mapping[str, Any]) -> Iterator[tuple[ValueKind, object]]:
    kind = stix.get("type")
    if isinstance(kind, str) and kind in _OBSERVABLES:
        yield _OBSERVABLES[kind], stix.get("value")
    for name, value in object_of(stix.get("hashes")).items():
        if name.upper().replace("-", "") in ("MD5", "SHA1", "SHA256"):
            yield "hash", value


def _indicator(
    stix: Mapping[str, Any],
    platform: Mapping[str, Any],
    observable: Mapping[str, Any],
    key: Key,
) -> Indicator:
    score = percent_of(observable.get("score"))
    labels = words_of(observable.get("labels")) or words_of(stix.get("labels"))
    return Indicator(
        key=key,
        modified=moment_of(platform.get("updated_at")) or EPOCH,
        score=score if score is not None else percent_of(stix.get("x_opencti_score")),
        title=key.value[:200],
        description=text_of(observable.get("description")),
        tags=labels,
        tlp=tlp_of(*list_of(stix.get("object_marking_refs"))[:20]),
        valid_from=moment_of(platform.get("created_at")),
        link=first_link(stix.get("external_references")),
    )


def _json(data: str) -> Mapping[str, Any]:
    try:
        return object_of(json.loads(data))
    except (ValueError, RecursionError):
        return {}
