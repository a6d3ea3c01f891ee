"""How destinations call: a refused call is divided, a silent destination is given up.

Some destinations refuse a whole call for one bad row. Halving the call finds that row, so the rows
beside it are not lost with it.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from mdti.errors import (
    ApiError,
    BadAnswer,
    ConnectionFailed,
    DeadlineExceeded,
    MdtiError,
    ServerFault,
    Throttled,
)
from mdti.feeds.asking import Hints, explained
from mdti.feeds.indicator import Key
from mdti.feeds.ports import Operation, Outcome
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.transport import Transport


class Keyed(Protocol):
    """Anything that is about one row."""

    @property
    def key(self) -> Key:
        """The row."""


Op = TypeVar("Op", bound=Keyed)

REFUSED: Final = frozenset({400, 413, 422})
"""Statuses that blame the call's content."""
MOST_CALLS: Final = 24
"""Calls that one apply may become by division; a few bad rows in 500 need about 10 each."""
PATIENCE: Final = 3
"""Calls in a row that may stay without an answer before the error is raised."""

_UNKNOWN_FATE = (BadAnswer, ConnectionFailed, DeadlineExceeded, ServerFault, Throttled)


class Carrier:
    """Sends one destination's requests and turns what fails into outcomes; safe for threads."""

    def __init__(self, transport: Transport, *, hints: Hints) -> None:
        self._transport = transport
        self._hints = hints
        self._lock = threading.Lock()
        self._silent = 0

    def ask(self, request: Request, *, deadline: Deadline) -> Response:
        """Send a request; raises what `Transport.send` raises, with what to do about it."""
        try:
            response = self._transport.send(request, deadline=deadline)
        except MdtiError as error:
            raise explained(error, self._hints) from None
        return response

    def carry_out(
        self,
        operations: Sequence[Op],
        send: Callable[[Sequence[Op]], Sequence[Outcome]],
        *,
        divided_by: frozenset[int] = REFUSED,
        alone: Callable[[Op, ApiError], Outcome] | None = None,
    ) -> list[Outcome]:
        """Return one outcome for each operation, in their order.

        `send` makes one call and returns as many outcomes as it was given operations. When it
        raises an error with a status of `divided_by`, the call is halved; an operation that fails
        alone is what `alone` says, else rejected. A call without an answer leaves its operations
        pending; the third in a row raises its error, as do errors that only a person can mend.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = [list(range(len(operations)))] if operations else []
        calls, answered = 0, False
        refusal: ApiError | None = None
        while waiting:
            part = waiting.pop()
            chosen = [operations[place] for place in part]
            if calls >= MOST_CALLS and refusal is not None:
                if not answered:
                    raise refusal
                outcomes |= _all_pending(part, chosen, _reason(refusal))
                continue
            calls += 1
            try:
                found = send(chosen)
            except _UNKNOWN_FATE as error:
                self.forgive(error)
                outcomes |= _all_pending(part, chosen, error.message)
                continue
            except ApiError as error:
                if error.status not in divided_by:
                    raise
                refusal = error
                if len(part) > 1:
                    half = len(part) // 2
                    waiting += [part[half:], part[:half]]
                    continue
                found = [alone(chosen[0], error) if alone else _rejected(chosen[0], error)]
            else:
                answered = True
            self._heard()
            outcomes |= dict(zip(part, found, strict=True))
        return [outcomes[place] for place in range(len(operations))]

    def forgive(self, error: MdtiError) -> None:
        """Return when the fate of what was sent is merely unknown; raise the error otherwise.

        Also raises it when nothing was answered for the third time in a row.
        """
        if not isinstance(error, _UNKNOWN_FATE):
            raise error
        if isinstance(error, DeadlineExceeded):
            return  # no time was left, which says nothing about the destination
        with self._lock:
            self._silent += 1
            if self._silent >= PATIENCE:
                raise error

    def _heard(self) -> None:
        with self._lock:
            self._silent = 0


def each_row_once(
    operations: Sequence[Operation], carry_out: Callable[[list[Operation]], Iterable[Outcome]]
) -> list[Outcome]:
    """Return one outcome for each operation, in their order.

    Of two operations on one row the later one is carried out, and its outcome is both's.
    """
    wanted = {operation.key: operation for operation in operations}
    if not wanted:
        return []
    outcomes = {outcome.key: outcome for outcome in carry_out(list(wanted.values()))}
    return [outcomes[operation.key] for operation in operations]


def pending(operation: Keyed, reason: str) -> Outcome:
    """Return the outcome of an operation whose fate is not known."""
    return Outcome(operation.key, "pending", reason)


def _all_pending(
    part: Sequence[int], operations: Sequence[Keyed], reason: str
) -> dict[int, Outcome]:
    return {
        place: pending(operation, reason) for place, operation in zip(part, operations, strict=True)
    }


def _rejected(operation: Keyed, error: ApiError) -> Outcome:
    return Outcome(operation.key, "rejected", _reason(error))


def _reason(error: ApiError) -> str:
    return error.reason or error.message
