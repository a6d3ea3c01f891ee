"""One apply to ThreatStream: what is there, what is imported, and the proof of it.

put    settled already | refused | waits for a session | changed by id | imported
drop   our active row is set inactive
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from mdti.errors import ApiError, MdtiError, Missing
from mdti.feeds.destinations.threatstream_api import ThreatStreamApi
from mdti.feeds.destinations.threatstream_rows import (
    Observed,
    Shape,
    change_body,
    form_body,
    meta_body,
    object_body,
    same_tlp,
    tag_bodies,
)
from mdti.feeds.destinations.threatstream_session import (
    OPEN,
    WAITS_FOR_APPROVAL,
    WORKING,
    Session,
)
from mdti.feeds.indicator import Key
from mdti.feeds.ports import Drop, Outcome, Put
from mdti.net.deadline import Deadline

Approval = Literal["import", "direct"]

MOST_BYTES: Final = 1_000_000
"""Bytes of objects in one import; Anomali documents no limit."""
WAITS: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further look for what was imported."""
_FALSE_POSITIVE: Final = "ThreatStream calls it a false positive"
_FOREIGN: Final = "an import of somebody else has this value"
_NOT_TOLD: Final = "ThreatStream did not say how the import session stands"
_NOT_THERE: Final = "taken by ThreatStream, but not there yet"


@dataclass(frozen=True, slots=True)
class Import:
    """One value on its way; `before` is our row that is there already."""

    key: Key
    shape: Shape
    before: Observed | None = None


