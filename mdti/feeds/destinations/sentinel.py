"""Microsoft Sentinel as a destination: the upload API for STIX objects, 100 in a call.

Sentinel lists nothing back through this API, so the ledger alone knows what is ours; the source
system keeps it apart from everybody else's, and is frozen after the first run. A row is removed by
a revoked version of its object. Contract: sentinel-and-defender 1.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from mdti.errors import BadAnswer, Forbidden, Missing, SettingError, Unauthorized
from mdti.feeds.asking import Hints, Now, utc_now
from mdti.feeds.destinations.carrying import Carrier, each_row_once
from mdti.feeds.destinations.sentinel_objects import SentinelObjects, created_of, remember
from mdti.feeds.indicator import Indicator, Key, Tlp
from mdti.feeds.ports import Drop, Limits, Operation, Outcome, Skip
from mdti.feeds.values import Refused, Values
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response
from mdti.net.transport import Transport

BATCH: Final = 100
CALLS_PER_MINUTE: Final = 100
PARALLEL: Final = 20
"""Calls under way at once: the documented rate is kept while one of them takes 12 seconds."""
API_VERSION: Final = "2024-02-01-preview"
OPERATION: Final = "threat-intelligence-stix-objects:upload"
"""Last segment of the path; a template for US Government spells it `threatintelligence-...`."""
MAX_SOURCE_SYSTEM: Final = 256
RESERVED: Final = "microsoft sentinel"
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SPELLINGS: Final = ("errorMessages", "validationErrorMessages")
_NO_WORDS: Final = "rejected without a reason"
_HINTS: Hints = {
    Unauthorized: "The token's audience must be the Azure Resource Manager of this cloud.",
    Forbidden: "Give the app's identity the role Microsoft Sentinel Contributor on the workspace "
    "(infra/grant.sh); a token from before the grant may live up to a day.",
    Missing: "SENTINEL_WORKSPACE_ID must be the workspace's own GUID, not its resource id, and "
    "SENTINEL_TI_ENDPOINT the upload API of this cloud.",
}


class Sentinel:
    """The threat intelligence of one workspace under one source system.

    `workspace_id` is the Log Analytics workspace's GUID. Rows live `expire_days`, less when their
    indicator ends sooner; None leaves the end to the indicator. `default_tlp` marks what comes
    without one.
    """

    name = "sentinel"

    def __init__(
        self,
        *,
        transport: Transport,
        values: Values,
        workspace_id: str,
        source_system: str,
        endpoint: str = "https://api.ti.sentinel.azure.com",
        scope: str = "https://management.azure.com/.default",
        operation: str = OPERATION,
        expire_days: int | None = 30,
        default_tlp: Tlp | None = None,
        now: Now = utc_now,
    ) -> None:
        if not _GUID.fullmatch(workspace_id):
            raise SettingError("SENTINEL_WORKSPACE_ID must be a GUID.")
        named = source_system.strip()
        if not named or len(named) > MAX_SOURCE_SYSTEM or named.lower() == RESERVED:
            raise SettingError(
                "SENTINEL_SOURCE_SYSTEM must have 1 to 256 characters, and not be the reserved "
                "name Microsoft Sentinel."
            )
        if expire_days is not None and expire_days < 1:
            raise SettingError("SENTINEL_EXPIRE_DAYS must be at least 1.")
        self._objects = SentinelObjects(
            source_system=named, expire_days=expire_days, default_tlp=default_tlp
        )
        self._values = values
        path = f"workspaces/{workspace_id}/{quote(operation, safe=':')}"
        self._url = f"{endpoint.rstrip('/')}/{path}?api-version={API_VERSION}"
        self._scope = scope
        self._now = now
        self._carrier = Carrier(transport, hints=_HINTS)
        self.expire_days = expire_days
        self.revision = f"sentinel 1 {expire_days} {default_tlp} {named}"
        self.limits = Limits(batch=BATCH, per_minute=CALLS_PER_MINUTE, parallel=PARALLEL)

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the row that the indicator becomes, or why it becomes none."""
        key = self._values.key(indicator.key.kind, indicator.key.value)
        return Skip(key.reason) if isinstance(key, Refused) else key

    def listing(self, *, deadline: Deadline) -> None:  # noqa: ARG002 - every destination's
        """Return None: the upload API lists nothing."""
        return

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        """Upload new, changed and revoked objects in one call while none is refused as a whole.

        Raises `MdtiError` for a wrong audience, a missing role, an unknown workspace, and a service
        that has not answered three times in a row.
        """
        return each_row_once(operations, lambda wanted: self._carry_out(wanted, deadline))

    def _carry_out(self, wanted: Sequence[Operation], deadline: Deadline) -> list[Outcome]:
        now = self._now()
        outcomes: list[Outcome] = []
        sent: list[_Upload] = []
        for operation in wanted:
            upload = self._upload(operation, now)
            if upload is None:
                outcomes.append(Outcome(operation.key, "rejected", "expired"))
            else:
                sent.append(upload)
        return outcomes + self._carrier.carry_out(sent, lambda part: self._send(part, deadline))

    def _upload(self, operation: Operation, now: datetime) -> "_Upload | None":
        """Return what to upload; None for an indicator whose time is over."""
        key, generation = operation.key, operation.generation
        stix_id = self._objects.stix_id(key, generation)
        created = created_of(operation.remote_id, stix_id) or now
        if isinstance(operation, Drop):
            document: dict[str, Any] | None = self._objects.revoked(
                key, generation=generation, created=created, now=now
            )
        else:
            document = self._objects.wanted(
                key, operation.indicator, generation=generation, created=created, now=now
            )
        if document is None:
            return None
        return _Upload(key, document, remember(stix_id, created))

    def _send(self, part: Sequence["_Upload"], deadline: Deadline) -> Sequence[Outcome]:
        document = {
            "sourcesystem": self._objects.source_system,
            "stixobjects": [upload.document for upload in part],
        }
        request = Request(
            url=self._url,
            method="POST",
            audience=self._scope,
            body=json.dumps(document, separators=(",", ":")).encode(),
            content_type="application/json",
            idempotent=True,  # an object that is uploaded twice is there once
        )
        refused = refusals_of(self._carrier.ask(request, deadline=deadline), len(part))
        return [
            Outcome(upload.key, "rejected", refused[place])
            if place in refused
            else Outcome(upload.key, "accepted", "", upload.remote_id)
            for place, upload in enumerate(part)
        ]


