"""The Sentinel incidents of the sandbox: what `arm` and the connector read and write.

An incident is kept as ARM shows it. Every change gives it a fresh ETag, a comment too, because in
the service comments are a known cause of conflicts. Limits are those of the service: 30,000
characters per comment, 100 comments per incident (contracts: Sentinel service limits).
"""

import copy
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_COMMENT = 30_000
MAX_COMMENTS = 100
PLAYBOOK_CLIENT_ID = "5a7d0b0e-0000-4000-8000-00000000a002"
"""The application id of the playbooks' identity; tokens for it come from `Sandbox.tokens`."""

SUBSCRIPTION = "5a7d0b0e-0000-4000-8000-00000000c001"
WORKSPACE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-sec/providers/"
    "Microsoft.OperationalInsights/workspaces/law-sec"
)
SEVERITIES = ("Informational", "Low", "Medium", "High")
STATUSES = ("New", "Active", "Closed")
_NAMESPACE = uuid.UUID("5a7d0b0e-0000-4000-8000-00000000c002")
_TRIGGER_ONLY = ("alerts", "bookmarks", "comments")
_CREATED = "2026-11-20T09:00:00Z"


class Refused(Exception):
    """The service says no: an HTTP status, a code and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Incident:
    """One incident; `comments` by their lower-case id, in the order of their creation."""

    id: str
    properties: dict[str, Any]
    entities: list[dict[str, Any]]
    version: int = 1
    comments: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last segment of the id, a GUID."""
        return self.id.rpartition("/")[2]

    @property
    def etag(self) -> str:
        """The ETag of this version."""
        return f'"{self.version:08x}-0000-0000-0000-000000000000"'

    def document(self) -> dict[str, Any]:
        """Return the incident as ARM shows it."""
        properties = copy.deepcopy(self.properties)
        properties["additionalData"]["commentsCount"] = len(self.comments)
        return {
            "id": self.id,
            "name": self.name,
            "etag": self.etag,
            "type": "Microsoft.SecurityInsights/Incidents",
            "properties": properties,
        }


