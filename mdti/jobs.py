"""Jobs: the only background runner, for HTTP 202, timers and continuations.

    submit -> queued -> run -> running -> succeeded | failed -> (lifetime) expired -> forgotten

A queue message carries a job's id alone; request and result are in the store. Delivery is at least
once: `run` takes a lease, does not repeat a finished job, and repeats one whose runner died.

    jobs/<id>/job            the job as JSON, with its request; a tombstone once it has expired
    jobs/<id>/result         the body of the answer
    jobs/due/<time>-<id>     when something is to be swept; sorted, so that a sweep is short
    jobs/current/<kind>/<name>   the id of the one job of that name that may be under way
"""

import json
import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from mdti.errors import (
    Conflict,
    Expired,
    InputError,
    LeaseLost,
    MdtiError,
    NotFound,
    StoreError,
    WriteConflict,
)
from mdti.job import JSON, Job, Submission, check_size, failure, iso
from mdti.store.base import Lease, Store, Stored

MAX_IDEMPOTENCY_KEY = 256
"""Longest `Idempotency-Key` in characters; a Logic App run's name has 36 or so."""

LONGEST_RUN = timedelta(minutes=35)
"""A job that began longer ago was cut off: host.json ends a function after 30 minutes."""

REMEMBERED = timedelta(days=7)
"""How long an expired job is still told from one that never was."""

_LEASE_SECONDS = 60
_BEAT_SECONDS = 20.0
_RESEND = timedelta(minutes=1)
_NAMESPACE = uuid5(NAMESPACE_URL, "mdti-actor-lookup/jobs")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Perform = Callable[[Job], tuple[int, str, bytes]]
"""Does a job's work: status, content type and body of the answer."""

_log = logging.getLogger(__name__)