class Work:
    """The operations of one apply; `found` is what ThreatStream holds of their values.

    `notes` go with each import session, for the person who decides about it.
    """

    def __init__(
        self,
        api: ThreatStreamApi,
        found: Mapping[Key, Sequence[Observed]],
        *,
        approval: Approval,
        notes: str,
        deadline: Deadline,
        sleep: Callable[[float], object],
    ) -> None:
        self._api, self._found, self._approval, self._notes = api, found, approval, notes
        self._deadline, self._sleep = deadline, sleep
        self._statuses: dict[str, str] = {}
        self._outcomes: dict[Key, Outcome] = {}

    def outcomes(
        self, puts: Sequence[tuple[Put, Shape | None]], drops: Sequence[Drop]
    ) -> dict[Key, Outcome]:
        """Carry the operations out; a shape of None is that of an indicator whose time is over."""
        self._drop(drops)
        imports = [one for put, shape in puts if (one := self._start(put, shape)) is not None]
        if self._approval == "direct":
            self._import_directly(imports)
        else:
            self._change([one for one in imports if one.before is not None])
            self._open_sessions([one for one in imports if one.before is None])
        return self._outcomes

    def _start(self, put: Put, shape: Shape | None) -> Import | None:
        """Settle an operation if nothing needs to be sent; else return what does."""
        rows = self._found[put.key]
        ours = next((row for row in rows if row.ours), None)
        if shape is None:
            self._settle(put.key, "rejected", "expired")
        elif ours is None and any(row.editable for row in rows):
            self._settle(put.key, "rejected", _FOREIGN)
        elif ours is not None and ours.status == "falsepos":
            self._settle(put.key, "rejected", _FALSE_POSITIVE)
        elif ours is not None and ours.says(shape):
            self._settle(put.key, "accepted", remote_id=ours.id)
        else:
            session = Session.of(put.remote_id)
            if session is None or not self._waits(put.key, session, shape, ours):
                return Import(put.key, shape, ours)
        return None

    def _waits(self, key: Key, session: Session, shape: Shape, ours: Observed | None) -> bool:
        """Settle what its import session decides; False when it needs to be imported anew."""
        status, same = self._status(session.number), session.digest == shape.digest
        if status in OPEN:
            self._settle(key, "awaiting_approval", WAITS_FOR_APPROVAL, session.remote_id)
            return True
        if not same:
            return False
        if status != "approved":
            self._settle(key, "rejected", f"the import session ended as {status or 'nothing'}")
        elif ours is not None and ours.status == "active":
            self._settle(key, "accepted", remote_id=ours.id)
        elif session.seen:
            self._settle(key, "rejected", "approved, but left out by ThreatStream")
        else:
            self._settle(key, "pending", _NOT_THERE, replace(session, seen=True).remote_id)
        return True

    def _import_directly(self, imports: Sequence[Import]) -> None:
        for expires in dict.fromkeys(one.shape.expires for one in imports):
            group = [one for one in imports if one.shape.expires == expires]
            for chunk in _chunks(group):
                self._carry(chunk, self._import_and_prove)

    def _import_and_prove(self, part: Sequence[Import]) -> Sequence[Outcome]:
        objects = [object_body(one.key, one.shape) for one in part]
        body = {"meta": meta_body(part[0].shape.expires), "objects": objects}
        self._api.import_directly(body, deadline=self._deadline)
        return self._prove(part)

    def _open_sessions(self, imports: Sequence[Import]) -> None:
        """Open one session for each shape, then wait a little for those that a rule approves."""
        groups: dict[Shape, list[Import]] = {}
        for one in imports:
            groups.setdefault(one.shape, []).append(one)
        opened: dict[str, list[Import]] = {}
        chunks = [chunk for group in groups.values() for chunk in _chunks(group)]
        for place, chunk in enumerate(chunks):
            try:
                self._carry(chunk, partial(self._open, opened))
            except MdtiError as error:
                if not opened:
                    raise
                # Raised, it would take with it which sessions are open already.
                for one in (one for rest in chunks[place:] for one in rest):
                    self._settle(one.key, "pending", error.message)
                break
        for number, status in self._decided(list(opened)).items():
            if status == "approved":
                self._carry(opened[number], self._prove_if_possible)
                for one in opened[number]:
                    self._keep(one.key, Session(number, one.shape.digest))
            elif status is None:
                for one in opened[number]:
                    waits = Session(number, one.shape.digest).remote_id
                    self._settle(one.key, "pending", _NOT_TOLD, waits)
            elif status not in OPEN:
                for one in opened[number]:
                    self._settle(one.key, "rejected", f"the import session ended as {status}")

    def _open(self, opened: dict[str, list[Import]], part: Sequence[Import]) -> Sequence[Outcome]:
        shape = part[0].shape
        form = form_body([one.key for one in part], shape, notes=self._notes)
        number = self._api.open_session(form, deadline=self._deadline)
        opened[number] = list(part)
        remote_id = Session(number, shape.digest).remote_id
        return [
            Outcome(one.key, "awaiting_approval", WAITS_FOR_APPROVAL, remote_id) for one in part
        ]

    def _decided(self, numbers: Sequence[str]) -> dict[str, str | None]:
        """Return the status of sessions, after waiting for those that are worked on.

        None for one that did not tell; the next apply asks again.
        """
        statuses: dict[str, str | None] = {}
        for _ in looks(self._deadline, self._sleep):
            for number in numbers:
                if statuses.get(number, "processing") in WORKING:
                    statuses[number] = self._status_or_none(number)
            if WORKING.isdisjoint(statuses.values()):
                break
        return statuses

    def _change(self, imports: Sequence[Import]) -> None:
        """Change our rows that are there by their ids, which needs no approval."""
        rows = {one.before.id: one for one in imports if one.before is not None}
        bodies = {number: change_body(one.shape) for number, one in rows.items()}
        failed = self._api.change(bodies, deadline=self._deadline)
        tags = {
            number: tag_bodies(one.shape)
            for number, one in rows.items()
            if failed.get(number) is None and _untagged(one)
        }
        failed |= self._api.add_tags(tags, deadline=self._deadline)
        for number, one in rows.items():
            self._settle_change(one.key, number, failed[number])

    def _drop(self, drops: Sequence[Drop]) -> None:
        doomed: dict[str, Key] = {}
        for drop in drops:
            active = [
                row.id for row in self._found[drop.key] if row.ours and row.status == "active"
            ]
            session = Session.of(drop.remote_id)
            if active:
                doomed |= dict.fromkeys(active, drop.key)
            elif session is not None and self._status(session.number) in OPEN:
                self._settle(drop.key, "awaiting_approval", WAITS_FOR_APPROVAL, session.remote_id)
            else:
                self._settle(drop.key, "accepted", "gone already")
        bodies = {number: {"status": "inactive"} for number in doomed}
        failed = self._api.change(bodies, deadline=self._deadline)
        # Of several rows with one value the one that failed decides, so it comes last.
        for number in sorted(doomed, key=lambda number: failed[number] is not None):
            gone = None if isinstance(failed[number], Missing) else failed[number]
            self._settle_change(doomed[number], number, gone)

    def _prove(self, part: Sequence[Import]) -> Sequence[Outcome]:
        """Read back what was imported; what does not show in time is pending."""
        left = {one.key: one for one in part}
        done: dict[Key, Outcome] = {}
        shown: dict[str, Import] = {}
        for _ in looks(self._deadline, self._sleep):
            rows = self._api.named(list(left), deadline=self._deadline)
            for key, one in list(left.items()):
                row = next((row for row in rows[key] if row.ours), None)
                if row is None or not _shows(one, row):
                    continue
                done[key] = Outcome(key, "accepted", "", row.id)
                if row.status == "falsepos":
                    done[key] = Outcome(key, "rejected", _FALSE_POSITIVE)
                elif one.shape.tlp is not None and not same_tlp(row.tlp, one.shape.tlp):
                    shown[row.id] = one
                del left[key]
            if not left:
                break
        done |= {key: Outcome(key, "pending", _NOT_THERE) for key in left}
        self._mark_tlp(shown, done)
        return [done[one.key] for one in part]

    def _prove_if_possible(self, part: Sequence[Import]) -> Sequence[Outcome]:
        try:
            return self._prove(part)
        except MdtiError as error:
            return [Outcome(one.key, "pending", error.message) for one in part]

    def _mark_tlp(self, rows: Mapping[str, Import], done: dict[Key, Outcome]) -> None:
        """Give rows the TLP that an import without approval does not take."""
        bodies = {number: {"tlp": one.shape.tlp} for number, one in rows.items()}
        for number, error in self._api.change(bodies, deadline=self._deadline).items():
            if error is not None:
                key = rows[number].key
                done[key] = Outcome(key, "pending", f"without its TLP: {error.message}")

    def _carry(
        self, imports: Sequence[Import], send: Callable[[Sequence[Import]], Sequence[Outcome]]
    ) -> None:
        for outcome in self._api.carrier.carry_out(imports, send):
            self._outcomes[outcome.key] = outcome

    def _status(self, number: str) -> str:
        if number not in self._statuses:
            self._statuses[number] = self._ask_status(number)
        return self._statuses[number]

    def _status_or_none(self, number: str) -> str | None:
        try:
            return self._ask_status(number)
        except MdtiError:
            return None

    def _ask_status(self, number: str) -> str:
        return self._api.session_status(number, deadline=self._deadline)

    def _settle(
        self,
        key: Key,
        state: Literal["accepted", "rejected", "pending", "awaiting_approval"],
        reason: str = "",
        remote_id: str | None = None,
    ) -> None:
        self._outcomes[key] = Outcome(key, state, reason, remote_id)

    def _settle_change(self, key: Key, number: str, error: MdtiError | None) -> None:
        if error is None:
            self._settle(key, "accepted", remote_id=number)
        elif isinstance(error, ApiError) and error.status in (400, 403, 422):
            self._settle(key, "rejected", error.reason or error.message)
        else:
            self._settle(key, "pending", error.message)

    def _keep(self, key: Key, session: Session) -> None:
        """Let an outcome that is pending name its session."""
        outcome = self._outcomes[key]
        if outcome.state == "pending":
            self._outcomes[key] = replace(outcome, remote_id=session.remote_id)


def looks(deadline: Deadline, sleep: Callable[[float], object]) -> Iterator[None]:
    """Yield at once, and again after each wait that the deadline leaves time for."""
    yield
    for wait in WAITS:
        if wait >= deadline.remaining():
            return
        sleep(wait)
        yield


def _shows(one: Import, row: Observed) -> bool:
    """Tell whether a row proves that the import was done."""
    if row.status == "falsepos" or row.says(one.shape):
        return True
    if one.before is None:
        return row.status == "active"
    return row.status == "active" and row.update_id > one.before.update_id


def _untagged(one: Import) -> bool:
    known = one.before.tags if one.before is not None else frozenset()
    return not {tag.casefold() for tag in one.shape.tags} <= known


def _chunks(imports: Sequence[Import]) -> Iterator[list[Import]]:
    """Split imports so that none becomes too large."""
    chunk: list[Import] = []
    size = 0
    for one in imports:
        length = len(json.dumps(object_body(one.key, one.shape)))
        if chunk and size + length > MOST_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += length
    if chunk:
        yield chunk
