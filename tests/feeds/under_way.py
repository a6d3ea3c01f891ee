"""Calls that are under way at once, and land at the destination in an order of their own.

The engine's threads are real; what is not left to them is the order. A call leaves the process, and
is carried out when the process waits for one of its calls, whichever a seeded die takes first. When
the process ends, the calls that had left are carried out all the same: at once, or while the next
process lists the rows.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from mdti.feeds.indicator import Key
from mdti.feeds.ports import Limits, Operation, Outcome, Owned
from mdti.net.deadline import Deadline
from tests.feeds.fakes import FakeDestination


class _Call:
    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.left = False
        self.outcomes: Sequence[Outcome] | None = None
        self.answered = threading.Event()


class BusyDestination(FakeDestination):
    """A destination that takes several calls at once; `die` says which of them lands next."""

    def __init__(self, *, limits: Limits, revokes: bool, die: random.Random) -> None:
        super().__init__(limits=limits, listable=not revokes, revokes=revokes)
        self.die = die
        self.left: list[_Call] = []
        self.newest = _Call(())
        self.arrivals = threading.Semaphore(0)
        self.most_at_once = 0
        self.landed_late = 0

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        effects, call = self.effects, _Call(operations)
        self.newest = call
        try:
            self.begin(operations)
            effects.of("call", lambda: self._leave(call))
        finally:
            self.arrivals.release()
        call.answered.wait()
        return self.end(effects.of("answer", lambda: call.outcomes or ()))

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        if self.listable:
            return self._rows()
        self.land_late()
        return None

    @property
    def on_the_way(self) -> set[Key]:
        return {operation.key for call in self.left for operation in call.operations}

    def land_one(self) -> None:
        """Carry out one of the calls that have left."""
        call = self.left.pop(self.die.randrange(len(self.left)))
        call.outcomes = [self._do(one) for one in call.operations]

    def land_late(self) -> None:
        """Carry out what a process that has ended had sent."""
        self.landed_late += len(self.left)
        while self.left:
            self.land_one()

    def _leave(self, call: _Call) -> None:
        call.left = True
        self.left.append(call)
        self.most_at_once = max(self.most_at_once, len(self.left))

    def _rows(self) -> Iterator[Owned]:
        """Yield the rows; what is late lands when some of them were read."""
        first = dict(list(self.rows.items())[: self.die.randrange(len(self.rows) + 1)])
        for key, cell in first.items():
            yield Owned(key, cell.remote_id, cell.ours)
        self.land_late()
        for key, cell in list(self.rows.items()):
            if key not in first:
                yield Owned(key, cell.remote_id, cell.ours)


class _Awaited(Future[Any]):
    """The future of a call, which says when it is waited for."""

    def __init__(self, future: Future[Any], wanted: Callable[[], None]) -> None:
        super().__init__()
        self._future, self._wanted = future, wanted

    def result(self, timeout: float | None = None) -> Any:
        self._wanted()
        return self._future.result(timeout)


class _Threads(ThreadPoolExecutor):
    """The engine's own threads; each call has left when `submit` returns.

    Only the call that is waited for gets its answer, so that effects have one order.
    """

    def __init__(self, workers: int, name: str, destination: BusyDestination) -> None:
        super().__init__(workers, name)
        self._destination = destination
        self._calls: list[_Call] = []

    def submit(self, apply: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(apply, *args, **kwargs)
        destination, effects = self._destination, self._destination.effects
        destination.arrivals.acquire()
        call = destination.newest
        self._calls.append(call)

        def wanted() -> None:
            while call.left and call.outcomes is None and not effects.dead:
                destination.land_one()
            call.answered.set()

        return _Awaited(future, wanted)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for call in self._calls:
            call.answered.set()
        super().shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def threads_of(destination: BusyDestination) -> Iterator[None]:
    """Let the engine's threads call the destination in the order that its die says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mdti.feeds.sync.ThreadPoolExecutor",
            lambda workers, name: _Threads(workers, name, destination),
        )
        yield