class Jobs:
    """The jobs in a store.

    `clock` gives the time in UTC, `new_id` a random id; `wait` is how the thread that keeps a
    running job's lease pauses: it returns True when the job is over.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        lifetime: timedelta = timedelta(hours=24),
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._lifetime = lifetime
        self._wait = wait

    def submit(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        only: str | None = None,
    ) -> Submission:
        """Store a job, or join the one that the same key made, or the one of that name under way.

        The id is UUIDv5 of kind and key, else random; an expired job of that id is replaced. `only`
        names what must not be under way twice, such as a feed. Raises TooManyItems for more than
        1 MiB, Conflict when the key was used with another request.
        """
        check_size(request)
        job_id = str(self._new_id()) if idempotency_key is None else _id(kind, idempotency_key)
        if (known := self._living(job_id)) is not None:
            return self._join(known, request)
        if only is not None and (current := self.running(kind, only)) is not None:
            return self._joined(current)
        job = Job(job_id, kind, request, "queued", self._clock())
        try:
            self._create(job)
        except WriteConflict:
            return self._join(self.get(job_id), request)
        if only is not None and (winner := self._claim(job, only)) is not None:
            self._store.delete(_job_key(job_id))
            return self._joined(winner)
        return Submission(job, joined=False, enqueue=True)

    def get(self, job_id: str) -> Job:
        """Return the job; NotFound for unknown and malformed ids, Expired after its lifetime.

        A job that was cut off counts as failed, unless it is run again.
        """
        job, _ = self._load(job_id)
        cut_off = job.started is not None and self._clock() - job.started > LONGEST_RUN
        if job.state == "running" and cut_off:
            return replace(job, state="failed", status_code=500, content_type=JSON)
        return job

    def result(self, job: Job) -> bytes | None:
        """Return the body of a finished job's answer, or None while there is none."""
        if not job.is_finished:
            return None
        if job.finished is None:
            return failure(MdtiError("The work was cut off before it ended."))[2]
        stored = self._store.read(_result_key(job.id))
        if stored is None:
            raise StoreError(f"the result of job {job.id} is missing")
        return stored.body

    def running(self, kind: str, name: str) -> Job | None:
        """Return the job of that name that is queued or running, submitted with `only`."""
        return self._under_way(self._store.read(_current_key(kind, name)))

    def run(self, job_id: str, perform: Perform) -> Job:
        """Do the work of a job once and store what it answers: status, content type, body.

        Returns the job as it is afterwards: unchanged when it was finished or somebody else runs
        it. Whatever `perform` raises, or a status of 400 and more, makes it failed. Raises NotFound
        and Expired, and StoreError when the outcome could not be kept: deliver it again then.
        """
        job, _ = self._load(job_id)
        if job.is_finished:
            return job
        try:
            lease = self._store.lease(_job_key(job_id), seconds=_LEASE_SECONDS)
        except LeaseLost:
            return job
        with lease:
            try:
                return self._run_leased(job_id, perform, lease)
            except (LeaseLost, WriteConflict):
                _log.warning("job %s was taken over while it ran", job_id)
                return self.get(job_id)

    def sweep(self, *, limit: int = 100) -> int:
        """Remove what is over, oldest first and at most `limit` entries; return how many."""
        now = self._clock()
        done = 0
        for key in self._store.list_("jobs/due/"):
            due, _, job_id = key.removeprefix("jobs/due/").partition("-")
            if done >= limit or due >= _stamp(now):
                break
            self._retire(job_id, now)
            self._store.delete(key)
            done += 1
        return done

    def _run_leased(self, job_id: str, perform: Perform, lease: Lease) -> Job:
        job, etag = self._load(job_id)
        if job.is_finished:
            return job
        started = replace(job, state="running", started=self._clock(), attempts=job.attempts + 1)
        etag = self._write(started, lease=lease, if_match=etag)
        with self._beating(lease):
            status, content_type, body = _outcome(perform, started)
        self._store.write(_result_key(job_id), body, lease=lease)
        finished = replace(
            started,
            state="succeeded" if status < 400 else "failed",
            finished=self._clock(),
            status_code=status,
            content_type=content_type,
        )
        self._write(finished, lease=lease, if_match=etag)
        return finished

    @contextmanager
    def _beating(self, lease: Lease) -> Iterator[None]:
        over = threading.Event()

        def beat() -> None:
            while not self._wait(over, _BEAT_SECONDS):
                try:
                    lease.renew()
                except LeaseLost:
                    return
                except StoreError:
                    # Two more beats fit into the term.
                    _log.warning("the lease of a job could not be renewed")

        thread = threading.Thread(target=beat, name="job-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _under_way(self, pointer: Stored | None) -> Job | None:
        job = self._living(pointer.body.decode()) if pointer is not None else None
        return job if job is not None and not job.is_finished else None

    def _living(self, job_id: str) -> Job | None:
        try:
            return self.get(job_id)
        except NotFound:
            return None

    def _load(self, job_id: str) -> tuple[Job, str]:
        stored = self._store.read(_job_key(job_id)) if _ID.fullmatch(job_id) else None
        if stored is None:
            raise NotFound("There is no such job.")
        document = json.loads(stored.body)
        if "expired" in document:
            raise Expired("The job is older than its lifetime; submit it again.")
        job = Job.from_json(document)
        if self._clock() >= job.created + self._lifetime:
            raise Expired("The job is older than its lifetime; submit it again.")
        return job, stored.etag

    def _create(self, job: Job) -> None:
        # The entry for the sweep comes first: a job without one would stay for ever.
        self._store.write(_due_key(job.created + self._lifetime, job.id), b"")
        stored = self._store.read(_job_key(job.id))
        if stored is None:
            self._write(job, if_absent=True)
        elif self._living(job.id) is None:
            self._write(job, if_match=stored.etag)
        else:
            raise WriteConflict(f"job {job.id} exists")

    def _write(
        self,
        job: Job,
        *,
        lease: Lease | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        body = json.dumps(job.to_json()).encode()
        return self._store.write(
            _job_key(job.id), body, lease=lease, if_match=if_match, if_absent=if_absent
        )

    def _claim(self, job: Job, name: str) -> Job | None:
        """Make the job the current one of its name, or return the one that is."""
        key = _current_key(job.kind, name)
        while True:
            pointer = self._store.read(key)
            if (other := self._under_way(pointer)) is not None:
                return other
            try:
                if pointer is None:
                    self._store.write(key, job.id.encode(), if_absent=True)
                else:
                    self._store.write(key, job.id.encode(), if_match=pointer.etag)
            except WriteConflict:
                continue
            return None

    def _join(self, job: Job, request: Mapping[str, Any]) -> Submission:
        if json.dumps(job.request, sort_keys=True) != json.dumps(request, sort_keys=True):
            raise Conflict("This Idempotency-Key was used with another request.")
        return self._joined(job)

    def _joined(self, job: Job) -> Submission:
        waiting = job.state == "queued" and self._clock() - job.created > _RESEND
        return Submission(job, joined=True, enqueue=waiting)

    def _retire(self, job_id: str, now: datetime) -> None:
        """Bury the job if its lifetime is over, forget it if its tombstone's is."""
        stored = self._store.read(_job_key(job_id))
        if stored is None:
            return
        document = json.loads(stored.body)
        with suppress(WriteConflict):  # The same Idempotency-Key has just made the job anew.
            if "expired" not in document:
                if Job.from_json(document).created + self._lifetime > now:
                    return
                self._store.write(_due_key(now + REMEMBERED, job_id), b"")
                tombstone = json.dumps({"expired": iso(now)}).encode()
                self._store.write(_job_key(job_id), tombstone, if_match=stored.etag)
            elif datetime.fromisoformat(document["expired"]) + REMEMBERED <= now:
                self._store.delete(_job_key(job_id), if_match=stored.etag)
            else:
                return
            self._store.delete(_result_key(job_id))


def _id(kind: str, idempotency_key: str) -> str:
    if not (0 < len(idempotency_key) <= MAX_IDEMPOTENCY_KEY and idempotency_key.isprintable()):
        raise InputError(f"An Idempotency-Key is 1 to {MAX_IDEMPOTENCY_KEY} printable characters.")
    return str(uuid5(_NAMESPACE, f"{kind}\n{idempotency_key}"))


def _outcome(perform: Perform, job: Job) -> tuple[int, str, bytes]:
    try:
        return perform(job)
    except MdtiError as error:
        _log.warning("job %s (%s) failed: %s", job.id, job.kind, error.code)
        return failure(error)
    except Exception as error:
        frames = "".join(traceback.format_tb(error.__traceback__))
        # The message of an unforeseen error may hold anything, also a secret.
        _log.error("job %s (%s) failed: %s\n%s", job.id, job.kind, type(error).__name__, frames)
        return failure(MdtiError("The work failed for a reason that the log of the app names."))


def _job_key(job_id: str) -> str:
    return f"jobs/{job_id}/job"


def _result_key(job_id: str) -> str:
    return f"jobs/{job_id}/result"


def _current_key(kind: str, name: str) -> str:
    return f"jobs/current/{kind}/{name}"


def _due_key(due: datetime, job_id: str) -> str:
    return f"jobs/due/{_stamp(due)}-{job_id}"


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dt%H%M%S")
