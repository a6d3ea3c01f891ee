"""The HTTP contract as an OpenAPI 3.1 document, from one table of operations."""

from dataclasses import dataclass, field
from typing import Any, Final

from mdti import schemas
from mdti.schemas import SCHEMAS, Schema

FORMATS: Final = ("json", "html", "markdown", "stix")
QUERY: Final = frozenset({"ioc", "format", *schemas.OPTIONS})
"""What a look-up takes in its query."""

_ERRORS: Final = {
    400: "What was asked for cannot be looked up; the message says why.",
    401: "Nobody said who calls.",
    403: "The caller is not on the list.",
    404: "There is no such thing.",
    409: "This Idempotency-Key belongs to another request.",
    410: "It existed, and its time is over.",
    413: "More than one request may carry.",
    422: "The job failed; the error is what the synchronous call would have answered.",
    500: "The app failed; its log says why.",
    502: "Microsoft Graph did not answer as it should.",
    503: "A setting, the identity, the store or the time does not allow it; try again later.",
}
_ALWAYS: Final = (401, 403, 500, 503)
_WORK: Final = (400, 409, 413, 502)
_LATER: Final = {
    "description": "The answer is given later, at Location.",
    "headers": {
        "Location": {"schema": {"type": "string", "format": "uri"}, "required": True},
        "Retry-After": {"schema": {"type": "integer"}, "required": True},
    },
    "content": {"application/json": {"schema": schemas.ref("JobState")}},
}
_HEADERS: Final = (
    {
        "name": "Prefer",
        "in": "header",
        "description": "respond-async asks for 202 and an answer later (RFC 7240).",
        "schema": {"type": "string"},
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A second request with this key joins the job of the first.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `answers` are content types and schemas of its 200."""

    method: str
    path: str
    id: str
    summary: str
    answers: dict[str, Schema]
    body: Schema | None = None
    body_required: bool = True
    parameters: tuple[Schema, ...] = ()
    errors: tuple[int, ...] = ()
    later: bool = False
    security: list[dict[str, list[str]]] = field(
        default_factory=lambda: [{"key": []}, {"token": []}]
    )


def _query(name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _path(name: str, about: str) -> Schema:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _json(name: str) -> dict[str, Schema]:
    return {"application/json": schemas.ref(name)}


_LOOKUP: Final = {"anyOf": [schemas.ref("Lookup"), schemas.ref("Lookups")]}
_ANSWER: Final = {"anyOf": [*_LOOKUP["anyOf"], schemas.ref("Brief"), schemas.ref("FeedReport")]}
_PAGES: Final = {
    "text/html": {"type": "string"},
    "text/markdown": {"type": "string"},
    "application/stix+json;version=2.1": {"type": "object"},
}
_KEY_ONLY: Final[list[dict[str, list[str]]]] = [{"key": []}]
_LEGACY_ERRORS: Final = (400, 404, 413, 502)
_LEGACY_ANSWER: Final = {"text/plain": {"type": "string", "contentMediaType": "application/json"}}

OPERATIONS: Final = (
    Operation(
        "post",
        "/api/v1/lookups",
        "post_lookups",
        "Look up one IOC or up to a hundred.",
        {"application/json": _LOOKUP},
        body=schemas.ref("LookupRequest"),
        parameters=_HEADERS,
        errors=_WORK,
        later=True,
    ),
    Operation(
        "get",
        "/api/v1/lookups",
        "get_lookups",
        "Look up one IOC, as JSON, HTML, Markdown or STIX.",
        _json("Lookup") | _PAGES,
        parameters=(
            _query("ioc", SCHEMAS["LookupRequest"]["properties"]["ioc"], required=True),
            _query("format", schemas.one_of(*FORMATS)),
            *(_query(name, schema) for name, schema in schemas.OPTIONS.items()),
            *_HEADERS,
        ),
        errors=_WORK,
        later=True,
    ),
    Operation(
        "post",
        "/api/v1/incidents",
        "post_incidents",
        "Say what to do with a Sentinel incident.",
        _json("Brief"),
        body=schemas.ref("IncidentRequest"),
        parameters=_HEADERS,
        errors=_WORK,
        later=True,
    ),
    Operation(
        "get",
        "/api/v1/jobs/{id}",
        "get_job",
        "Give the answer to a request that was answered with 202.",
        {"application/json": _ANSWER},
        parameters=(_path("id", "The last part of Location."),),
        errors=(404, 410, 422),
        later=True,
    ),
    Operation(
        "get",
        "/api/v1/actors",
        "get_actors",
        "List the intel profiles.",
        _json("Profiles"),
        errors=(502,),
    ),
    Operation(
        "get",
        "/api/v1/actors/{name}",
        "get_actor",
        "Give one intel profile by its title or an alias.",
        _json("Profile"),
        parameters=(_path("name", "Title or alias, in any case."),),
        errors=(404, 502),
    ),
    Operation(
        "get",
        "/api/v1/feeds",
        "get_feeds",
        "List the feeds.",
        _json("Feeds"),
    ),
    Operation(
        "get",
        "/api/v1/feeds/{feed}",
        "get_feed",
        "Give one feed with the report of its last run.",
        _json("Feed"),
        parameters=(_path("feed", "<source>-to-<destination>"),),
        errors=(404,),
    ),
    Operation(
        "post",
        "/api/v1/feeds/{feed}/runs",
        "post_feed_run",
        "Run a feed, or join the run that is under way; the job's answer is the report.",
        {},
        body=schemas.ref("FeedRequest"),
        body_required=False,
        parameters=(_path("feed", "<source>-to-<destination>"), *_HEADERS),
        errors=(400, 404, 409, 413),
        later=True,
    ),
    Operation(
        "get",
        "/api/v1/status",
        "get_status",
        "Try everything that the app needs, and say what to do where it fails.",
        _json("Status"),
    ),
    Operation(
        "get",
        "/api/health",
        "get_health",
        "Say that the process lives.",
        _json("Health"),
        security=[],
    ),
    Operation(
        "get",
        "/api/openapi.json",
        "get_openapi",
        "Give this document.",
        {"application/json": {"type": "object"}},
    ),
    Operation(
        "get",
        "/api/MDTIActor",
        "legacy_get",
        'List "actor, artifact" texts; only while LEGACY_ROUTE is true.',
        _LEGACY_ANSWER,
        parameters=(_query("item", {"type": "string"}, required=True),),
        errors=_LEGACY_ERRORS,
        security=_KEY_ONLY,
    ),
    Operation(
        "post",
        "/api/MDTIActor",
        "legacy_post",
        'List "actor, artifact" texts; only while LEGACY_ROUTE is true.',
        _LEGACY_ANSWER,
        body=schemas.thing("The IOC.", item=schemas.text()),
        errors=_LEGACY_ERRORS,
        security=_KEY_ONLY,
    ),
)


def document() -> dict[str, Any]:
    """Return the contract."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MDTI Actor Lookup",
            "version": "1",
            "description": "From an IOC or a Sentinel incident to the threat actors behind it.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-functions-key",
                    "description": "Where Easy Auth is off, and always for MDTIActor.",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where Easy Auth is on: of a caller in MDTI_ALLOWED_CALLERS.",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in operation.answers.items()}
    responses: dict[str, Any] = {}
    if content:
        responses["200"] = {"description": "The answer.", "content": content}
    if operation.later:
        responses["202"] = _LATER
    guarded = _ALWAYS if operation.security else ()
    for status in sorted({*operation.errors, *guarded}):
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": schemas.ref("Error")}},
        }
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": operation.security,
        "responses": responses,
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body:
        body = {"application/json": {"schema": operation.body}}
        described["requestBody"] = {"required": operation.body_required, "content": body}
    return described
