"""From a source into the feed's mirror, and what Microsoft says of the hosts in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from mdti.errors import BadAnswer, DeadlineExceeded, LeaseLost, MdtiError, StoreError
from mdti.feeds.indicator import Key
from mdti.feeds.mirror import Mirror
from mdti.feeds.policy import Policy, Reputation, Waiting, judge
from mdti.feeds.ports import Batch, Source, Upsert
from mdti.feeds.report import UNLISTED, Tally
from mdti.net.deadline import Deadline

REPUTATION_LIFE: Final = timedelta(days=7)
"""How long a reputation is good enough; then it is asked for again, after those never asked."""

NEAR: Final = 10.0
"""Seconds before a deadline at which a source may already have stopped because of it."""

_ASKED_AT_ONCE: Final = 200

Ask = Callable[[Sequence[Key], Deadline], Mapping[Key, Reputation | MdtiError]]
"""Asks Microsoft for reputations; raises for a failure of the whole API."""


def ingest(
    mirror: Mirror,
    source: Source,
    *,
    full: bool,
    sweep_percent: int,
    now: Callable[[], datetime],
    deadline: Deadline,
    tally: Tally,
) -> None:
    """Read the source on from the mirror's cursor, and keep each batch with the cursor after it.

    An error of the source ends the reading and is noted, what was read stays; errors of the store
    are raised.
    """
    cursor = None if full else mirror.cursor
    batches = source.read(cursor, full=full, deadline=deadline)
    begun = cursor is not None and mirror.in_snapshot
    stopped = ended = False
    while True:
        try:
            batch = next(batches, None)
        except (StoreError, LeaseLost):
            raise
        except DeadlineExceeded:
            stopped = True
            break
        except MdtiError as error:
            tally.fail(error)
            break
        if batch is None:
            ended = True
            break
        if batch.phase != "delta" and not begun:
            mirror.begin_snapshot()
            begun = True
        _keep(mirror, batch, sweep_percent=sweep_percent, now=now(), tally=tally)
        if batch.phase == "snapshot_end":
            begun = False
        if deadline.expired:
            stopped = True
            break
    if stopped or mirror.in_snapshot or deadline.remaining() <= NEAR:
        tally.remaining = True
    elif ended:
        mirror.note_end()
    if not mirror.swept.done:
        tally.skipped[UNLISTED] += mirror.swept.doomed


def _keep(mirror: Mirror, batch: Batch, *, sweep_percent: int, now: datetime, tally: Tally) -> None:
    tally.read += len(batch.changes)
    for change in batch.changes:
        if isinstance(change, Upsert) and change.skipped:
            tally.skipped.update(change.skipped)
    lost = mirror.write(batch, now=now, sweep_percent=sweep_percent)
    if lost:
        tally.skipped["object too large"] += lost
    if batch.phase != "snapshot_end" or mirror.swept.done:
        return
    sweep = mirror.swept
    tally.fail(
        BadAnswer(
            f"The source listed {sweep.alive - sweep.doomed:,} of {sweep.alive:,} known objects; "
            "nothing was removed.",
            hint="If that is right, raise FEED_SWEEP_PERCENT for one full run.",
        )
    )


def score(
    mirror: Mirror,
    ask: Ask,
    *,
    policy: Policy,
    budget: int,
    now: datetime,
    deadline: Deadline,
    tally: Tally,
) -> None:
    """Ask for the reputation of hosts that the policy decides by, at most `budget` of them.

    A host without an answer stays without one: it is pending, and first the next time.
    """
    if policy.min_reputation is None:
        return
    wanted = iter(_hosts(mirror, policy, now, budget))
    while keys := list(islice(wanted, _ASKED_AT_ONCE)):
        if deadline.expired:
            tally.remaining = True
            return
        try:
            answers = ask(keys, deadline)
        except DeadlineExceeded:
            tally.remaining = True
            return
        except MdtiError as error:
            tally.fail(error)
            return
        found = {
            key: answer for key, answer in answers.items() if not isinstance(answer, MdtiError)
        }
        if found:
            mirror.keep_reputations(found, now=now)


def _hosts(mirror: Mirror, policy: Policy, now: datetime, budget: int) -> Iterable[Key]:
    """Return hosts whose fate hangs on a reputation, each once."""
    keys: dict[Key, None] = {}
    for item in mirror.unscored(before=now - REPUTATION_LIFE):
        if len(keys) >= budget:
            break
        if isinstance(judge(item.indicator, policy, reputation=None, now=now), Waiting):
            keys[item.key] = None
    return keys
