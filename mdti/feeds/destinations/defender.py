"""Microsoft Defender for Endpoint as a destination: imports of 500, batch deletes, our rows only.

What the tenant holds is read before it is changed: a row without our mark is neither overwritten
nor deleted. The identity should have `Ti.ReadWrite`, with which it sees the rows of its own
application alone; with `Ti.ReadWrite.All` the mark decides. Contract: sentinel-and-defender 2.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from mdti.errors import (
    ApiError,
    BadAnswer,
    Forbidden,
    MdtiError,
    Missing,
    SettingError,
    Unauthorized,
)
from mdti.feeds.asking import Hints, Now, document_of, utc_now
from mdti.feeds.destinations.carrying import REFUSED, Carrier, each_row_once, pending
from mdti.feeds.destinations.defender_import import ImportRow, judge_import
from mdti.feeds.destinations.defender_rows import DefenderRows, policy_of
from mdti.feeds.destinations.defender_tenant import Tenant
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Drop, Limits, Operation, Outcome, Owned, Put, Skip
from mdti.feeds.values import Values
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.paging import next_link
from mdti.net.transport import Transport

BATCH: Final = 500
IMPORTS_PER_MINUTE: Final = 30
PARALLEL: Final = 6
"""Calls under way at once: the documented rate is kept while one of them takes 12 seconds."""
TENANT_CAPACITY: Final = 15_000
"""Indicators that one tenant holds, of all sources; Microsoft grants no more."""
MARK: Final = "MDTI Actor Lookup"
PAGE: Final = 10_000
_MOST_PAGES = 100
_FRESH = timedelta(minutes=2)
_HINTS: Hints = {
    Unauthorized: "DEFENDER_SCOPE must be the audience of the Defender API in this cloud.",
    Forbidden: "Give the app's identity the application permission Ti.ReadWrite on "
    "WindowsDefenderATP (infra/grant.sh); a token from before the grant lives up to a day. "
    "Custom network indicators must be switched on in the tenant.",
    Missing: "DEFENDER_ENDPOINT must be the root of the Defender API, such as "
    "https://api.securitycenter.microsoft.com.",
}


class Defender:
    """Defender's indicators of one tenant.

    `action` is a name that `policy_of` knows; `passive_only` makes it `Audit`, the mildest there
    is: Defender has no silent mode. Rows live `expire_days`, less when their indicator ends sooner.
    `capacity` is how many rows may be ours. `resource_path` lies below `endpoint`.
    """

    name = "defender"

    def __init__(
        self,
        *,
        transport: Transport,
        values: Values,
        endpoint: str = "https://api.securitycenter.microsoft.com",
        scope: str = "https://api.securitycenter.microsoft.com/.default",
        action: str = "Audit",
        passive_only: bool = False,
        expire_days: int = 30,
        capacity: int = 12_000,
        resource_path: str = "api/indicators",
        mark: str = MARK,
        accept_md5: bool = False,
        now: Now = utc_now,
    ) -> None:
        if expire_days < 1:
            raise SettingError("DEFENDER_EXPIRE_DAYS must be at least 1.")
        policy = policy_of(action, passive_only=passive_only)
        self._rows = DefenderRows(
            values=values,
            policy=policy,
            expire_days=expire_days,
            mark=mark,
            accept_md5=accept_md5,
        )
        self._url = f"{endpoint.rstrip('/')}/{resource_path.strip('/')}"
        self._scope = scope
        self._now = now
        self._carrier = Carrier(transport, hints=_HINTS)
        self._tenant = Tenant(now())
        self._reading = threading.Lock()
        self._changing = threading.Lock()
        self.expire_days = expire_days
        self.revision = f"defender 1 {policy} {expire_days} {mark}"
        self.limits = Limits(
            batch=BATCH,
            per_minute=IMPORTS_PER_MINUTE,
            capacity=min(capacity, TENANT_CAPACITY),
            parallel=PARALLEL,
        )

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the row that the indicator becomes, or why Defender cannot hold it."""
        return self._rows.key(indicator)

    def listing(self, *, deadline: Deadline) -> Iterator[Owned]:
        """Yield every row that this identity sees; where a value has several, ours comes last."""
        tenant = self._read_again(deadline)
        rows = sorted(tenant.rows(), key=lambda row: row.ours)
        return (Owned(row.key, row.remote_id, row.ours) for row in rows)

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        """Remove and import rows: at most one call of each kind while none is refused as a whole.

        Raises `MdtiError` for a wrong audience, a missing role, a feature that is off, and a
        service that has not answered three times in a row.
        """
        return each_row_once(operations, lambda wanted: self._carry_out(wanted, deadline))

    def _carry_out(self, wanted: Sequence[Operation], deadline: Deadline) -> list[Outcome]:
        try:
            self._read_if_needed(wanted, deadline)
        except MdtiError as error:
            self._carrier.forgive(error)
            return [pending(operation, error.message) for operation in wanted]
        done = self._drop([one for one in wanted if isinstance(one, Drop)], deadline)
        return done + self._put([one for one in wanted if isinstance(one, Put)], deadline)

    def _put(self, puts: Sequence[Put], deadline: Deadline) -> list[Outcome]:
        outcomes: list[Outcome] = []
        sent: list[ImportRow] = []
        for put in puts:
            body = self._rows.body(put.key, put.indicator, now=self._now())
            known = self._tenant.ours(put.key)
            if body is None:
                outcomes.append(Outcome(put.key, "rejected", "expired"))
            elif not known and self._tenant.foreign(put.key):
                reason = "an indicator of somebody else has this value"
                outcomes.append(Outcome(put.key, "rejected", reason))
            else:
                sent.append(ImportRow(key=put.key, new=not known, body=body))
        return outcomes + self._carrier.carry_out(sent, lambda part: self._import(part, deadline))

    def _import(self, part: Sequence[ImportRow], deadline: Deadline) -> Sequence[Outcome]:
        document = {"Indicators": [row.body for row in part]}
        response = self._post("import", document, deadline)
        full = self._tenant.size >= TENANT_CAPACITY
        outcomes = judge_import(part, _results(response), full=full)
        with self._changing:
            for outcome in outcomes:
                if outcome.state == "accepted" and outcome.remote_id is not None:
                    self._tenant.add(outcome.key, outcome.remote_id, now=self._now())
        return outcomes

    def _drop(self, drops: Sequence[Drop], deadline: Deadline) -> list[Outcome]:
        return self._carrier.carry_out(
            drops,
            lambda part: self._delete(part, deadline),
            divided_by=REFUSED | {404},
            alone=_not_deleted,
        )

    def _delete(self, part: Sequence[Drop], deadline: Deadline) -> Sequence[Outcome]:
        """Delete what is still there and ours; a row that is gone already was removed."""
        try:
            self._delete_ids(self._ids(part), deadline)
        except Missing:
            unlisted = self._read_again(deadline).unlisted(self._ids(part))
            listed = [remote_id for remote_id in self._ids(part) if remote_id not in unlisted]
            self._delete_ids(listed, deadline)
            self._delete_ids(unlisted, deadline)
        return [Outcome(drop.key, "accepted") for drop in part]

    def _delete_ids(self, ids: Sequence[str], deadline: Deadline) -> None:
        for start in range(0, len(ids), BATCH):
            chosen = ids[start : start + BATCH]
            self._post("BatchDelete", {"IndicatorIds": chosen}, deadline)
            with self._changing:
                self._tenant.forget(chosen)

    def _ids(self, part: Sequence[Drop]) -> list[str]:
        return list(
            dict.fromkeys(remote_id for drop in part for remote_id in self._tenant.ours(drop.key))
        )

    def _post(self, action: str, document: Mapping[str, Any], deadline: Deadline) -> Response:
        request = Request(
            url=f"{self._url}/{action}",
            method="POST",
            audience=self._scope,
            body=json.dumps(document, separators=(",", ":")).encode(),
            content_type="application/json",
            idempotent=True,  # import creates or updates, and what is deleted twice is gone
        )
        return self._carrier.ask(request, deadline=deadline)

    def _read_if_needed(self, operations: Sequence[Operation], deadline: Deadline) -> None:
        """Read the tenant when that was long ago, or when a row to be removed is not known."""
        with self._reading:
            tenant = self._tenant
            stale = not tenant.loaded or self._now() - tenant.at >= _FRESH
            ids = (one.remote_id for one in operations if isinstance(one, Drop))
            if stale or not all(tenant.knows(remote_id) for remote_id in ids if remote_id):
                self._read(deadline)

    def _read_again(self, deadline: Deadline) -> Tenant:
        with self._reading:
            return self._read(deadline)

    def _read(self, deadline: Deadline) -> Tenant:
        tenant = Tenant(self._now())
        for row in self._pages(deadline):
            key, remote_id = self._rows.read(row), row.get("id")
            tenant.count()
            if key is not None and isinstance(remote_id, str):
                tenant.put(key, remote_id, ours=self._rows.is_ours(row))
        tenant.loaded = True
        with self._changing:
            self._tenant = tenant.merged(self._tenant)
            return self._tenant

    def _pages(self, deadline: Deadline) -> Iterator[Mapping[str, Any]]:
        """Yield every visible row; no `$filter`, so there is none that could be ignored."""
        request = self._page(0)
        read = 0
        seen: set[str] = set()
        while request.url not in seen and len(seen) < _MOST_PAGES:
            seen.add(request.url)
            response = self._carrier.ask(request, deadline=deadline)
            document = document_of(response)
            rows = document.get("value")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise BadAnswer(f"{response.api} listed no indicators.", api=response.api)
            yield from rows
            read += len(rows)
            link = document.get("@odata.nextLink")
            if link is None and len(rows) < PAGE:
                return
            request = self._page(read) if link is None else self._follow(request, link, response)
        raise BadAnswer("Defender linked the pages of its list in a circle.")

    def _page(self, skip: int) -> Request:
        query = urlencode({"$top": PAGE, "$skip": skip}, safe="$")
        return Request(f"{self._url}?{query}", audience=self._scope)

    def _follow(self, request: Request, link: object, response: Response) -> Request:
        return Request(next_link(request, link, api=response.api), audience=self._scope)


def _results(response: Response) -> list[Mapping[str, Any]]:
    results = document_of(response).get("value")
    if not isinstance(results, list):
        raise BadAnswer(f"{response.api} gave no results of an import.", api=response.api)
    return [result if isinstance(result, dict) else {} for result in results]


def _not_deleted(drop: Drop, error: ApiError) -> Outcome:
    if error.status == 404:
        return Outcome(drop.key, "accepted", "gone already")
    return pending(drop, error.reason or error.message)
