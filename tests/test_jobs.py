"""What callers, retries, crashes and the clock may do to a job."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from queue import Queue
from typing import Any
from uuid import UUID

import pytest

from mdti.errors import Conflict, Expired, InputError, LeaseLost, NotFound, StoreError, TooManyItems
from mdti.job import MAX_REQUEST, RETRY_AFTER, Job, job_answer
from mdti.jobs import LONGEST_RUN, REMEMBERED, Jobs
from mdti.store.base import Store
from tests.store.backends import Backend, Clock

ANSWER = (200, "application/json", b'{"actors": []}')
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Bench:
    """Jobs over one backend, with a clock and ids that are told."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.clock = Clock()
        self.ids: Iterator[UUID] = (UUID(int=number) for number in range(1, 100))
        self.jobs = self.another(backend.store)

    def another(
        self,
        store: Store,
        *,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> Jobs:
        return Jobs(store, clock=self.clock, new_id=lambda: next(self.ids), wait=wait)

    def stored_keys(self) -> list[str]:
        return list(self.backend.store.list_(""))


@pytest.fixture
def bench(backend: Backend) -> Bench:
    return Bench(backend)


def give(_: Job) -> tuple[int, str, bytes]:
    return ANSWER


def never(_: Job) -> tuple[int, str, bytes]:
    raise AssertionError("the work was done although it must not be")


def test_a_job_goes_from_queued_over_running_to_its_answer(bench: Bench) -> None:
    submitted = bench.jobs.submit("lookups", {"ioc": "1.1.1.1"})
    assert (submitted.joined, submitted.enqueue) == (False, True)
    job_id = submitted.job.id
    assert bench.jobs.get(job_id) == submitted.job
    assert bench.jobs.result(submitted.job) is None

    def perform(job: Job) -> tuple[int, str, bytes]:
        assert job.request == {"ioc": "1.1.1.1"}
        seen = bench.jobs.get(job_id)
        assert (seen.state, seen.attempts) == ("running", 1)
        assert job_answer(seen, bench.jobs.result(seen)).status == 202
        bench.clock.forward(seconds=5)
        return ANSWER

    done = bench.jobs.run(job_id, perform)

    assert done == bench.jobs.get(job_id)
    assert done.finished == done.created + timedelta(seconds=5)
    answer = job_answer(done, bench.jobs.result(done))
    assert (answer.status, answer.headers["Content-Type"], answer.body) == ANSWER


def test_a_waiting_job_is_answered_with_202_and_when_to_ask_again(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}).job

    status, headers, body = job_answer(job, bench.jobs.result(job))

    assert status == 202
    assert headers["Retry-After"] == str(RETRY_AFTER)
    assert json.loads(body) == {"id": job.id, "status": "queued"}


@pytest.mark.parametrize(
    "job_id",
    ["", UNKNOWN, "due", "current", "../x", UNKNOWN + "a", f"{{{UNKNOWN}}}", "x\n"],
)
def test_unknown_and_malformed_ids_are_not_found(bench: Bench, job_id: str) -> None:
    with pytest.raises(NotFound) as caught:
        bench.jobs.get(job_id)
    assert caught.value.http_status == 404
    with pytest.raises(NotFound):
        bench.jobs.run(job_id, never)


def test_the_same_key_joins_and_another_key_or_kind_does_not(bench: Bench) -> None:
    first = bench.jobs.submit("incidents", {"n": 1}, idempotency_key="run-1")
    again = bench.another(bench.backend.another()).submit(
        "incidents", {"n": 1}, idempotency_key="run-1"
    )
    other_key = bench.jobs.submit("incidents", {"n": 1}, idempotency_key="run-2")
    other_kind = bench.jobs.submit("lookups", {"n": 1}, idempotency_key="run-1")

    assert (again.joined, again.enqueue, again.job) == (True, False, first.job)
    assert len({first.job.id, other_key.job.id, other_kind.job.id}) == 3
    assert UUID(first.job.id).version == 5


