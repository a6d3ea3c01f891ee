"""One job, its JSON form, and what the status route answers for it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple

from mdti.errors import InputError, MdtiError, TooManyItems

JobState = Literal["queued", "running", "succeeded", "failed"]

MAX_REQUEST = 1024 * 1024
"""Most bytes of a request as JSON."""

RETRY_AFTER = 10
"""Seconds a caller is asked to wait between two looks; what Durable Functions asks for."""

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work and how far it got.

    `started` is when the latest attempt began; `status_code` and `content_type` belong to the
    result. Times are UTC.
    """

    id: str
    kind: str
    request: Mapping[str, Any]
    state: JobState
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    status_code: int | None = None
    content_type: str | None = None

    @property
    def is_finished(self) -> bool:
        """True when there is a result."""
        return self.state in ("succeeded", "failed")

    def to_json(self) -> dict[str, Any]:
        """Return the job as it is stored."""
        times = {name: iso(getattr(self, name)) for name in ("created", "started", "finished")}
        return asdict(self) | {"request": dict(self.request)} | times

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Job":
        """Return the job that `to_json` described."""
        # Another version of the app may have written fields that this one does not know.
        known = {
            field.name: document[field.name] for field in fields(cls) if field.name in document
        }
        for name in ("created", "started", "finished"):
            if known[name] is not None:
                known[name] = datetime.fromisoformat(known[name])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was asked for.

    `joined`: it was there already. `enqueue`: a message must be sent for it, because it is new, or
    because it still waits after a minute and its message may never have left.
    """

    job: Job
    joined: bool
    enqueue: bool


class Answer(NamedTuple):
    """What a job's status route answers; the door adds an absolute `Location` to a 202."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def job_answer(job: Job, result: bytes | None) -> Answer:
    """Return what the status route answers for a job and `Jobs.result` of it.

    202 while it runs; then the answer that the synchronous call would have given; 422 instead of
    the status of a failure, because Logic Apps would repeat a 5xx.
    """
    if result is None:
        document = {"id": job.id, "status": job.state}
        headers = {"Content-Type": JSON, "Retry-After": str(RETRY_AFTER)}
        return Answer(202, headers, json.dumps(document).encode())
    headers = {"Content-Type": job.content_type or JSON}
    if job.state == "failed" or job.status_code is None:
        return Answer(422, headers, result)
    return Answer(job.status_code, headers, result)


def check_size(request: Mapping[str, Any]) -> None:
    """Raise TooManyItems when the request is larger than `MAX_REQUEST`."""
    try:
        text = json.dumps(request, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise InputError("The request holds a number that JSON does not have.") from None
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_REQUEST:
        raise TooManyItems(f"The request has {size} bytes; at most {MAX_REQUEST}.")


def failure(error: MdtiError) -> tuple[int, str, bytes]:
    """Return status, content type and body of an error, as a job's result."""
    return error.http_status, JSON, json.dumps(error.to_json(), ensure_ascii=False).encode()


def iso(moment: datetime | None) -> str | None:
    """Return a UTC time as ISO 8601 with `Z`."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
