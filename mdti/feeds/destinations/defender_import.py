"""What the results of an import mean (pure).

Only ids, values and `isFailed` are believed. The words of a refusal are free text: they are passed
on, and compared with each other, but not read.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mdti.feeds.indicator import Key
from mdti.feeds.ports import Outcome

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """One row on its way; `new` when it takes a place that was free."""

    key: Key
    new: bool
    body: Mapping[str, Any] = field(repr=False)


def judge_import(
    rows: Sequence[ImportRow], results: Sequence[Result], *, full: bool
) -> list[Outcome]:
    """Return one outcome for each row; `full` when the tenant is known to hold all it can.

    A row without a result is pending. New rows that fail one after the other up to the last new
    one, all with the same words, met a full tenant: over cap. A single such row may as well be a
    bad one, so it is pending: it comes in another place next time.
    """
    found = _matched(rows, results)
    outcomes = [_outcome(row, result) for row, result in zip(rows, found, strict=True)]
    refused = [place for place, row in enumerate(rows) if row.new and _is_refused(outcomes[place])]
    places = refused if full else _tail(rows, outcomes)
    state: Literal["over_cap", "pending"] = "over_cap" if full or len(places) > 1 else "pending"
    for place in places:
        outcomes[place] = replace(outcomes[place], state=state)
    return outcomes


def _matched(rows: Sequence[ImportRow], results: Sequence[Result]) -> list[Result | None]:
    """Return each row's result: by its place where the values agree, else by its value."""
    values = [_fold(row.body["indicatorValue"]) for row in rows]
    if values == [_fold(result.get("indicator")) for result in results]:
        return list(results)
    by_value: defaultdict[str, deque[Result]] = defaultdict(deque)
    for result in results:
        by_value[_fold(result.get("indicator"))].append(result)
    return [by_value[value].popleft() if by_value[value] else None for value in values]


def _outcome(row: ImportRow, result: Result | None) -> Outcome:
    failed = None if result is None else result.get("isFailed")
    if result is None or not isinstance(failed, bool):
        return Outcome(row.key, "pending", "Defender gave no result for it")
    remote_id = result.get("id")
    if not failed:
        return Outcome(row.key, "accepted", "", remote_id if isinstance(remote_id, str) else None)
    words = result.get("failureReason")
    return Outcome(row.key, "rejected", words if isinstance(words, str) and words else "refused")


def _tail(rows: Sequence[ImportRow], outcomes: Sequence[Outcome]) -> list[int]:
    """Return the new rows at the end that were refused with the same words."""
    tail: list[int] = []
    for place in reversed(range(len(rows))):
        if not rows[place].new:
            continue
        outcome = outcomes[place]
        if not _is_refused(outcome) or (tail and outcome.reason != outcomes[tail[0]].reason):
            break
        tail.append(place)
    return tail


def _is_refused(outcome: Outcome) -> bool:
    return outcome.state == "rejected"


def _fold(value: object) -> str:
    return value.casefold() if isinstance(value, str) else ""