class Incidents:
    """All incidents, safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: dict[str, Incident] = {}

    def add(
        self,
        title: str,
        entities: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        severity: str = "Medium",
        status: str = "New",
    ) -> Incident:
        """Create an incident with entities of a kind (`Ip`, `Url`, ...) and their properties.

        The same title gives the same id in every run.
        """
        name = str(uuid.uuid5(_NAMESPACE, title))
        root = f"{WORKSPACE}/providers/Microsoft.SecurityInsights"
        found = [
            {
                "id": f"{root}/Entities/{uuid.uuid5(_NAMESPACE, f'{title} {number}')}",
                "name": str(uuid.uuid5(_NAMESPACE, f"{title} {number}")),
                "type": "Microsoft.SecurityInsights/Entities",
                "kind": kind,
                "properties": dict(properties),
            }
            for number, (kind, properties) in enumerate(entities)
        ]
        nobody = dict.fromkeys(("objectId", "email", "assignedTo", "userPrincipalName"))
        incident = Incident(
            id=f"{root}/Incidents/{name}",
            entities=found,
            properties={
                "title": title,
                "severity": severity,
                "status": status,
                "owner": nobody,
                "labels": [],
                "createdTimeUtc": _CREATED,
                "firstActivityTimeUtc": _CREATED,
                "lastActivityTimeUtc": _CREATED,
                "lastModifiedTimeUtc": _CREATED,
                "incidentNumber": 4_711 + len(self._all),
                "additionalData": {"alertsCount": 1, "bookmarksCount": 0, "commentsCount": 0},
                "providerName": "Azure Sentinel",
            },
        )
        with self._lock:
            self._all[incident.id.lower()] = incident
        return incident

    def adopt(self, body: Mapping[str, Any]) -> Incident:
        """Take over the incident in a trigger's body, with its entities."""
        given = copy.deepcopy(body["object"])
        properties = given["properties"]
        entities = properties.pop("relatedEntities", [])
        for name in _TRIGGER_ONLY:
            properties.pop(name, None)
        incident = Incident(id=given["id"], properties=properties, entities=entities)
        with self._lock:
            self._all[incident.id.lower()] = incident
        return incident

    def trigger_body(self, incident: Incident, *, entities: bool = True) -> dict[str, Any]:
        """Return what the Sentinel trigger hands a playbook; `entities` may not be there yet."""
        with self._lock:
            document = incident.document()
            related = copy.deepcopy(incident.entities) if entities else []
            document["properties"] |= {name: [] for name in _TRIGGER_ONLY}
            document["properties"]["relatedEntities"] = related
        return {
            "eventUniqueId": str(uuid.uuid5(_NAMESPACE, incident.id)),
            "objectSchemaType": "Incident",
            "objectEventType": "Create",
            "workspaceInfo": {
                "SubscriptionId": SUBSCRIPTION,
                "ResourceGroupName": "rg-sec",
                "WorkspaceName": "law-sec",
            },
            "workspaceId": "5a7d0b0e-0000-4000-8000-00000000c003",
            "object": document,
        }

    def get(self, incident_id: object) -> Incident:
        """Return the incident with an ARM id in any case; raises `Refused` 404."""
        with self._lock:
            incident = self._all.get(str(incident_id).lower().rstrip("/"))
        if incident is None:
            raise Refused(404, "NotFound", "Case was not found.")
        return incident

    def change(self, incident: Incident, properties: Mapping[str, Any]) -> None:
        """Change some properties, as an analyst does in the portal; raises `Refused` 400."""
        for name, allowed in (("severity", SEVERITIES), ("status", STATUSES)):
            if name in properties and properties[name] not in allowed:
                raise Refused(400, "BadRequest", f"{properties[name]!r} is no {name}.")
        with self._lock:
            incident.properties.update(properties)
            incident.version += 1

    def tag(self, incident: Incident, tags: Sequence[str]) -> None:
        """Add labels that are not there yet."""
        with self._lock:
            present = {label["labelName"] for label in incident.properties["labels"]}
            added = [
                {"labelName": tag, "labelType": "User"}
                for tag in dict.fromkeys(tags)
                if tag not in present
            ]
            labels = [*incident.properties["labels"], *added]
        self.change(incident, {"labels": labels})

    def replace(self, incident: Incident, body: Mapping[str, Any]) -> None:
        """Write an incident as ARM's PUT does: writable fields that are absent are emptied.

        Raises `Refused` 409 for a stale ETag.
        """
        with self._lock:
            if body.get("etag", incident.etag) != incident.etag:
                message = f"Newer version of resource '{incident.name}' exists. Data was not saved"
                raise Refused(409, "Conflict", message)
            given = body["properties"]
            missing = {"title", "severity", "status"} - set(given)
            if missing:
                raise Refused(400, "BadRequest", f"Required: {', '.join(sorted(missing))}.")
            emptied: dict[str, Any] = {"labels": [], "owner": {}, "description": None}
            self.change(incident, {**emptied, **given})

    def comment(
        self, incident: Incident, comment_id: str, message: object, *, author: str
    ) -> tuple[dict[str, Any], bool]:
        """Write a comment; return it and whether it is new.

        Raises `Refused`: 400 beyond the limits, 403 for the comment of another author.
        """
        if not isinstance(message, str) or not message:
            raise Refused(400, "BadRequest", "A comment needs a message.")
        if len(message.encode("utf-16-le")) // 2 > MAX_COMMENT:
            raise Refused(400, "BadRequest", f"A comment has at most {MAX_COMMENT} characters.")
        with self._lock:
            known = incident.comments.get(comment_id.lower())
            if known and known["properties"]["author"]["objectId"] != author:
                raise Refused(403, "Forbidden", "Only its author can change a comment.")
            if known is None and len(incident.comments) >= MAX_COMMENTS:
                raise Refused(400, "BadRequest", f"At most {MAX_COMMENTS} comments.")
            incident.version += 1
            comment = {
                "id": f"{incident.id}/Comments/{comment_id}",
                "name": comment_id,
                "etag": incident.etag,
                "type": "Microsoft.SecurityInsights/Incidents/comments",
                "properties": {
                    "message": message,
                    "createdTimeUtc": _CREATED,
                    "lastModifiedTimeUtc": _CREATED,
                    "author": {
                        "objectId": author,
                        "email": None,
                        "name": author,
                        "userPrincipalName": None,
                    },
                },
            }
            incident.comments[comment_id.lower()] = comment
        return comment, known is None
