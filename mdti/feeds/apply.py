"""From the mirrors to one destination: compare what is wanted with the ledger, and mend.

Before each call the intent is durable and the lease is renewed; after it the outcome is durable.
A call whose end is not known leaves its intent, and the next apply does it again.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mdti.errors import BadAnswer, DeadlineExceeded, MdtiError, StoreError
from mdti.feeds.fields import text_of
from mdti.feeds.ledger import Ledger, Task, Wish
from mdti.feeds.mirror import Mirror, Mirrored
from mdti.feeds.pace import Pace
from mdti.feeds.payload import encode
from mdti.feeds.plan import Decision, Intent, Row, expiry, fingerprint, rank
from mdti.feeds.policy import Waiting, Wanted, judge
from mdti.feeds.ports import Drop, Operation, Outcome, Put, Skip
from mdti.feeds.report import MOST_REJECTED, Tally
from mdti.feeds.route import Route
from mdti.net.deadline import Deadline

RESERVE: Final = 60.0
"""Seconds before the deadline at which no call is begun: time for its end and the ledger."""

_WORDS: Final = 500
"""Characters of a destination's reason that are kept."""

_WISHES: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Sent:
    """A row as it was before a call, with the operation that was intended.

    `expires_at` is when the row ends if the operation is a put and succeeds.
    """

    before: Row
    operation: Operation
    mirror: int = 0
    fingerprint: int | None = None
    expires_at: int | None = None