@dataclass(frozen=True, slots=True)
class _Upload:
    """One object on its way, and what the ledger is to keep of it."""

    key: Key
    document: dict[str, Any] = field(repr=False)
    remote_id: str


def refusals_of(response: Response, sent: int) -> dict[int, str]:
    """Return why objects were refused, by their place; {} when all were taken.

    Raises `BadAnswer` for a refusal that names no object: nothing is known of any then.
    """
    if not response.body.strip():
        return {}
    document = response.json()
    errors = document.get("errors", []) if isinstance(document, dict) else None
    if not isinstance(errors, list):
        raise _unreadable(response)
    refused: dict[int, str] = {}
    for error in errors:
        place = error.get("recordIndex") if isinstance(error, dict) else None
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < sent:
            raise _unreadable(response)
        refused[place] = _words(error)
    return refused


def _words(error: dict[str, Any]) -> str:
    """Return the messages of a refusal; page and specification name the list differently."""
    found = [error[name] for name in _SPELLINGS if isinstance(error.get(name), list)]
    return "; ".join(str(word) for words in found for word in words) or _NO_WORDS


def _unreadable(response: Response) -> BadAnswer:
    return BadAnswer(
        f"{response.api} refused objects without saying which.",
        api=response.api,
        status=response.status,
    )