def test_a_key_that_was_used_with_another_request_is_refused(bench: Bench) -> None:
    bench.jobs.submit("incidents", {"n": 1}, idempotency_key="run-1")
    with pytest.raises(Conflict, match="another request"):
        bench.jobs.submit("incidents", {"n": 2}, idempotency_key="run-1")


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb", "\ud800"])
def test_a_key_that_no_header_could_be_is_refused(bench: Bench, key: str) -> None:
    with pytest.raises(InputError, match="Idempotency-Key"):
        bench.jobs.submit("incidents", {}, idempotency_key=key)


def test_of_many_submits_with_one_key_at_once_one_is_new(bench: Bench) -> None:
    outcomes: list[bool] = []

    def submit() -> None:
        jobs = bench.another(bench.backend.store)
        outcomes.append(jobs.submit("incidents", {}, idempotency_key="run-1").joined)

    in_threads(submit, 6)

    assert sorted(outcomes) == [False, True, True, True, True, True]


def test_a_job_that_still_waits_after_a_minute_is_enqueued_again(bench: Bench) -> None:
    bench.jobs.submit("incidents", {}, idempotency_key="run-1")
    bench.clock.forward(seconds=61)

    again = bench.jobs.submit("incidents", {}, idempotency_key="run-1")

    assert (again.joined, again.enqueue) == (True, True)


def test_a_request_of_the_largest_size_is_kept_and_a_larger_one_refused(bench: Bench) -> None:
    frame = len(json.dumps({"text": ""}))
    job = bench.jobs.submit("incidents", {"text": "x" * (MAX_REQUEST - frame)}).job
    assert bench.jobs.get(job.id).request == job.request

    with pytest.raises(TooManyItems):
        bench.jobs.submit("incidents", {"text": "x" * (MAX_REQUEST - frame + 1)})


@pytest.mark.parametrize("text", ["Привет", "\ud800", "\x00\u2028"])
def test_any_text_of_a_request_comes_back_as_it_was(bench: Bench, text: str) -> None:
    job = bench.jobs.submit("incidents", {"title": text}).job
    assert bench.jobs.get(job.id).request == {"title": text}


def test_a_request_with_a_number_outside_json_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="number"):
        bench.jobs.submit("incidents", {"n": float("nan")})


def test_a_message_that_is_delivered_twice_does_the_work_once(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}).job
    done = bench.jobs.run(job.id, give)

    assert bench.jobs.run(job.id, never) == done


def test_two_runners_at_once_do_the_work_once(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}).job

    def perform(_: Job) -> tuple[int, str, bytes]:
        seen = bench.another(bench.backend.another()).run(job.id, never)
        assert seen.id == job.id
        assert not seen.is_finished
        return ANSWER

    assert bench.jobs.run(job.id, perform).state == "succeeded"


def test_a_job_whose_runner_died_is_run_again(bench: Bench) -> None:
    class Death(BaseException):
        pass

    def die(_: Job) -> tuple[int, str, bytes]:
        raise Death

    job = bench.jobs.submit("lookups", {}).job
    with pytest.raises(Death):
        bench.jobs.run(job.id, die)
    assert bench.jobs.get(job.id).state == "running"

    done = bench.jobs.run(job.id, give)

    assert (done.state, done.attempts) == ("succeeded", 2)


def test_a_job_that_was_cut_off_counts_as_failed_until_it_is_run_again(bench: Bench) -> None:
    job = bench.jobs.submit("feed", {}, only="mdti-to-anomali").job

    def outlast(_: Job) -> tuple[int, str, bytes]:
        bench.clock.now += LONGEST_RUN + timedelta(seconds=1)
        seen = bench.jobs.get(job.id)
        body = bench.jobs.result(seen)
        assert job_answer(seen, body).status == 422
        assert body is not None
        assert json.loads(body)["error"]["code"] == "internalError"
        assert bench.jobs.running("feed", "mdti-to-anomali") is None
        return ANSWER

    assert bench.jobs.run(job.id, outlast).state == "succeeded"


def test_a_runner_that_lost_its_job_does_not_touch_the_answer(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}).job

    def slow(_: Job) -> tuple[int, str, bytes]:
        bench.backend.end_term(f"jobs/{job.id}/job")
        bench.another(bench.backend.another()).run(job.id, give)
        return 200, "text/plain", b"late"

    done = bench.jobs.run(job.id, slow)

    assert done.state == "succeeded"
    assert bench.jobs.result(bench.jobs.get(job.id)) == ANSWER[2]


