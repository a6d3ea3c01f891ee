"""What a lane's thread does with the requests it is given: send, judge, ask again, hand over."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from mdti import __version__
from mdti.errors import ConnectionFailed, MdtiError
from mdti.net.answers import Again, Answer, Fault, asks_to_wait, judge, retry_after
from mdti.net.batch import BatchRule, pack, unpack
from mdti.net.deadline import Deadline
from mdti.net.gate import Outcome
from mdti.net.lane import Lane
from mdti.net.messages import Request, Response
from mdti.net.meter import Meter
from mdti.net.tokens import Tokens

Finished = tuple[int, Response | MdtiError]
"""The index of a request, and what became of it."""

_USER_AGENT = f"mdti-actor-lookup/{__version__}"


@dataclass(slots=True)
class Task:
    """A request on its way: how often it met a fault, and the last reason to ask again."""

    index: int
    request: Request
    faults: int = 0
    renewed: bool = False
    error: MdtiError | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What the tasks of one `Transport.map` share.

    `done` brings what is finished to the caller; an exception that is no `MdtiError` is a mistake
    of ours, for the caller to raise. `closing` and `given_up` end the work early.
    """

    deadline: Deadline
    meters: tuple[Meter, ...]
    closing: threading.Event
    done: "queue.SimpleQueue[Finished | Exception]" = field(default_factory=queue.SimpleQueue)
    given_up: threading.Event = field(default_factory=threading.Event)

    def fail(self, tasks: Sequence[Task], error: MdtiError) -> None:
        """Hand over `tasks` as failed by `error`."""
        for task in tasks:
            self.done.put((task.index, error))

    def give_up(self, tasks: Sequence[Task], error: MdtiError | None = None) -> None:
        """Hand over `tasks` as failed, each by what its API said last, else by `error`."""
        unsent = error or ConnectionFailed("The request was given up.")
        for task in tasks:
            self.done.put((task.index, task.error or unsent))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """How often one request is repeated after faults, and the seconds before each repetition."""

    retries: int
    backoff: float
    backoff_max: float


class Delivery:
    """Sends tasks through a lane until each is answered or beyond help."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        batch: BatchRule | None,
        rules: RetryRules,
        sleep: Callable[[float], object],
        random: Random,
    ) -> None:
        self._tokens = tokens
        self._batch = batch
        self._rules = rules
        self._sleep = sleep
        self._random = random

    def run(self, lane: Lane, tasks: list[Task], call: Call) -> None:
        """Deliver `tasks`, which go to one host with one audience, and hand each over once."""
        try:
            while tasks:
                tasks = self._attempt(lane, tasks, call)
        except Exception as mistake:
            call.done.put(mistake)

    def _attempt(self, lane: Lane, tasks: list[Task], call: Call) -> list[Task]:
        """Send `tasks` in one exchange; return those to be sent again."""
        if call.given_up.is_set() or call.closing.is_set():
            call.give_up(tasks)
            return []
        given = lane.enter(call.deadline)
        if isinstance(given, MdtiError):
            call.give_up(tasks, given)
            return []
        outcome: Outcome = "broken"
        pause: float | None = None
        try:
            token = self._token(tasks[0].request.audience)
            answers = self._exchange(lane, [task.request for task in tasks], token, call)
            outcome, pause = _sum_up(answers)
        except MdtiError as error:
            call.fail(tasks, error)
            return []
        finally:
            lane.leave(given, outcome, retry_after=pause)
        return self._settle(lane, tasks, answers, token, call)

    def _token(self, scope: str | None) -> str | None:
        # Fetched after the wait for a place, so that a long pause does not send a stale one.
        return None if scope is None else self._tokens.get(scope)

    def _exchange(
        self, lane: Lane, requests: list[Request], token: str | None, call: Call
    ) -> tuple[Answer | Fault, ...]:
        answers: tuple[Answer | Fault, ...]
        if self._batch is None or len(requests) == 1:
            answers = (self._send(lane, requests[0], token, call),)
        else:
            envelope = self._send(lane, pack(self._batch, requests), token, call)
            answers = unpack(envelope, requests, api=lane.name)
        refused = sum(isinstance(one, Answer) and asks_to_wait(one) for one in answers)
        for meter in call.meters:
            meter.add(requests=len(requests), throttled=refused)
        return answers

    def _send(self, lane: Lane, request: Request, token: str | None, call: Call) -> Answer | Fault:
        headers = {"Accept": "application/json", "User-Agent": _USER_AGENT}
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        headers |= dict(request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        headers["client-request-id"] = str(UUID(int=self._random.getrandbits(128), version=4))
        return lane.wire.exchange(request, headers, deadline=call.deadline)

    def _settle(
        self,
        lane: Lane,
        tasks: list[Task],
        answers: tuple[Answer | Fault, ...],
        token: str | None,
        call: Call,
    ) -> list[Task]:
        """Hand over what is decided; prepare the rest to be sent again and return it."""
        refused: list[Task] = []
        unauthorized: list[Task] = []
        faulty: list[Task] = []
        for task, answer in zip(tasks, answers, strict=True):
            verdict = judge(task.request, answer, api=lane.name)
            if not isinstance(verdict, Again):
                call.done.put((task.index, verdict))
                continue
            task.error = verdict.error
            {"refused": refused, "renew": unauthorized, "fault": faulty}[verdict.why].append(task)
        renewed = self._renew(unauthorized, token, call)
        return refused + renewed + self._back_off(lane, faulty, call)

    def _renew(self, tasks: list[Task], token: str | None, call: Call) -> list[Task]:
        """Get a fresh token for those who have not had one, and hand over the others."""
        call.give_up([task for task in tasks if task.renewed])
        first = [task for task in tasks if not task.renewed]
        scope = first[0].request.audience if first else None
        if scope is None or token is None:
            return []
        try:
            self._tokens.renew(scope, token)
        except MdtiError as error:
            call.fail(first, error)
            return []
        for task in first:
            task.renewed = True
        return first

    def _back_off(self, lane: Lane, tasks: list[Task], call: Call) -> list[Task]:
        """Wait a little before faults are repeated; hand over what may not be repeated."""
        hopeless = [task for task in tasks if task.faults >= self._rules.retries]
        others = [task for task in tasks if task.faults < self._rules.retries]
        if not others:
            call.give_up(hopeless)
            return []
        most = max(task.faults for task in others)
        delay = min(self._rules.backoff * 2.0**most, self._rules.backoff_max)
        delay *= 1.0 - self._random.random() / 2.0
        if delay >= call.deadline.remaining() or not lane.may_retry():
            call.give_up(tasks)
            return []
        call.give_up(hopeless)
        for task in others:
            task.faults += 1
        self._sleep(delay)
        return others


def _sum_up(answers: tuple[Answer | Fault, ...]) -> tuple[Outcome, float | None]:
    """Return what the gate should learn: the longest pause that any part asks for."""
    refused = [one for one in answers if isinstance(one, Answer) and asks_to_wait(one)]
    if refused:
        waits = [wait for one in refused if (wait := retry_after(one.headers)) is not None]
        return "refused", max(waits, default=None)
    served = any(isinstance(one, Answer) and one.status < 500 for one in answers)
    return ("served" if served else "broken"), None
