"""JSON schemas (2020-12) of everything the HTTP contract sends and takes.

Every property of an answer is always there; one that may be null says so. Answers may get more
properties, so a reader should pass over those it does not know.
"""

from typing import Any, Final, get_args

from mdti.contract import MAX_IOCS
from mdti.entities import SEVERITIES
from mdti.incident_models import IncidentStatus
from mdti.ioc import MAX_TEXT
from mdti.job import JobState
from mdti.models import Confidence, EvidenceKind, HostKind, Role

Schema = dict[str, Any]


def text(about: str = "") -> Schema:
    """Return the schema of any text."""
    return {"type": "string"} | ({"description": about} if about else {})


def number(about: str, low: int | None = None, high: int | None = None) -> Schema:
    """Return the schema of a whole number."""
    limits = {"minimum": low, "maximum": high}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return {"type": "integer", "description": about, **given}


def one_of(*values: str) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(values)}


def list_of(items: Schema, about: str = "") -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | ({"description": about} if about else {})


def ref(name: str) -> Schema:
    """Return a reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def null_or(schema: Schema) -> Schema:
    """Return the schema of something that may be missing."""
    return {"anyOf": [schema, {"type": "null"}]}


def thing(about: str, **properties: Schema) -> Schema:
    """Return the schema of an object that has all these properties."""
    return {
        "type": "object",
        "description": about,
        "properties": properties,
        "required": list(properties),
    }


_TIME: Final = {"type": "string", "format": "date-time", "description": "UTC, ISO 8601 with Z"}
_FLAG: Final = {"type": "boolean"}
_SCORE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}
_ACTOR_NAME: Final = thing("An actor by name.", name=text(), profileId=null_or(text()))
_RESOLUTION: Final = {
    "from": text("the host that was asked about"),
    "to": text("the host it was seen with"),
    "recordType": text("A, AAAA or CNAME"),
    "firstSeen": _TIME,
    "lastSeen": _TIME,
}
_RAISE: Final = {"raise": _FLAG | {"description": "true when the incident should be escalated"}}
_IOC: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_TEXT,
    "description": "An IP address, a host name or a URL, also defanged.",
    "examples": ["evil.example", "198.51.100.7", "hxxps://evil[.]example/gate?id=1"],
}
OPTIONS: Final[dict[str, Schema]] = {
    "depth": number("How many resolutions to follow outward.", 0, 3),
    "lookbackDays": number("How old a resolution of the IOC may be; 0 means any age.", 0, 36_500),
    "maxHosts": number("Most hosts to reach.", 1, 5_000),
    "timeoutSeconds": number("Time for the whole answer; above 90 it comes later.", 1, 600),
}
_LOOKUP_REQUEST: Final = {
    "type": "object",
    "properties": {
        "ioc": _IOC,
        "iocs": {"type": "array", "items": _IOC, "minItems": 1, "maxItems": MAX_IOCS},
        **OPTIONS,
    },
    "oneOf": [{"required": ["ioc"]}, {"required": ["iocs"]}],
    "additionalProperties": False,
}
_INCIDENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 1_024},
        "properties": {"type": "object"},
    },
    "required": ["id", "properties"],
}
_INCIDENT_REQUEST: Final = {
    "type": "object",
    "description": "The body of Microsoft Sentinel's incident trigger, or its `object` alone; "
    "property names may have any case. With `mode` observe the brief changes nothing.",
    "properties": {"mode": null_or(one_of("act", "observe"))},
    "anyOf": [
        {"properties": {"object": _INCIDENT}, "required": ["object"]},
        _INCIDENT,
    ],
}

_FEED_REQUEST: Final = {
    "type": "object",
    "properties": {
        "depthDays": number("How many days back the source begins.", 1, 3_650),
        "minScore": number(
            "Lowest reputation of a host that is sent; holds until the feed runs with another.",
            0,
            100,
        ),
        "dryRun": _FLAG | {"description": "Count what would be done, and change nothing."},
        "full": _FLAG | {"description": "Read everything anew."},
    },
    "additionalProperties": False,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": thing(
        "What went wrong.",
        error=thing(
            "For machines a code, for people a message.",
            code=text(),
            message=text(),
            details={"type": "object", "description": "What to do, and what its support asks."},
        ),
    ),
    "Health": thing("The process lives.", status=one_of("ok")),
    "JobState": thing(
        "A job whose answer is at Location, as soon as there is one.",
        id=text(),
        status=one_of(*get_args(JobState)),
    ),
    "LookupRequest": _LOOKUP_REQUEST,
    "IncidentRequest": _INCIDENT_REQUEST,
    "Gap": thing(
        "Something that should have been looked at and was not.",
        host=null_or(text()),
        stage=text(),
        reason=text(),
    ),
    "Reputation": thing(
        "Microsoft's judgement of a host.",
        score=number("0 to 100", 0, 100),
        classification=text(),
        rules=list_of(
            thing(
                "A reason for it.",
                name=text(),
                description=text(),
                severity=text(),
                url=null_or(text()),
            )
        ),
    ),
    "Resolution": thing("One passive-DNS record.", **_RESOLUTION),
    "Evidence": thing(
        "Why a host is said to be an actor's, and how the IOC leads there.",
        actor=_ACTOR_NAME,
        host=text(),
        kind=one_of(*get_args(EvidenceKind)),
        text=text("what the source says"),
        url=null_or(text()),
        hops=_COUNT,
        weight=_SCORE,
        naming=number("how many actors this piece of evidence names", 1),
        path=list_of(ref("Resolution")),
    ),
    "Actor": thing(
        "An actor that the evidence points to.",
        name=text(),
        aliases=list_of(text()),
        profileId=null_or(text()),
        confidence=one_of(*get_args(Confidence)),
        score=_SCORE,
        escalate=_FLAG,
        qualifies=_FLAG | {"description": "strong enough, but for the margin to the next actor"},
        evidence=list_of(ref("Evidence")),
    ),
    "Host": thing(
        "What was learned of one host.",
        value=text(),
        kind=one_of(*get_args(HostKind)),
        hops=_COUNT,
        role=one_of(*get_args(Role)),
        degree=null_or(_COUNT),
        degreeAtLeast=_FLAG | {"description": "true when the degree is a lower bound"},
        expanded=_FLAG,
        reason=text(),
        provider=null_or(text()),
        lastSeen=null_or(_TIME),
        reputation=null_or(ref("Reputation")),
    ),
    "Lookup": thing(
        "Who is behind an IOC, how sure, and by which path.",
        ioc=thing("What was looked up.", value=text(), kind=one_of(*get_args(HostKind))),
        at=_TIME,
        reputation=null_or(ref("Reputation")),
        actors=list_of(ref("Actor")),
        hosts=list_of(ref("Host")),
        resolutions=list_of(ref("Resolution")),
        complete=_FLAG | {"description": "false when `gaps` says what is missing"},
        gaps=list_of(ref("Gap")),
        stats=thing(
            "What it cost.",
            requests=_COUNT,
            throttled=_COUNT,
            cacheHits=_COUNT,
            elapsedSeconds={"type": "number", "minimum": 0},
        ),
    ),
    "Lookups": thing("Several look-ups.", lookups=list_of(ref("Lookup"))),
    "Brief": thing(
        "What to do with an incident, decided.",
        actors=list_of(ref("Actor")),
        **_RAISE,
        severity=one_of(*SEVERITIES),
        status=one_of(*get_args(IncidentStatus)),
        tags=list_of(thing("A tag as Sentinel's connector takes it.", Tag=text())),
        comment=null_or(thing("A comment to write.", id=text(), html=text())),
        copilotPrompts=list_of(
            thing(
                "A question for Security Copilot.",
                actor=text(),
                commentId=text(),
                prompt=text(),
                fallbackHtml=text(),
            )
        ),
        exposure=list_of(
            thing(
                "Machines with a vulnerability that an actor uses.",
                actor=text(),
                cve=text(),
                machines=_COUNT,
                examples=list_of(text()),
            )
        ),
        huntingQueries=list_of(thing("A ready query.", title=text(), kql=text())),
        leftOut=list_of(
            thing("An entity not looked up.", kind=text(), value=text(), reason=text())
        ),
        hashMatches=list_of(
            thing(
                "A file hash that an intel profile lists.",
                hash=thing("The hash.", algorithm=text(), value=text()),
                actors=list_of(_ACTOR_NAME),
            )
        ),
        complete=_FLAG,
        gaps=list_of(ref("Gap")),
        lookups=list_of(ref("Lookup")),
        mode=one_of("act", "observe"),
    ),
    "Profile": thing(
        "What Microsoft publishes about an actor or a tool.",
        name=text(),
        aliases=list_of(text()),
        profileId=text(),
        kind=text(),
        origins=list_of(text()),
        targets=list_of(text()),
        firstActive=null_or(_TIME),
        summary=text(),
        description=text(),
        tradecraft=text(),
        url=null_or(text()),
    ),
    "Profiles": thing("All intel profiles.", actors=list_of(ref("Profile"))),
    "Status": thing(
        "The self-test.",
        healthy=_FLAG,
        checks=list_of(
            {
                "type": "object",
                "properties": {
                    "name": text(),
                    "state": one_of("ok", "warning", "failed"),
                    "message": text(),
                    "hint": text("what to do about it"),
                },
                "required": ["name", "state", "message"],
            }
        ),
    ),
    "FeedRequest": _FEED_REQUEST,
    "FeedReport": thing(
        "What one run of a feed did, and what became of everything that is wanted.",
        feed=text(),
        started=_TIME,
        finished=_TIME,
        read=_COUNT | {"description": "objects of the source"},
        accepted=_COUNT,
        unchanged=_COUNT,
        removed=_COUNT,
        skipped={"type": "object", "additionalProperties": _COUNT},
        rejected=list_of(thing("Refused by the destination.", value=text(), reason=text())),
        pending=_COUNT | {"description": "to be sent or decided by a later run"},
        awaitingApproval=_COUNT | {"description": "sent, until a person there decides"},
        overCap=_COUNT,
        cursor=null_or({"type": "object", "additionalProperties": text()}),
        complete=_FLAG | {"description": "false when something remains to be done"},
        error=null_or(
            thing("What a person mends.", code=text(), message=text(), details={"type": "object"})
        ),
    ),
    "Feed": thing(
        "One source into one destination.",
        name=text(),
        source=text(),
        destination=text(),
        preset=_FLAG,
        settings=list_of(text("the name of a setting it reads")),
        lastRun=null_or(ref("FeedReport")),
    ),
    "Feeds": thing("All feeds.", feeds=list_of(ref("Feed"))),
    "LegacyAnswer": list_of(text('"actor, artifact"')),
}