class Applying:
    """One apply; `hold` raises LeaseLost unless the destination's lease is ours.

    `routes` are those of `mirrors`, in their order; the first of each is the feed that runs, whose
    skipped items are counted. `executor` carries calls that may be under way at once; None makes
    them one after the other. `unread` names a feed whose source has yet to be read again before
    anything may be removed.
    """

    def __init__(
        self,
        ledger: Ledger,
        mirrors: Sequence[Mirror],
        routes: Sequence[Route],
        *,
        pace: Pace,
        hold: Callable[[], None],
        executor: Executor | None,
        now: Callable[[], datetime],
        deadline: Deadline,
        tally: Tally,
        unread: str | None = None,
    ) -> None:
        self._ledger, self._mirrors, self._routes = ledger, mirrors, routes
        self._destination, self._terms = routes[0].destination, routes[0].terms
        self._pace, self._hold, self._executor = pace, hold, executor
        self._now, self._deadline, self._tally = now, deadline, tally
        self._unread, self._full = unread, False
        self._settled: list[Row] = []

    def run(self) -> None:
        """Bring the destination to what is wanted, as far as there is time; errors are noted."""
        try:
            self._plan()
            for phase in (self._new, self._changed, self._unwanted, self._new):
                self._call(phase())
        except StoreError:
            raise
        except DeadlineExceeded:
            self._tally.remaining = True
        except MdtiError as error:
            self._tally.fail(error)
        self._count()

    def rehearse(self) -> None:
        """Count what a run would do, without doing it."""
        tally = self._tally
        tally.removed += len(self._ledger.unfinished())
        self._want()
        decisions = self._decide()
        tally.accepted = decisions.get("put", 0)
        tally.removed += decisions.get("drop", 0)
        tally.unchanged = decisions.get("unchanged", 0)
        tally.pending = self._ledger.waiting()

    def _plan(self) -> None:
        self._want()
        unfinished = self._ledger.unfinished()
        size = self._destination.limits.batch
        self._call(
            [_removal(row) for row in unfinished[start : start + size]]
            for start in range(0, len(unfinished), size)
        )
        self._tally.unchanged = self._decide().get("unchanged", 0)

    def _decide(self) -> dict[Decision, int]:
        decisions = self._ledger.plan(
            now=self._seconds,
            expire_days=[r.terms.expire_days if r.renews else None for r in self._routes],
        )
        if self._unread is not None:
            withheld = self._ledger.withhold_drops()
            decisions["drop"] = 0
            self._skip(f"removal waits until {self._unread} is read again", withheld)
        return decisions

    def _want(self) -> None:
        for number, mirror in enumerate(self._mirrors):
            wishes: list[Wish] = []
            for item in mirror.indicators():
                wish = self._wish(number, item)
                if wish is None:
                    continue
                wishes.append(wish)
                if len(wishes) >= _WISHES:
                    self._ledger.wish(wishes)
                    wishes = []
            self._ledger.wish(wishes)
        listing = self._destination.listing(deadline=self._deadline)
        if listing is not None:
            foreign, unknown = self._ledger.heal(listing)
            self._skip("row of somebody else", foreign)
            self._skip("marked row unknown to the ledger", unknown)
        self._tally.over_cap = self._ledger.admit(self._terms.capacity)

    def _wish(self, number: int, item: Mirrored) -> Wish | None:
        indicator, route = item.indicator, self._routes[number]
        verdict = judge(indicator, route.policy, reputation=item.reputation, now=self._now())
        key = route.destination.key(indicator)
        if isinstance(verdict, Skip):
            self._skip(verdict.reason, int(number == 0))
            return None
        if isinstance(key, Skip):
            self._skip(key.reason, int(number == 0))
            return None
        if isinstance(verdict, Waiting):
            return Wish(key, True, 0, item.modified, 0, None, number, item.ref)
        chosen = verdict.indicator
        payload = item.payload if chosen is indicator else encode(chosen)
        return Wish(
            key,
            False,
            rank(chosen),
            item.modified,
            fingerprint(payload, revision=route.terms.revision),
            int(chosen.valid_until.timestamp()) if chosen.valid_until else None,
            number,
            item.ref,
        )

    def _skip(self, reason: str, count: int) -> None:
        if count:
            self._tally.skipped[reason] += count

    def _new(self) -> Iterator[list[_Sent]]:
        for number, route in enumerate(self._routes):
            while not self._full:
                most = route.destination.limits.batch
                if self._terms.capacity is not None:
                    most = min(most, self._terms.capacity - self._ledger.held)
                tasks = self._ledger.puts(number, most=most, new=True) if most > 0 else []
                if not tasks:
                    break
                yield [self._addition(task) for task in tasks]

    def _changed(self) -> Iterator[list[_Sent]]:
        for number, route in enumerate(self._routes):
            most = route.destination.limits.batch
            while tasks := self._ledger.puts(number, most=most, new=False):
                yield [self._addition(task) for task in tasks]

    def _unwanted(self) -> Iterator[list[_Sent]]:
        while rows := self._ledger.drops(most=self._destination.limits.batch):
            yield [_removal(row) for row in rows]

    def _addition(self, task: Task) -> _Sent:
        row, route = task.row, self._routes[task.mirror]
        item = self._mirrors[task.mirror].get(task.ref)
        indicator, now = item.indicator, self._now()
        verdict = judge(indicator, route.policy, reputation=item.reputation, now=now)
        if isinstance(verdict, Wanted):
            indicator = verdict.indicator
        put = Put(row.key, indicator, row.generation, row.remote_id)
        ends = expiry(
            task.valid_until, now=int(now.timestamp()), expire_days=route.terms.expire_days
        )
        return _Sent(row, put, task.mirror, task.fingerprint, ends)

    def _call(self, batches: Iterator[list[_Sent]]) -> None:
        """Carry batches out, as many at once as the destination takes."""
        under_way: deque[tuple[list[_Sent], Future[Sequence[Outcome]]]] = deque()
        failure: MdtiError | None = None
        parallel = self._destination.limits.parallel if self._executor else 1
        try:
            while failure is None and self._may_call():
                batch = next(batches, None)
                if batch is None:
                    break
                # What is known of earlier calls travels along: half as many writes.
                self._ledger.write([*self._settled, *(_intended(sent) for sent in batch)])
                self._settled = []
                self._pace.wait()
                self._hold()
                under_way.append((batch, self._start(batch)))
                if len(under_way) >= parallel:
                    failure = self._settle(*under_way.popleft())
                    if self._terms.capacity is not None:
                        self._flush()  # How many places are left is counted in the ledger.
        finally:
            while under_way:
                failure = self._settle(*under_way.popleft()) or failure
        self._flush()
        if failure is not None:
            raise failure

    def _may_call(self) -> bool:
        if self._deadline.remaining() > RESERVE + self._pace.delay:
            return True
        self._tally.remaining = True
        return False

    def _start(self, batch: Sequence[_Sent]) -> Future[Sequence[Outcome]]:
        apply = self._routes[batch[0].mirror].destination.apply
        operations = [sent.operation for sent in batch]
        if self._executor is not None:
            return self._executor.submit(apply, operations, deadline=self._deadline)
        future: Future[Sequence[Outcome]] = Future()
        try:
            future.set_result(apply(operations, deadline=self._deadline))
        except MdtiError as error:
            future.set_exception(error)
        return future

    def _settle(
        self, batch: Sequence[_Sent], future: Future[Sequence[Outcome]]
    ) -> MdtiError | None:
        """Note the outcomes of a call; return the error that it ended in."""
        try:
            outcomes = future.result()
        except MdtiError as error:
            return error
        if [outcome.key for outcome in outcomes] != [sent.before.key for sent in batch]:
            return BadAnswer(f"{self._destination.name} answered for other rows than it was sent.")
        at = self._seconds
        rows = [
            self._after(sent, outcome, at) for sent, outcome in zip(batch, outcomes, strict=True)
        ]
        self._settled += [row for row in rows if row is not None]
        return None

    def _flush(self) -> None:
        rows, self._settled = self._settled, []
        self._ledger.write(rows)

    def _after(self, sent: _Sent, outcome: Outcome, at: int) -> Row | None:
        """Return the row as the outcome leaves it; None when the intent stands."""
        # Words from outside may hold half a surrogate pair, which no file takes.
        before, reason = sent.before, text_of(outcome.reason, limit=_WORDS)
        put = isinstance(sent.operation, Put)
        if outcome.state == "accepted":
            if put:
                self._tally.accepted += 1
                return self._taken(sent, outcome.remote_id, at)
            self._tally.removed += 1
            return Row(key=before.key, generation=before.generation + 1)
        if outcome.state == "rejected":
            self._tally.reject(before.key.value, reason)
            refused = sent.fingerprint if put else before.refused
            # What is refused says nothing of an earlier removal whose end is not known.
            intent: Intent = "" if put else before.intent
            row = replace(before, intent=intent, refused=refused, reason=reason)
            if outcome.remote_id is None:
                return row
            return replace(row, held=True, remote_id=outcome.remote_id, sent=None)
        if outcome.state == "over_cap" and put:
            self._full = True
            self._tally.over_cap += 1
            return replace(before, intent="")
        if outcome.state == "awaiting_approval":
            self._tally.awaiting_approval += 1
        else:
            self._tally.pending += 1
        if outcome.remote_id is None:
            return None
        return replace(_intended(sent), remote_id=outcome.remote_id)

    def _taken(self, sent: _Sent, remote_id: str | None, at: int) -> Row:
        return replace(
            sent.before,
            held=True,
            intent="",
            remote_id=remote_id or sent.before.remote_id,
            sent=sent.fingerprint,
            refused=None,
            reason="",
            sent_at=at,
            expires_at=sent.expires_at,
        )

    def _count(self) -> None:
        """Count what was not done: for want of time it is pending, for want of places over cap."""
        tally, left = self._tally, self._ledger.remaining
        if tally.remaining or tally.error is not None:
            tally.pending += left
        else:
            tally.over_cap += left
        tally.pending += self._ledger.waiting()
        for value, reason in self._ledger.refused(most=MOST_REJECTED):
            tally.reject(value, reason)

    @property
    def _seconds(self) -> int:
        return int(self._now().timestamp())


def _removal(row: Row) -> _Sent:
    return _Sent(row, Drop(row.key, row.remote_id, row.generation))


def _intended(sent: _Sent) -> Row:
    """Return the row while the end of the operation is not known, nor what it now says."""
    intent: Intent = "put" if isinstance(sent.operation, Put) else "drop"
    return replace(sent.before, held=True, intent=intent, sent=None)
