"""What each route does: read the request, call one method of the app, write the answer."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import azure.functions as func

from mdti.app import App
from mdti.contract import (
    MAX_BODY,
    MAX_SYNCHRONOUS_SECONDS,
    lookup_answer,
    query_options,
    wants_later,
)
from mdti.errors import ApiError, InputError, NotFound
from mdti.feeds.service import FeedRequest, parse_feed
from mdti.http import answer, idempotency_key, job_url, json_answer, read_json
from mdti.job import Job, Submission, job_answer
from mdti.openapi import FORMATS, QUERY, document
from mdti.render import CONTENT_TYPES, render
from mdti.render.document import actor_document, brief_document
from mdti.settings import LEGACY_ROUTE
from mdti.status import status_document

_KEY_PARAMETERS = frozenset({"code", "clientId"})
"""Where the platform takes a function key from."""


class Routes:
    """The routes over one app; every method raises `MdtiError` for what it cannot answer."""

    def __init__(self, app: App) -> None:
        self.app = app

    def post_lookups(self, request: func.HttpRequest, queue: func.Out[str]) -> func.HttpResponse:
        """Look up the IOCs in the body, at once or later."""
        key = idempotency_key(request)
        asked = self.app.parse_lookup(read_json(request, limit=MAX_BODY))
        if asked.takes_long or _later(request):
            return self._accept("lookup", asked.to_json(), key, queue)
        return json_answer(lookup_answer(asked, self.app.look_up(asked)))

    def get_lookups(self, request: func.HttpRequest, queue: func.Out[str]) -> func.HttpResponse:
        """Look up the IOC in the query, as JSON or as something to read."""
        query = request.params
        if unknown := sorted(set(query) - QUERY - _KEY_PARAMETERS):
            raise InputError(f"Unknown parameter: {unknown[0][:40]!a}.")
        if "ioc" not in query:
            raise InputError("The parameter `ioc` is missing.")
        form = query.get("format", "json")
        if form not in FORMATS:
            raise InputError(f"`format` must be one of {', '.join(FORMATS)}.")
        key = idempotency_key(request)
        asked = self.app.parse_lookup({"ioc": query["ioc"], **query_options(query)})
        if form == "json" and (asked.takes_long or _later(request)):
            return self._accept("lookup", asked.to_json(), key, queue)
        if asked.takes_long:
            raise InputError(
                f"`format` must be json when `timeoutSeconds` is above {MAX_SYNCHRONOUS_SECONDS}."
            )
        lookups = self.app.look_up(asked)
        if form == "json":
            return json_answer(lookup_answer(asked, lookups))
        text = render(form, lookups, now=datetime.now(UTC))
        return answer(text.encode(errors="replace"), content_type=CONTENT_TYPES[form])

    def post_incidents(self, request: func.HttpRequest, queue: func.Out[str]) -> func.HttpResponse:
        """Return the brief for the incident in the body, at once or later."""
        key = idempotency_key(request)
        body = read_json(request, limit=MAX_BODY)
        incident = self.app.parse_incident(body)
        takes_long = self.app.settings.lookup.timeout_seconds > MAX_SYNCHRONOUS_SECONDS
        if isinstance(body, Mapping) and (takes_long or _later(request)):
            return self._accept("incident", body, key, queue)
        return json_answer(brief_document(self.app.brief(incident)))

    def get_job(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return the answer of a job, or that there is none yet."""
        job = self.app.jobs.get(request.route_params["id"])
        return self._job(job, self.app.jobs.result(job))

    def get_actors(self) -> func.HttpResponse:
        """Return all intel profiles."""
        return json_answer({"actors": [actor_document(actor) for actor in self.app.actors()]})

    def get_actor(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return one intel profile by its title or an alias."""
        return json_answer(actor_document(self.app.actor(request.route_params["name"])))

    def get_feeds(self) -> func.HttpResponse:
        """Return every feed with its last run."""
        return json_answer({"feeds": self.app.feeds()})

    def get_feed(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return one feed with its last run."""
        return json_answer(self.app.feed(request.route_params["feed"]))

    def post_feed_run(self, request: func.HttpRequest, queue: func.Out[str]) -> func.HttpResponse:
        """Run a feed later, or join the run that is under way; the job's answer is the report."""
        key = idempotency_key(request)
        body = read_json(request, limit=MAX_BODY) if request.get_body() else {}
        asked = parse_feed(request.route_params["feed"], body)
        self._location("")
        return self._accepted(self.app.submit_feed(asked, idempotency_key=key), queue)

    def get_status(self) -> func.HttpResponse:
        """Return the self-test."""
        return json_answer(status_document(self.app.status()))

    def get_openapi(self) -> func.HttpResponse:
        """Return the contract."""
        return json_answer(document())

    def legacy(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return `"actor, artifact"` texts as the predecessor did, each of them once.

        Its answer has no place for what could not be looked at, so an empty list is only given
        when nothing is missing. Plain text, because playbooks written for it count characters.
        """
        if not self.app.settings.get(LEGACY_ROUTE):
            raise NotFound("This route is switched off; LEGACY_ROUTE=true switches it on.")
        asked = self.app.parse_lookup({"ioc": _legacy_item(request)})
        (lookup,) = self.app.look_up(asked)
        rows = dict.fromkeys(
            f"{actor.name}, {evidence.host.value}"
            for actor in lookup.actors
            for evidence in actor.evidence
        )
        if lookup.gaps and not rows:
            raise ApiError(f"The look-up is incomplete: {lookup.gaps[0].reason}")
        return answer(json.dumps(list(rows)).encode(), content_type="text/plain")

    def run_job(self, job_id: str, queue: func.Out[str] | None = None) -> str:
        """Do the work of a job; returns its id and state. A job that is gone is nobody's loss.

        A feed that had no time for all of its work goes on in another job.
        """
        try:
            job = self.app.jobs.run(job_id, self.app.perform)
        except NotFound as error:
            return error.code
        following = self.app.follow(job)
        if following is not None and following.enqueue and queue is not None:
            queue.set(following.job.id)
        return f"{job.id} {job.state}"

    def run_feed(self, feed: str, queue: func.Out[str]) -> str:
        """Make the job of a feed's timer; returns its id and state."""
        submission = self.app.submit_feed(FeedRequest(feed=feed))
        if submission.enqueue:
            queue.set(submission.job.id)
        return f"{submission.job.id} {submission.job.state}"

    def daily(self) -> str:
        """Delete what is over and read the intel profiles anew."""
        self.app.sweep()
        self.app.refresh_index()
        return "done"

    def _accept(
        self, kind: str, request: Mapping[str, Any], key: str | None, queue: func.Out[str]
    ) -> func.HttpResponse:
        self._location("")  # A wrong WEBSITE_HOSTNAME is told before there is a job.
        return self._accepted(self.app.jobs.submit(kind, request, idempotency_key=key), queue)

    def _accepted(self, submission: Submission, queue: func.Out[str]) -> func.HttpResponse:
        if submission.enqueue:
            queue.set(submission.job.id)
        response = self._job(submission.job, None)
        response.headers["Preference-Applied"] = "respond-async"
        return response

    def _job(self, job: Job, result: bytes | None) -> func.HttpResponse:
        status, headers, body = job_answer(job, result)
        more = {name: value for name, value in headers.items() if name != "Content-Type"}
        if status == HTTPStatus.ACCEPTED:
            more["Location"] = self._location(job.id)
        return answer(body, status=status, content_type=headers["Content-Type"], headers=more)

    def _location(self, job_id: str) -> str:
        return job_url(self.app.settings.raw("WEBSITE_HOSTNAME"), job_id)


def _later(request: func.HttpRequest) -> bool:
    return wants_later(request.headers.get("Prefer"))


def _legacy_item(request: func.HttpRequest) -> object:
    item: object = request.params.get("item")
    if item is None and request.get_body():
        body = read_json(request, limit=MAX_BODY)
        item = body.get("item") if isinstance(body, Mapping) else None
    if item is None:
        raise InputError("Give the IOC as `item`, in the query or in a JSON body.")
    return item
