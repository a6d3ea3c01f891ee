"""Microsoft's reputation of hosts as tags on the observables that ThreatStream has of them.

    score 82    mdti-malicious  mdti-score-82
    score 60    mdti-suspicious mdti-score-60
    score 12    mdti-score-12

These observables are other feeds' and analysts' own: confidence, severity and status say what they
found, so the score is a tag as well, and tags of these names are all that is ever changed. What we
imported ourselves is left out: its confidence is the score. Facts: contracts, opencti-... 3.4.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mdti.errors import ApiError, Forbidden, MdtiError, Missing, Unauthorized
from mdti.feeds.asking import Hints, Now, explained, utc_now
from mdti.feeds.destinations.carrying import each_row_once
from mdti.feeds.destinations.threatstream import CALLS_PER_MINUTE, MARK
from mdti.feeds.destinations.threatstream_api import HINTS, ThreatStreamApi
from mdti.feeds.destinations.threatstream_rows import Observed
from mdti.feeds.destinations.threatstream_work import looks
from mdti.feeds.indicator import Indicator, Key, worth
from mdti.feeds.policy import SCORED_KINDS
from mdti.feeds.ports import Limits, Operation, Outcome, Put, Skip
from mdti.feeds.values import Refused, Values
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport
from mdti.render.wording import MALICIOUS_SCORE, SUSPICIOUS_SCORE

BATCH: Final = 30
"""Each row costs requests of its own, three if all its tags change: at our pace 6,000 a minute."""
TLP: Final = "red"
"""What keeps a tag inside the organisation."""
_OURS: Final = re.compile(r"mdti-(?:malicious|suspicious|score-\d{1,3})")
_NO_VERDICT: Final = frozenset({408, 425, 429})
"""Statuses that concern the moment, not what was asked."""
_GONE: Final = "no active observable has this value any more"
_NOT_THERE: Final = "taken by ThreatStream, but the tags do not show yet"
_HINTS: Hints = {
    **HINTS,
    Forbidden: "The ThreatStream user must be allowed to read observables and to tag them.",
}


def tags_of(score: int) -> frozenset[str]:
    """Return the tags that stand for a reputation of 0 to 100."""
    found = {f"mdti-score-{score}"}
    if score >= MALICIOUS_SCORE:
        found.add("mdti-malicious")
    elif score >= SUSPICIOUS_SCORE:
        found.add("mdti-suspicious")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Goal:
    """An observable as it was read, and which of our tags it is to have; none when `tags` is."""

    key: Key
    row: Observed
    tags: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """The tags to be added."""
        return sorted(self.tags - self.row.tags)

    @property
    def stale(self) -> list[tuple[str, str]]:
        """The tags of ours to be removed, each by the ids of its observable and of itself."""
        doomed = our_tags(self.row) - self.tags
        return [(self.row.id, number) for name, number in self.row.tag_ids if name in doomed]

    def met_by(self, row: Observed | None) -> bool:
        """Tell whether an observable has exactly these of our tags; one that vanished may."""
        return row is None or our_tags(row) == self.tags


def our_tags(row: Observed) -> frozenset[str]:
    """Return the tags of an observable that are ours."""
    return frozenset(name for name in row.tags if _OURS.fullmatch(name))


class ThreatStreamEnrichment:
    """What one user of ThreatStream sees there, as the place of tags.

    Whose observables they are makes no difference: a tag with TLP red is the organisation's own.
    """

    name = "anomali"
    expire_days: int | None = None
    revision = f"anomali-enrichment 1 {MALICIOUS_SCORE} {SUSPICIOUS_SCORE}"

    def __init__(
        self,
        *,
        transport: Transport,
        values: Values,
        username: str,
        api_key: str,
        url: str = "https://api.threatstream.com",
        now: Now = utc_now,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api = ThreatStreamApi(
            transport=transport,
            values=values,
            url=url,
            username=username,
            api_key=api_key,
            mark=MARK,
            hints=_HINTS,
        )
        self._values, self._now, self._sleep = values, now, sleep
        self.limits = Limits(batch=BATCH, per_minute=CALLS_PER_MINUTE)

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the value whose observables are tagged, or why there are no tags for it."""
        key = self._values.key(indicator.key.kind, indicator.key.value)
        if isinstance(key, Refused):
            return Skip(key.reason)
        return key if key.kind in SCORED_KINDS else Skip("no reputation for this kind")

    def listing(self, *, deadline: Deadline) -> None:
        """Return None: no one tag is on everything that we tagged."""

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        """Read what is there, change our tags on it, and read back what came of it.

        Raises `MdtiError` for a wrong key, a user who may not tag the organisation's own
        observables, and a service that has not answered three times in a row.
        """
        send = partial(self._carry_out, deadline=deadline)
        carry = partial(self._api.carrier.carry_out, send=send, divided_by=frozenset[int]())
        return each_row_once(operations, carry)

    def _carry_out(
        self, operations: Sequence[Operation], *, deadline: Deadline
    ) -> Sequence[Outcome]:
        found = self._api.named([one.key for one in operations], deadline=deadline)
        refusals = {one.key: self._refusal(one, found[one.key]) for one in operations}
        goals = [
            goal
            for one in operations
            if refusals[one.key] in ("", _GONE)
            for goal in _goals(one, found[one.key])
        ]
        errors = self._send(goals, deadline)
        shown = self._read_back(goals, errors, deadline)
        return [
            Outcome(one.key, "rejected", refusals[one.key])
            if refusals[one.key]
            else _outcome(one.key, [goal for goal in goals if goal.key == one.key], shown, errors)
            for one in operations
        ]

    def _refusal(self, operation: Operation, rows: Sequence[Observed]) -> str:
        if not isinstance(operation, Put):
            return ""
        until = operation.indicator.valid_until
        if until is not None and until <= self._now():
            return "expired"
        if worth(operation.indicator) is None:
            return "no reputation"
        return "" if any(_is_tagged(row) for row in rows) else _GONE

    def _send(self, goals: Sequence[Goal], deadline: Deadline) -> dict[str, MdtiError]:
        """Add what is missing, then remove what is stale; return errors by observables' ids.

        Raises what concerns all of them: a refused key, a missing right, no answer to anything.
        """
        bodies = {
            goal.row.id: [{"name": name, "tlp": TLP} for name in goal.missing]
            for goal in goals
            if goal.missing
        }
        added = self._api.add_tags(bodies, deadline=deadline)
        stale = [place for goal in goals if not added.get(goal.row.id) for place in goal.stale]
        removed = self._api.remove_tags(stale, deadline=deadline)
        tried = [*added.items(), *((row, error) for (row, _), error in removed.items())]
        errors = {row: error for row, error in tried if error is not None}
        for goal in goals:
            # Not a tag that stays, nor a partner's observable: these say nothing of the next one.
            forbidden = goal.row.editable and isinstance(added.get(goal.row.id), Forbidden)
            error = errors.get(goal.row.id)
            if error is not None and (forbidden or isinstance(error, Unauthorized)):
                raise explained(error, _HINTS)
        if tried and not any(error is None or _is_refusal(error) for _, error in tried):
            raise next(iter(errors.values()))
        return errors

    def _read_back(
        self, goals: Sequence[Goal], errors: Mapping[str, MdtiError], deadline: Deadline
    ) -> dict[str, Observed | None]:
        """Return the observables as they are after what was sent, None for one that vanished."""
        shown: dict[str, Observed | None] = {goal.row.id: goal.row for goal in goals}
        left = [goal for goal in goals if goal.missing or goal.stale]
        for _ in looks(deadline, self._sleep):
            if not left:
                break
            rows = self._api.named([goal.key for goal in left], deadline=deadline)
            there = {row.id: row for found in rows.values() for row in found}
            shown |= {goal.row.id: there.get(goal.row.id) for goal in left}
            left = [
                goal
                for goal in left
                if isinstance(errors.get(goal.row.id), Missing | None)
                and not goal.met_by(shown[goal.row.id])
            ]
        return shown