def test_a_long_job_keeps_its_lease(bench: Bench) -> None:
    beats: Queue[bool] = Queue()
    pauses: Queue[float] = Queue()

    def wait(over: threading.Event, seconds: float) -> bool:
        pauses.put(seconds)
        return over.is_set() or beats.get()

    job = bench.jobs.submit("lookups", {}).job
    clock = getattr(bench.backend, "clock", Clock())

    def perform(_: Job) -> tuple[int, str, bytes]:
        pauses.get()
        for _beat in range(4):
            clock.forward(seconds=30)
            beats.put(False)
            assert pauses.get() <= 20
        with pytest.raises(LeaseLost):
            bench.backend.another().lease(f"jobs/{job.id}/job")
        beats.put(True)
        return ANSWER

    done = bench.another(bench.backend.store, wait=wait).run(job.id, perform)

    assert done.state == "succeeded"


def test_a_lease_that_cannot_be_renewed_once_is_tried_again(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        """A lease whose renewals end as told."""

        key = "jobs"

        def __init__(self, *ends: StoreError | None) -> None:
            self.ends = list(ends)

        def renew(self) -> None:
            if (end := self.ends.pop(0)) is not None:
                raise end

        def check(self) -> None: ...
        def release(self) -> None: ...
        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *_: object) -> None: ...

    lease = Failing(StoreError("storage did not answer"), None, LeaseLost("taken"), None)
    jobs = Bench(backend).another(backend.store, wait=lambda over, seconds: False)

    with jobs._beating(lease):
        pass

    assert lease.ends == [None]
    assert "could not be renewed" in caplog.text


def test_an_error_of_ours_fails_the_job_with_its_own_words(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Job) -> tuple[int, str, bytes]:
        raise StoreError("the index is not there", hint="Run the timer.")

    job = bench.jobs.submit("lookups", {}).job
    done = bench.jobs.run(job.id, refuse)

    assert (done.state, done.status_code) == ("failed", 503)
    answer = job_answer(done, bench.jobs.result(done))
    assert answer.status == 422
    assert json.loads(answer.body) == {
        "error": {
            "code": "storeUnavailable",
            "message": "the index is not there",
            "details": {"hint": "Run the timer."},
        }
    }
    assert f"job {job.id} (lookups) failed: storeUnavailable" in caplog.text
    assert bench.jobs.run(job.id, never) == done


def test_an_unforeseen_error_is_logged_by_type_and_place_and_shows_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(_: Job) -> tuple[int, str, bytes]:
        raise RuntimeError("token=hunter2")

    job = bench.jobs.submit("lookups", {}).job
    with caplog.at_level(logging.DEBUG, logger="mdti"):
        done = bench.jobs.run(job.id, stumble)

    body = bench.jobs.result(done)
    assert body is not None
    assert json.loads(body)["error"]["code"] == "internalError"
    assert b"hunter2" not in body
    assert "RuntimeError" in caplog.text
    assert "test_jobs.py" in caplog.text
    assert job.id in caplog.text
    assert "hunter2" not in caplog.text.replace('raise RuntimeError("token=hunter2")', "")


def test_an_answer_of_400_or_more_is_a_failure_with_its_own_body(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}).job
    done = bench.jobs.run(job.id, lambda _: (502, "application/json", b'{"error": {}}'))

    answer = job_answer(done, bench.jobs.result(done))
    assert (answer.status, answer.body) == (422, b'{"error": {}}')


def test_a_job_is_gone_after_its_lifetime_also_before_a_sweep(bench: Bench) -> None:
    job = bench.jobs.submit("lookups", {}, idempotency_key="run-1").job
    bench.clock.forward(hours=24)

    with pytest.raises(Expired) as caught:
        bench.jobs.get(job.id)
    assert caught.value.http_status == 410
    with pytest.raises(Expired):
        bench.jobs.run(job.id, never)

    anew = bench.jobs.submit("lookups", {"other": 1}, idempotency_key="run-1")
    assert (anew.joined, anew.job.id) == (False, job.id)
    assert bench.jobs.get(job.id).request == {"other": 1}


