"""Look-ups as a STIX 2.1 bundle: hosts as observables, actors as intrusion sets.

A host that bears evidence also becomes an indicator that indicates the intrusion set; the rest of
the chain is observables and the resolutions between them, with their dates. Ids are functions of
what an object says (UUIDv5), so importing a bundle twice adds nothing. Section numbers are those
of STIX 2.1, OASIS Standard of 2021-06-10.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from mdti.models import Actor, Evidence, Host, Lookup, Resolution
from mdti.render import wording
from mdti.render.escape import link, one_line, profile_link

StixObject = dict[str, Any]

# Section 2.9: the namespace of observables' ids, which all producers share.
_OBSERVABLES: Final = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
_OURS: Final = uuid5(_OBSERVABLES, "mdti-actor-lookup")
_SOURCE_ID: Final = f"identity--{_OURS}"
# Section 3.2: every version of an object has the same `created`, so it cannot be the time of a run.
_CREATED: Final = datetime(2020, 1, 1, tzinfo=UTC)
_OBSERVABLE_TYPES: Final = {"ipv4": "ipv4-addr", "ipv6": "ipv6-addr", "name": "domain-name"}


def lookups_stix(lookups: Sequence[Lookup], *, now: datetime) -> StixObject:
    """Return the bundle; `now` becomes each object's `modified`."""
    maker = _Maker(_timestamp(max(now, _CREATED)))
    objects = {maker.source["id"]: maker.source}
    for lookup in lookups:
        for item in maker.lookup(lookup):
            objects.setdefault(item["id"], item)
    key = json.dumps([maker.now, *sorted(objects)])
    return {
        "type": "bundle",
        "id": f"bundle--{uuid5(_OURS, key)}",
        "objects": list(objects.values()),
    }


class _Maker:
    """Makes the objects of one bundle: they share their source and their times."""

    def __init__(self, now: str) -> None:
        self.now = now
        self.source = self._object(
            "identity",
            "source",
            id=_SOURCE_ID,
            created_by_ref=None,
            name="MDTI Actor Lookup",
            identity_class="system",
        )

    def lookup(self, lookup: Lookup) -> Iterable[StixObject]:
        """Yield everything one look-up says, in a fixed order."""
        for host in _hosts(lookup):
            yield _observable(host)
        for resolution in _resolutions(lookup):
            yield self._resolves(resolution)
        for actor in lookup.actors:
            group = self._group(actor)
            yield group
            for item in wording.ranked(actor.evidence):
                indicator = self._indicator(item)
                yield indicator
                yield self._indicates(indicator, group, actor, item)
        if lookup.gaps:
            yield self._gaps(lookup)

    def _object(self, kind: str, key: str, **changes: Any) -> StixObject:
        common = {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{uuid5(_OURS, json.dumps([kind, key]))}",
            "created_by_ref": _SOURCE_ID,
            "created": _timestamp(_CREATED),
            "modified": self.now,
        }
        return {name: value for name, value in (common | changes).items() if value is not None}

    def _group(self, actor: Actor) -> StixObject:
        group = self._object(
            "intrusion-set",
            actor.profile_id or actor.name.casefold(),
            name=one_line(actor.name),
            aliases=[one_line(alias) for alias in actor.aliases] or None,
        )
        url = profile_link(actor.profile_id)
        reference = {"source_name": "Microsoft intel profile", "url": url}
        return group | ({"external_references": [reference]} if url else {})

    def _indicator(self, item: Evidence) -> StixObject:
        return self._object(
            "indicator",
            item.host.value,
            name=one_line(item.host.value),
            indicator_types=["attribution"],
            pattern=f"[{_OBSERVABLE_TYPES[item.host.kind]}:value = '{item.host.value}']",
            pattern_type="stix",
            valid_from=_timestamp(item.path[-1].first) if item.path else self.now,
        )

    def _indicates(
        self, indicator: StixObject, group: StixObject, actor: Actor, item: Evidence
    ) -> StixObject:
        key = json.dumps([indicator["id"], group["id"], item.kind, item.text, _path_key(item)])
        url = link(item.url)
        reference = {"source_name": wording.claim(item.kind), "url": url}
        return self._object(
            "relationship",
            key,
            relationship_type="indicates",
            source_ref=indicator["id"],
            target_ref=group["id"],
            confidence=round(actor.score * 100),
            description=one_line(f"{wording.claim(item.kind)}: {item.text}; {wording.path(item)}"),
            external_references=[reference] if url else None,
            **_interval(item.path),
        )

    def _resolves(self, resolution: Resolution) -> StixObject:
        source, target = resolution.queried, resolution.answer
        if source.is_address and not target.is_address:
            source, target = target, source
        # Section 6.4: only a domain name resolves to something.
        kind = "related-to" if source.is_address else "resolves-to"
        source_id, target_id = _observable(source)["id"], _observable(target)["id"]
        return self._object(
            "relationship",
            json.dumps([source_id, target_id, resolution.record_type]),
            relationship_type=kind,
            source_ref=source_id,
            target_ref=target_id,
            description=f"passive DNS, {one_line(resolution.record_type)}",
            **_interval((resolution,)),
        )

    def _gaps(self, lookup: Lookup) -> StixObject:
        return self._object(
            "note",
            f"gaps {lookup.seed.value}",
            abstract="This look-up is incomplete",
            content="\n".join(one_line(wording.gap(gap)) for gap in lookup.gaps),
            object_refs=[_observable(lookup.seed)["id"]],
        )


def _observable(host: Host) -> StixObject:
    """Return a host as an observable; its id is the same whoever makes it (section 2.9)."""
    kind = _OBSERVABLE_TYPES[host.kind]
    key = json.dumps({"value": host.value}, separators=(",", ":"))
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{uuid5(_OBSERVABLES, key)}",
        "value": host.value,
    }


def _hosts(lookup: Lookup) -> list[Host]:
    linked = (host for step in _resolutions(lookup) for host in (step.queried, step.answer))
    claimed = (item.host for actor in lookup.actors for item in actor.evidence)
    reported = (report.host for report in lookup.hosts)
    return list(dict.fromkeys([lookup.seed, *reported, *linked, *claimed]))


def _resolutions(lookup: Lookup) -> list[Resolution]:
    walked = (step for actor in lookup.actors for item in actor.evidence for step in item.path)
    return list(dict.fromkeys([*lookup.resolutions, *walked]))


def _path_key(item: Evidence) -> list[str]:
    return [step.answer.value for step in item.path]


def _interval(path: Sequence[Resolution]) -> dict[str, str]:
    if not path:
        return {}
    first, last = min(step.first for step in path), max(step.last for step in path)
    start = {"start_time": _timestamp(first)}
    # Section 5.1.1: stop_time must be later than start_time.
    return start | ({"stop_time": _timestamp(last)} if _timestamp(last) > _timestamp(first) else {})


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
