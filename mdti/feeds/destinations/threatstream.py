"""Anomali ThreatStream as a destination: with approval by import sessions, or directly.

An answer of 202 proves nothing here, so what was imported is read back before it counts. What has
a value already is read before it is imported: another import's row of our organisation would be
overwritten, and what an analyst calls a false positive stays one. Facts: contracts, opencti-... 3.

A row that awaits a person's approval is told apart, and its `remote_id` names the import session.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, get_args

from mdti.errors import MdtiError, SettingError
from mdti.feeds.asking import Now, utc_now
from mdti.feeds.destinations.carrying import each_row_once, pending
from mdti.feeds.destinations.threatstream_api import ThreatStreamApi
from mdti.feeds.destinations.threatstream_rows import Shape, shape_of
from mdti.feeds.destinations.threatstream_work import Approval, Work
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Drop, Limits, Operation, Outcome, Owned, Put, Skip
from mdti.feeds.values import Refused, Values
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport

BATCH: Final = 1_000
CALLS_PER_MINUTE: Final = 60
"""Our own choice: Anomali documents no limit for imports, and 6,000 requests were seen allowed."""
PARALLEL: Final = 4
"""An import is read before and after, which takes seconds; `tests.bench feeds` measures it."""
MARK: Final = "mdti-actor-lookup"


class ThreatStream:
    """One organisation's ThreatStream.

    `approval` `import` opens import sessions that a person or a rule approves, `direct` needs the
    right Approve Intel. Rows live `expire_days`, less when their indicator ends sooner. `mark` is
    the tag that our rows carry; `notes` tell the person who approves a session where it is from.
    """

    name = "anomali"

    def __init__(
        self,
        *,
        transport: Transport,
        values: Values,
        username: str,
        api_key: str,
        url: str = "https://api.threatstream.com",
        approval: Approval = "import",
        expire_days: int = 90,
        mark: str = MARK,
        notes: str = "MDTI Actor Lookup",
        now: Now = utc_now,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if approval not in get_args(Approval):
            raise SettingError("THREATSTREAM_APPROVAL must be import or direct.")
        self._api = ThreatStreamApi(
            transport=transport,
            values=values,
            url=url,
            username=username,
            api_key=api_key,
            mark=mark,
        )
        self._values = values
        self._approval = approval
        self._mark = mark
        self._notes = notes
        self._now = now
        self._sleep = sleep
        self.expire_days = expire_days
        self.revision = f"anomali 1 {expire_days} {mark}"
        self.limits = Limits(batch=BATCH, per_minute=CALLS_PER_MINUTE, parallel=PARALLEL)

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the row that the indicator becomes, or why it becomes none."""
        key = self._values.key(indicator.key.kind, indicator.key.value)
        return Skip(key.reason) if isinstance(key, Refused) else key

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        """Yield our active rows; None with approval, where what waits for it is not listed."""
        if self._approval == "import":
            return None
        rows = self._api.marked(deadline=deadline)
        return (Owned(row.key, row.id, row.ours) for row in rows if row.ours)

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        """Read what is there, change it, and read back what came of it.

        Raises `MdtiError` for a wrong key, a missing right, and a service that has not answered
        three times in a row.
        """
        return each_row_once(operations, lambda wanted: self._carry_out(wanted, deadline))

    def _carry_out(self, wanted: Sequence[Operation], deadline: Deadline) -> Iterable[Outcome]:
        try:
            return self._work(wanted, deadline)
        except MdtiError as error:
            self._api.carrier.forgive(error)
            return [pending(operation, error.message) for operation in wanted]

    def _work(self, wanted: Sequence[Operation], deadline: Deadline) -> Iterable[Outcome]:
        found = self._api.named([one.key for one in wanted], deadline=deadline)
        work = Work(
            self._api,
            found,
            approval=self._approval,
            notes=self._notes,
            deadline=deadline,
            sleep=self._sleep,
        )
        puts = [(one, self._shape(one)) for one in wanted if isinstance(one, Put)]
        drops = [one for one in wanted if isinstance(one, Drop)]
        return work.outcomes(puts, drops).values()

    def _shape(self, put: Put) -> Shape | None:
        return shape_of(
            put.key,
            put.indicator,
            mark=self._mark,
            expire_days=self.expire_days,
            now=self._now(),
        )