def test_a_sweep_removes_request_and_result_then_remembers_then_forgets(bench: Bench) -> None:
    old = bench.jobs.submit("lookups", {"secret-ish": "value"}).job
    bench.jobs.run(old.id, give)
    bench.clock.forward(hours=12)
    young = bench.jobs.submit("lookups", {}).job
    bench.clock.forward(hours=12, seconds=1)

    assert bench.jobs.sweep() == 1
    with pytest.raises(Expired):
        bench.jobs.get(old.id)
    assert bench.jobs.get(young.id) == young
    stored = bench.backend.store.read(f"jobs/{old.id}/job")
    assert stored is not None
    assert b"secret-ish" not in stored.body
    assert f"jobs/{old.id}/result" not in bench.stored_keys()
    assert bench.jobs.sweep() == 0

    bench.clock.now += REMEMBERED + timedelta(days=1, seconds=1)
    assert bench.jobs.sweep() == 2
    with pytest.raises(NotFound) as caught:
        bench.jobs.get(old.id)
    assert not isinstance(caught.value, Expired)
    bench.clock.now += REMEMBERED + timedelta(seconds=1)
    bench.jobs.sweep()
    assert bench.stored_keys() == []


def test_a_sweep_takes_the_oldest_first_and_no_more_than_its_limit(bench: Bench) -> None:
    jobs = []
    for _ in range(5):
        jobs.append(bench.jobs.submit("lookups", {}).job)
        bench.clock.forward(seconds=1)
    bench.clock.forward(hours=24, seconds=1)

    assert bench.jobs.sweep(limit=2) == 2

    states = [bench.backend.store.read(f"jobs/{job.id}/job") for job in jobs]
    assert [b"expired" in state.body for state in states if state] == [True] * 2 + [False] * 3
    assert bench.jobs.sweep() == 3


def test_a_sweep_leaves_a_job_that_was_made_anew_under_the_same_key(bench: Bench) -> None:
    bench.jobs.submit("lookups", {}, idempotency_key="run-1")
    bench.clock.forward(hours=24, seconds=1)
    anew = bench.jobs.submit("lookups", {}, idempotency_key="run-1").job

    assert bench.jobs.sweep() == 1
    assert bench.jobs.get(anew.id) == anew

    bench.clock.forward(hours=24, seconds=1)
    assert bench.jobs.sweep() == 1
    with pytest.raises(Expired):
        bench.jobs.get(anew.id)


def test_a_second_request_for_what_is_under_way_joins_the_running_job(bench: Bench) -> None:
    first = bench.jobs.submit("feed", {"full": False}, only="mdti-to-anomali")
    second = bench.jobs.submit("feed", {"full": True}, only="mdti-to-anomali")
    other = bench.jobs.submit("feed", {}, only="anyrun-to-defender")
    with_key = bench.jobs.submit("feed", {}, only="mdti-to-anomali", idempotency_key="run-1")

    assert (second.joined, second.enqueue, second.job) == (True, False, first.job)
    assert not other.joined
    assert with_key.job == first.job
    assert bench.jobs.running("feed", "mdti-to-anomali") == first.job
    assert bench.jobs.running("feed", "opencti-to-defender") is None

    bench.jobs.run(first.job.id, give)
    assert bench.jobs.running("feed", "mdti-to-anomali") is None
    assert not bench.jobs.submit("feed", {}, only="mdti-to-anomali").joined


def test_of_many_requests_for_one_feed_at_once_one_job_is_made(bench: Bench) -> None:
    outcomes: list[tuple[bool, str]] = []
    lock = threading.Lock()

    def submit() -> None:
        with lock:
            job_id = next(bench.ids)
        jobs = Jobs(bench.backend.store, clock=bench.clock, new_id=lambda: job_id)
        made = jobs.submit("feed", {}, only="mdti-to-anomali")
        outcomes.append((made.joined, made.job.id))

    in_threads(submit, 6)

    assert [joined for joined, _ in outcomes].count(False) == 1
    assert len({job_id for _, job_id in outcomes}) == 1
    assert len([key for key in bench.stored_keys() if key.endswith("/job")]) == 1


def test_a_stored_job_of_a_later_version_can_still_be_read() -> None:
    document: dict[str, Any] = Job("x", "lookups", {}, "queued", Clock()()).to_json()

    assert Job.from_json(document | {"field": 1}) == Job.from_json(document)


def in_threads(act: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
