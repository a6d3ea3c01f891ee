"""From a Sentinel incident, as its trigger sends it, to what can be looked up.

Accepts the trigger body with its `object` envelope, the incident without it, and an answer of
`POST {incident}/entities` merged into either. A `mode` beside them may ask to observe only.
Property names are matched whatever their case, since raw alerts spell them in Pascal case. Shapes:
contracts/sentinel-and-defender.md 4.1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mdti.errors import InputError
from mdti.incident_models import FileHash, Incident, IncidentStatus, LeftOut, Severity
from mdti.ioc import HostParser, file_hash_of
from mdti.models import Host
from mdti.moment import moment_of

T = TypeVar("T", bound=str)

MAX_HOSTS = 100
"""Most hosts of one incident that are looked up; the rest is said to be left out."""

SEVERITIES: tuple[Severity, ...] = ("Informational", "Low", "Medium", "High")
_STATUSES: tuple[IncidentStatus, ...] = ("New", "Active", "Closed")
_KINDS = {
    "ip": "Ip",
    "dnsresolution": "DnsResolution",
    "dns": "DnsResolution",
    "url": "Url",
    "mailmessage": "MailMessage",
    "filehash": "FileHash",
    "host": "Host",
}


@dataclass(slots=True)
class _Found:
    """What was found so far, in the order of the entities."""

    hosts: dict[Host, None] = field(default_factory=dict)
    hashes: dict[FileHash, None] = field(default_factory=dict)
    left_out: dict[LeftOut, None] = field(default_factory=dict)


def parse_incident(
    body: object,
    *,
    parser: HostParser,
    lookup_host_entities: bool = False,
    allowlisted: Callable[[Host], str | None] | None = None,
) -> Incident:
    """Return the incident in `body`; raise `InputError` when there is none.

    `allowlisted` returns the entry of the allow list that covers a host, if any: such a host is
    left out, as are private addresses, internal names and kinds that are not infrastructure.
    """
    if not isinstance(body, Mapping):
        raise InputError("The body must be a JSON object: the incident trigger's body.")
    incident = _get(body, "object")
    if not isinstance(incident, Mapping):
        incident = body
    properties = _get(incident, "properties")
    incident_id = _get(incident, "id")
    if not isinstance(incident_id, str) or not 0 < len(incident_id) <= 1_024:
        raise InputError("The body has no incident: `object.id` is missing.")
    if not isinstance(properties, Mapping):
        raise InputError("The body has no incident: `object.properties` is missing.")
    found = _Found()
    for entity in _entities(body, incident, properties):
        _read(entity, found, parser, lookup_host_entities)
    hosts = _limited(found, allowlisted)
    number = _get(properties, "incidentNumber")
    return Incident(
        id=incident_id,
        number=number if isinstance(number, int) else None,
        title=_text(_get(properties, "title")),
        severity=_one_of(_get(properties, "severity"), SEVERITIES),
        status=_one_of(_get(properties, "status"), _STATUSES),
        at=moment_of(_get(properties, "lastActivityTimeUtc"))
        or moment_of(_get(properties, "createdTimeUtc")),
        labels=_labels(_get(properties, "labels")),
        hosts=hosts,
        hashes=tuple(found.hashes),
        left_out=tuple(found.left_out),
        workspace_id=_text(_get(body, "workspaceId")).lower(),
        url=_text(_get(properties, "incidentUrl")) or None,
        observe=_observe(_get(body, "mode")),
    )


def _entities(
    body: Mapping[str, Any], incident: Mapping[str, Any], properties: Mapping[str, Any]
) -> Iterator[object]:
    for holder, name in (
        (properties, "relatedEntities"),
        (incident, "relatedEntities"),
        (body, "entities"),
    ):
        entities = _get(holder, name)
        if isinstance(entities, Sequence) and not isinstance(entities, str):
            yield from entities


def _read(entity: object, found: _Found, parser: HostParser, lookup_host_entities: bool) -> None:
    if not isinstance(entity, Mapping):
        found.left_out[LeftOut("unknown", "", "not an entity")] = None
        return
    raw_kind = _text(_get(entity, "kind") or _get(entity, "type"))
    inner = _get(entity, "properties")
    properties = inner if isinstance(inner, Mapping) else entity
    kind = _KINDS.get(raw_kind.lower())
    if kind is None:
        shown = _text(_get(properties, "friendlyName"))
        found.left_out[LeftOut(raw_kind or "unknown", shown, "not infrastructure")] = None
        return
    if kind == "FileHash":
        _read_hash(properties, found)
        return
    if kind == "Host" and not lookup_host_entities:
        name = _machine(properties)
        found.left_out[LeftOut(kind, name, "usually one of our own machines")] = None
        return
    values = [value for value in _values(kind, properties) if value]
    if not values:
        found.left_out[LeftOut(kind, "", "names no host")] = None
    for value in values:
        try:
            found.hosts[parser.parse(value)] = None
        except InputError as error:
            found.left_out[LeftOut(kind, value, error.message)] = None


def _values(kind: str, properties: Mapping[str, Any]) -> tuple[str, ...]:
    match kind:
        case "Ip":
            return (_text(_get(properties, "address")),)
        case "DnsResolution":
            return (_text(_get(properties, "domainName")),)
        case "Url":
            return (_text(_get(properties, "url")),)
        case "Host":
            return (_machine(properties),)
        case _:
            senders = (_text(_get(properties, name)) for name in ("sender", "p1Sender", "p2Sender"))
            domains = (sender.rpartition("@")[2].strip("<> ") for sender in senders if sender)
            address = _text(_get(properties, "senderIP"))
            return tuple(dict.fromkeys((*domains, address)))


def _machine(properties: Mapping[str, Any]) -> str:
    name = _text(_get(properties, "hostName"))
    domain = _text(_get(properties, "dnsDomain"))
    return f"{name}.{domain}" if name and domain else name


def _read_hash(properties: Mapping[str, Any], found: _Found) -> None:
    value = _text(_get(properties, "hashValue") or _get(properties, "value")).lower()
    file_hash = file_hash_of(value)
    if file_hash is None:
        found.left_out[LeftOut("FileHash", value, "not an MD5, SHA-1 or SHA-256 hash")] = None
        return
    found.hashes[file_hash] = None


def _limited(found: _Found, allowlisted: Callable[[Host], str | None] | None) -> tuple[Host, ...]:
    hosts: list[Host] = []
    for host in found.hosts:
        entry = allowlisted(host) if allowlisted else None
        if entry is not None:
            reason = f"on the allow list ({entry})"
        elif len(hosts) >= MAX_HOSTS:
            reason = f"more than {MAX_HOSTS} hosts in one incident"
        else:
            hosts.append(host)
            continue
        found.left_out[LeftOut(host.kind, host.value, reason)] = None
    return tuple(hosts)


def _get(holder: Mapping[str, Any], name: str) -> Any:
    """Return a property whatever the case of its name; the exact spelling wins."""
    if name in holder:
        return holder[name]
    folded = name.lower()
    return next((v for k, v in holder.items() if isinstance(k, str) and k.lower() == folded), None)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _one_of(value: object, choices: Sequence[T]) -> T:
    """Return the choice that `value` names; the first and weakest when it names none."""
    folded = _text(value).lower()
    return next((choice for choice in choices if choice.lower() == folded), choices[0])


def _observe(mode: object) -> bool:
    """Return whether the caller wants nothing changed; a caller cannot ask for more than that."""
    if mode is None or mode == "act":
        return False
    if mode == "observe":
        return True
    raise InputError("`mode` must be act or observe.")


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    names = (_text(_get(label, "labelName")) for label in value if isinstance(label, Mapping))
    return tuple(name for name in names if name)
