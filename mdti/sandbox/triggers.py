"""The story's incidents, as the Logic Apps incident trigger of Sentinel sends them.

    invoice      the demo: one of every entity kind, a private address and a benign name among them
    oneActor     one name of Paper Drizzle
    threeActors  names of three actors
    ambiguous    a server that two actors share
    malicious    a malicious name that is nobody's
    none         honest names only, one of them on an address that once was an actor's
    private      inside addresses only
    empty        an incident without entities
    bare         the same, and the list of entities is missing altogether
    closed       `oneActor`, closed by an analyst

Shape: the trigger's published schema and recorded bodies; entity properties as the management SDK
spells them.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from mdti.sandbox.cast import LOADER_SHA256
from mdti.sandbox.incidents import SUBSCRIPTION, WORKSPACE

Entity = dict[str, Any]
WORKSPACE_ID = "5a7d0b0e-0000-4000-8000-00000000b001"
_SPACE = uuid.UUID("5a7d0b0e-0000-5000-8000-00000000d001")


def incident(name: str, now: datetime) -> dict[str, Any]:
    """Return the trigger's body of a named incident that came up minutes before `now`.

    Raises `KeyError` for a name that the module's head does not list.
    """
    title, entities = _INCIDENTS[name]
    created = now - timedelta(minutes=12)
    properties = {
        "title": title,
        "description": "",
        "severity": "Low" if name == "none" else "Medium",
        "status": "Closed" if name == "closed" else "New",
        "owner": {"objectId": None, "email": None, "assignedTo": None, "userPrincipalName": None},
        "labels": [],
        "firstActivityTimeUtc": _stamp(created - timedelta(hours=3)),
        "lastActivityTimeUtc": _stamp(created - timedelta(minutes=5)),
        "lastModifiedTimeUtc": _stamp(created),
        "createdTimeUtc": _stamp(created),
        "incidentNumber": 4711 + list(_INCIDENTS).index(name),
        "additionalData": {
            "alertsCount": 1,
            "bookmarksCount": 0,
            "commentsCount": 0,
            "alertProductNames": ["Azure Sentinel"],
            "tactics": ["CommandAndControl"],
            "techniques": ["T1071"],
        },
        "relatedAnalyticRuleIds": [_arm(f"alertRules/{_guid(f'rule {name}')}")],
        "incidentUrl": f"https://portal.example/incidents/{_guid(name)}",
        "providerName": "Microsoft XDR",
        "providerIncidentId": "4711",
        "alerts": [_alert(name)],
        "bookmarks": [],
        "comments": [],
    }
    if name == "closed":
        properties |= {"classification": "BenignPositive", "classificationComment": "Known test"}
    if name != "bare":
        properties["relatedEntities"] = [make() for make in entities]
    return {
        "eventUniqueId": _guid(f"event {name}"),
        "objectSchemaType": "Incident",
        "objectEventType": "Create",
        "workspaceInfo": {
            "SubscriptionId": SUBSCRIPTION,
            "ResourceGroupName": WORKSPACE.split("/")[4],
            "WorkspaceName": WORKSPACE.rpartition("/")[2],
        },
        "workspaceId": WORKSPACE_ID,
        "object": {
            "id": _arm(f"Incidents/{_guid(name)}"),
            "name": _guid(name),
            "etag": '"0300bf09-0000-0000-0000-5c37296e0000"',
            "type": "Microsoft.SecurityInsights/Incidents",
            "properties": properties,
        },
    }


def entity(kind: str, friendly: str, properties: Mapping[str, Any]) -> Entity:
    """Return an entity of an incident."""
    name = _guid(f"{kind} {friendly}")
    return {
        "id": _arm(f"Entities/{name}"),
        "name": name,
        "type": "Microsoft.SecurityInsights/Entities",
        "kind": kind,
        "properties": {**properties, "friendlyName": friendly},
    }


def names() -> tuple[str, ...]:
    """Return the names of all incidents."""
    return tuple(_INCIDENTS)


def _address(value: str) -> Entity:
    return entity("Ip", value, {"address": value})


def _domain(value: str) -> Entity:
    return entity("DnsResolution", value, {"domainName": value})


def _url(value: str) -> Entity:
    return entity("Url", value, {"url": value})


def _machine() -> Entity:
    properties = {
        "hostName": "wks-12",
        "dnsDomain": "corp.lanternfoods.example",
        "ntDomain": "LANTERN",
        "osFamily": "Windows",
    }
    return entity("Host", "wks-12", properties)


def _file_hash() -> Entity:
    friendly = f"{LOADER_SHA256}(SHA256)"
    return entity("FileHash", friendly, {"algorithm": "SHA256", "hashValue": LOADER_SHA256})


def _mail() -> Entity:
    properties = {
        "recipient": "buyer@lanternfoods.example",
        "p1Sender": "accounts@courier-desk.example",
        "p1SenderDomain": "courier-desk.example",
        "p2Sender": "accounts@courier-desk.example",
        "p2SenderDisplayName": "Accounts",
        "p2SenderDomain": "courier-desk.example",
        "senderIP": "198.51.100.26",
        "subject": "Invoice 7781 is overdue",
        "networkMessageId": _guid("mail"),
        "internetMessageId": "<7781@courier-desk.example>",
    }
    return entity("MailMessage", "Invoice 7781 is overdue", properties)


Maker = Callable[[], Entity]
_INKWELL: Maker = lambda: _url("https://invoice-inkwell.example/statement/7781")  # noqa: E731
_INCIDENTS: Mapping[str, tuple[str, Sequence[Maker]]] = {
    "invoice": (
        "Beaconing to a rare host after an invoice was opened",
        (
            lambda: _address("198.51.100.23"),
            lambda: _domain("telemetry-cache.example"),
            _INKWELL,
            _machine,
            _file_hash,
            _mail,
            lambda: _address("10.20.30.40"),
            lambda: _domain("www.lanternfoods.example"),
        ),
    ),
    "oneActor": ("Download from a rare host", (_INKWELL,)),
    "threeActors": (
        "Several rare hosts from one subnet",
        (
            _INKWELL,
            lambda: _domain("vault-key.example"),
            lambda: _domain("edge.copper-relay.example"),
        ),
    ),
    "ambiguous": ("Rare host", (lambda: _domain("lighthouse-broker.example"),)),
    "malicious": ("Click on a prize", (lambda: _url("https://free-prize-wheel.example/spin"),)),
    "none": (
        "Unusual volume to known sites",
        (lambda: _domain("weather-today.example"), lambda: _domain("orchard-bakery.example")),
    ),
    "private": ("Port scan inside", (lambda: _address("10.20.30.40"), _machine)),
    "empty": ("Sign-in risk", ()),
    "bare": ("Sign-in risk", ()),
    "closed": ("Download from a rare host", (_INKWELL,)),
}


def _alert(name: str) -> Entity:
    identifier = _guid(f"alert {name}")
    return {
        "id": _arm(f"Entities/{identifier}"),
        "name": identifier,
        "type": "Microsoft.SecurityInsights/Entities",
        "kind": "SecurityAlert",
        "properties": {"systemAlertId": identifier},
    }


def _arm(below: str) -> str:
    return f"{WORKSPACE}/providers/Microsoft.SecurityInsights/{below}"


def _guid(text: str) -> str:
    return str(uuid.uuid5(_SPACE, text))


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}Z"