def _is_tagged(row: Observed) -> bool:
    """Tell whether an observable is one to be tagged: in force, and not our own import."""
    return row.status == "active" and not row.ours


def _goals(operation: Operation, rows: Iterable[Observed]) -> list[Goal]:
    """Return what is to become of the rows of a value: what is over loses its tags."""
    score = worth(operation.indicator) if isinstance(operation, Put) else None
    tags = frozenset[str]() if score is None else tags_of(score)
    return [Goal(operation.key, row, tags if _is_tagged(row) else frozenset()) for row in rows]


def _outcome(
    key: Key,
    goals: Sequence[Goal],
    shown: Mapping[str, Observed | None],
    errors: Mapping[str, MdtiError],
) -> Outcome:
    """Return what became of a value: what is not known of one observable is not known of it."""
    tagged = [goal.row.id for goal in goals if (row := shown[goal.row.id]) and our_tags(row)]
    remote_id = next(iter(tagged), None)
    unmet = [goal for goal in goals if not goal.met_by(shown[goal.row.id])]
    refused = [goal for goal in unmet if _is_refusal(errors.get(goal.row.id))]
    for goal in goals:
        error = errors.get(goal.row.id)
        if error is not None and not _is_refusal(error):
            return Outcome(key, "pending", error.message)
    if len(refused) < len(unmet):
        return Outcome(key, "pending", _NOT_THERE)
    if refused:
        first = refused[0]
        reason = _words(first, shown[first.row.id], errors[first.row.id])
        return Outcome(key, "rejected", reason, remote_id)
    return Outcome(key, "accepted", "" if tagged else "gone already", remote_id)


def _is_refusal(error: MdtiError | None) -> bool:
    """Tell whether an observable was refused; anything else leaves open what became of it."""
    status = error.status if isinstance(error, ApiError) else None
    return status is not None and 400 <= status < 500 and status not in _NO_VERDICT


def _words(goal: Goal, row: Observed | None, error: MdtiError) -> str:
    lacks = row is not None and not goal.tags <= our_tags(row)
    what = "take the tags" if lacks else "give up an older tag"
    where = "an observable" if goal.row.editable else "another organisation's observable"
    words = error.reason if isinstance(error, ApiError) and error.reason else error.message
    return f"{where} does not {what}: {words}"
