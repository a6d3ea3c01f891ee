"""Microsoft Sentinel: its incidents in ARM, and the Logic Apps connector in front of them.

    arm        GET|PUT  {incident}                  POST {incident}/entities
               GET      {incident}/comments         GET|PUT {incident}/comments/{guid}
    sentinel   POST     /Incidents                  get an incident
               PUT      /Incidents                  patch severity, status and owner; add tags
               POST     /Incidents/Comment          a comment with an id of the service's choice
               POST     /entities/{kind}            the entities of one kind out of a list

Both ask for a token of the ARM audience; its application is the author of what it writes.
"""

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mdti.sandbox.identity import Tokens
from mdti.sandbox.incidents import Incident, Incidents, Refused
from mdti.sandbox.wire import Reply, Request, error_reply, json_reply

AUDIENCE = "https://management.azure.com"
API_VERSIONS = frozenset({"2025-06-01", "2025-09-01"})
_INCIDENT_SEGMENTS = 12
_ENTITIES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "ip": ("Ip", "IPs", {"Address": "address"}),
    "url": ("Url", "URLs", {"Url": "url"}),
    "host": ("Host", "Hosts", {"HostName": "hostName", "DnsDomain": "dnsDomain"}),
    "dnsresolution": ("DnsResolution", "Dnsresolutions", {"DomainName": "domainName"}),
    "filehash": ("FileHash", "Filehashes", {"Value": "hashValue", "Algorithm": "algorithm"}),
    "account": ("Account", "Accounts", {"Name": "accountName"}),
}


class _Sentinel(ABC):
    """What both doors share: the caller's token, and answers for what is refused."""

    def __init__(self, incidents: Incidents, tokens: Tokens) -> None:
        self._incidents = incidents
        self._tokens = tokens
        self.read_only: set[str] = set()
        """Applications that hold a reader's role and may not write."""

    def settings(self, base_url: str) -> Mapping[str, str]:  # noqa: ARG002 - every vendor's
        """Return nothing: only playbooks come here."""
        return {}

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        verdict = self._tokens.judge(request.headers.get("authorization"), AUDIENCE)
        if verdict.word != "valid":
            message = "The access token is missing or is not for this audience."
            return error_reply(401, "InvalidAuthenticationToken", message, verdict=verdict.word)
        try:
            return self._answer(request, str(verdict.claims["appid"]))
        except Refused as refused:
            return error_reply(refused.status, refused.code, str(refused), verdict="valid")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return error_reply(400, "BadRequest", f"Unreadable body: {error}", verdict="valid")

    @abstractmethod
    def _answer(self, request: Request, caller: str) -> Reply: ...

    def _may_write(self, caller: str) -> None:
        if caller in self.read_only:
            message = f"The client '{caller}' does not have authorization to perform this action."
            raise Refused(403, "AuthorizationFailed", message)


class Arm(_Sentinel):
    """`https://management.azure.com`, as far as incidents go."""

    name = "arm"

    def _answer(self, request: Request, caller: str) -> Reply:
        if request.option("api-version") not in API_VERSIONS:
            raise Refused(400, "InvalidApiVersionParameter", "The api-version is not supported.")
        segments = request.segments
        incident = self._incidents.get("/" + "/".join(segments[:_INCIDENT_SEGMENTS]))
        rest = [segment.lower() for segment in segments[_INCIDENT_SEGMENTS:]]
        match request.method, rest:
            case "GET", []:
                return json_reply(incident.document(), verdict="valid")
            case "PUT", []:
                self._may_write(caller)
                self._incidents.replace(incident, request.json())
                return json_reply(incident.document(), verdict="valid")
            case "POST", ["entities"]:
                return json_reply(_with_counts(incident), verdict="valid")
            case "GET", ["comments"]:
                newest_first = list(reversed(incident.comments.values()))
                return json_reply({"value": newest_first}, verdict="valid")
            case "GET", ["comments", comment_id]:
                if comment_id not in incident.comments:
                    raise Refused(404, "NotFound", "Comment was not found.")
                return json_reply(incident.comments[comment_id], verdict="valid")
            case "PUT", ["comments", comment_id]:
                self._may_write(caller)
                name = str(uuid.UUID(comment_id))
                message = request.json()["properties"]["message"]
                comment, new = self._incidents.comment(incident, name, message, author=caller)
                return json_reply(comment, status=201 if new else 200, verdict="valid")
            case _:
                raise Refused(404, "NotFound", "No such operation.")


class Connector(_Sentinel):
    """The `azuresentinel` connector."""

    name = "sentinel"

    def _answer(self, request: Request, caller: str) -> Reply:
        path = [segment.lower() for segment in request.segments]
        match request.method, path:
            case "POST", ["entities", kind] if kind in _ENTITIES:
                return json_reply(_of_kind(kind, request.json()), verdict="valid")
            case "POST", ["incidents"]:
                incident = self._incidents.get(request.json()["incidentArmId"])
                return json_reply(incident.document(), verdict="valid")
            case "PUT", ["incidents"]:
                self._may_write(caller)
                return json_reply(self._patch(request.json()), verdict="valid")
            case "POST", ["incidents", "comment"]:
                self._may_write(caller)
                body = request.json()
                incident = self._incidents.get(body["incidentArmId"])
                comment, _ = self._incidents.comment(
                    incident, str(uuid.uuid4()), body["message"], author=caller
                )
                return json_reply(comment, verdict="valid")
            case _:
                raise Refused(404, "NotFound", "No such operation.")

    def _patch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        known = {"incidentArmId", "severity", "status", "owner", "ownerAction", "tagsToAdd"}
        unknown = set(body) - known
        if unknown:
            raise Refused(400, "BadRequest", f"Unknown fields: {sorted(unknown)}.")
        incident = self._incidents.get(body["incidentArmId"])
        changes = {name: body[name] for name in ("severity", "status") if name in body}
        if body.get("ownerAction") == "Unassign":
            changes["owner"] = {}
        elif "owner" in body:
            changes["owner"] = {"assignedTo": body["owner"]}
        tags = [tag["Tag"] for tag in body.get("tagsToAdd", {}).get("TagsToAdd", [])]
        self._incidents.change(incident, changes)
        self._incidents.tag(incident, tags)
        return incident.document()


def _with_counts(incident: Incident) -> dict[str, Any]:
    kinds = [entity["kind"] for entity in incident.entities]
    counts = [{"entityKind": kind, "count": kinds.count(kind)} for kind in dict.fromkeys(kinds)]
    return {"entities": incident.entities, "metaData": counts}


def _of_kind(kind: str, body: Any) -> dict[str, Any]:
    # The designer's expression gives an array, older templates send it as text.
    entities = json.loads(body) if isinstance(body, str) else body
    wanted, key, fields = _ENTITIES[kind]
    return {
        key: [
            {shown: entity["properties"].get(name) for shown, name in fields.items()}
            for entity in entities
            if entity["kind"] == wanted
        ]
    }
