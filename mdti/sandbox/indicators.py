"""Defender's indicators of one tenant: what it takes, what it refuses, and who owns a row.

Rules follow ti-indicator.md and import-ti-indicators.md (contracts: sentinel-and-defender 2); the
texts of refusals are invented, because no document shows one.
"""

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Any

Row = dict[str, Any]

CAPACITY = 15_000
FILTERABLE = frozenset(
    {
        "application",
        "createdByDisplayName",
        "expirationTime",
        "generateAlert",
        "title",
        "rbacGroupNames",
        "rbacGroupIds",
        "indicatorValue",
        "indicatorType",
        "creationTimeDateTimeUtc",
        "createdBy",
        "action",
        "severity",
    }
)
_ACTIONS = frozenset({"Allowed", "Audit", "Warn", "Block", "BlockAndRemediate"})
_SEVERITIES = frozenset({"Informational", "Low", "Medium", "High"})
_HASHES = {"FileMd5": 32, "FileSha1": 40, "FileSha256": 64, "CertificateThumbprint": 40}
_NETWORK = frozenset({"IpAddress", "DomainName", "Url"})
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_FIXED = frozenset({"id", "indicatorValue", "application", "createdBy"})
_CLAUSE = re.compile(r"(\w+)\s+eq\s+('(?:[^']|'')*'|\w+)")
_DEFAULTS: Mapping[str, Any] = {
    "severity": "Informational",
    "category": 1,
    "application": None,
    "educateUrl": None,
    "bypassDurationHours": None,
    "recommendedActions": "",
    "expirationTime": None,
    "rbacGroupNames": (),
    "rbacGroupIds": (),
    "notificationId": None,
    "notificationBody": None,
    "version": None,
    "mitreTechniques": (),
    "historicalDetection": False,
    "lookBackPeriod": None,
    "generateAlert": False,
    "additionalInfo": None,
    "externalId": None,
    "certificateInfo": None,
}


class Refused(Exception):
    """One indicator is not taken: the code that a single POST answers with, and a text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Indicators:
    """All rows of a tenant, whoever made them; one more than `capacity` is refused.

    A row is known by type, value without case, and device groups; the value keeps the case that
    was sent first. `application` and the creator stay as they were at creation.
    """

    def __init__(self, *, clock: Callable[[], float], capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.take_md5 = False
        self._clock = clock
        self._lock = threading.RLock()
        self._rows: dict[str, Row] = {}
        self._places: dict[tuple[str, str, str], str] = {}
        self._serial = 4_126
        self._first_end = math.inf

    def rows(self) -> list[Row]:
        """Return every row by id; what has expired is gone."""
        with self._lock:
            self._expire()
            return list(self._rows.values())

    def get(self, number: str) -> Row | None:
        """Return one row."""
        with self._lock:
            self._expire()
            return self._rows.get(number)

    def put(self, given: Mapping[str, Any], *, creator: str, everything: bool = True) -> Row:
        """Create or update a row; raises `Refused`.

        Without `everything` the creator has the role that sees its own rows only, and somebody
        else's row is neither seen nor changed.
        """
        with self._lock:
            self._check(given)
            place = _place(given)
            known = self._rows.get(self._places.get(place, ""))
            if known is not None and not everything and known["createdBy"] != creator:
                raise Refused("DisallowedOperation", "The indicator exists already.")
            if known is None:
                known = self._create(given, creator)
                self._places[place] = known["id"]
            for name, value in given.items():
                if name in known and name not in _FIXED:
                    known[name] = value
            known["lastUpdateTime"] = self._now()
            self._first_end = min(self._first_end, _end(known))
            return known

    def remove(self, number: str) -> None:
        """Remove a row."""
        with self._lock:
            row = self._rows.pop(number)
            del self._places[_place(row)]

    def _expire(self) -> None:
        now = self._clock()
        if now < self._first_end:
            return
        for row in list(self._rows.values()):
            if _end(row) <= now:
                self.remove(row["id"])
        self._first_end = min(map(_end, self._rows.values()), default=math.inf)

    def _create(self, given: Mapping[str, Any], creator: str) -> Row:
        self._expire()
        if len(self._rows) >= self.capacity:
            raise Refused("BadRequest", "Maximum number of indicators has been reached.")
        self._serial += 1
        row: Row = {
            "id": str(self._serial),
            "indicatorValue": given["indicatorValue"],
            "indicatorType": given["indicatorType"],
            "action": given["action"],
            "createdBy": creator,
            "title": given["title"],
            "description": given["description"],
            **{name: _copy(value) for name, value in _DEFAULTS.items()},
            "creationTimeDateTimeUtc": self._now(),
            "lastUpdateTime": self._now(),
            "lastUpdatedBy": None,
            "createdByDisplayName": "ti-feeds",
            "createdBySource": "PublicApi",
        }
        row["application"] = given.get("application")
        self._rows[row["id"]] = row
        return row

    def _check(self, given: Mapping[str, Any]) -> None:
        for name in ("indicatorValue", "indicatorType", "action", "title", "description"):
            if not isinstance(given.get(name), str) or not given[name]:
                raise Refused("MissingRequiredParameter", f"{name} is required.")
        kind, value, action = given["indicatorType"], given["indicatorValue"], given["action"]
        if action not in _ACTIONS:
            raise Refused("InvalidInput", "The action is not supported.")
        if given.get("severity", "Low") not in _SEVERITIES:
            raise Refused("InvalidInput", "The severity is not supported.")
        if action == "Audit" and given.get("generateAlert") is not True:
            raise Refused("InvalidInput", "generateAlert must be true for Audit.")
        if action == "BlockAndRemediate" and kind in _NETWORK:
            raise Refused("InvalidInput", "The action does not fit the type.")
        if kind == "CertificateThumbprint" and action not in {"Allowed", "BlockAndRemediate"}:
            raise Refused("InvalidInput", "The action does not fit the type.")
        until = given.get("expirationTime")
        if until is not None and datetime.fromisoformat(until).timestamp() <= self._clock():
            raise Refused("InvalidInput", "The expiration lies in the past.")
        self._check_value(kind, value)

    def _check_value(self, kind: str, value: str) -> None:
        if len(value) > 800 or value != value.strip() or "*" in value:
            raise Refused("InvalidInput", "The value is not supported.")
        match kind:
            case "FileMd5" if not self.take_md5:
                raise Refused("InvalidInput", "The type is not supported.")
            case "FileMd5" | "FileSha1" | "FileSha256" | "CertificateThumbprint":
                if not re.fullmatch(r"[0-9A-Fa-f]+", value) or len(value) != _HASHES[kind]:
                    raise Refused("InvalidHashValue", "The hash is not valid.")
            case "IpAddress":
                _check_address(value)
            case "DomainName":
                if not _DOMAIN.fullmatch(value):
                    raise Refused("InvalidDomainName", "The domain is not valid.")
            case "Url":
                if not value.lower().startswith(("http://", "https://", "ftp://")):
                    raise Refused("InvalidUrl", "The URL is not valid.")
            case _:
                raise Refused("InvalidInput", "The type is not supported.")

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f1Z")


def filtered(rows: Sequence[Row], text: str) -> list[Row]:
    """Return the rows that a `$filter` of equalities joined by `and` leaves.

    Raises `ValueError` for anything else, also for `externalId`, which cannot be filtered by.
    """
    wanted: dict[str, str] = {}
    rest = text.strip()
    while rest:
        clause = _CLAUSE.match(rest)
        if clause is None or clause[1] not in FILTERABLE:
            raise ValueError("The query specified in the URI is not valid.")
        wanted[clause[1]] = clause[2]
        rest = rest[clause.end() :].strip()
        if rest and not rest.startswith("and "):
            raise ValueError("The query specified in the URI is not valid.")
        rest = rest.removeprefix("and ").strip()
    return [row for row in rows if all(_equals(row[name], text) for name, text in wanted.items())]


def _equals(value: Any, literal: str) -> bool:
    if literal.startswith("'"):
        return isinstance(value, str) and value == literal[1:-1].replace("''", "'")
    return str(value).lower() == literal.lower()


def _check_address(value: str) -> None:
    try:
        address = ip_address(value)
    except ValueError as error:
        raise Refused("InvalidIpAddress", "The address is not valid.") from error
    if isinstance(address, IPv6Address) and value.count(":") != 7:
        raise Refused("InvalidIpAddress", "IPv6 addresses need all eight groups.")
    private = ("10.", "192.168.", "127.", "169.254.", "fc", "fd", "fe80")
    if value.lower().startswith(private) or re.match(r"172\.(1[6-9]|2\d|3[01])\.", value):
        raise Refused("InvalidIpAddress", "Only external addresses are supported.")


def _place(given: Mapping[str, Any]) -> tuple[str, str, str]:
    groups = ",".join(sorted(map(str, given.get("rbacGroupNames") or ())))
    return given["indicatorType"], given["indicatorValue"].casefold(), groups


def _end(row: Mapping[str, Any]) -> float:
    until = row["expirationTime"]
    return math.inf if until is None else datetime.fromisoformat(until).timestamp()


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
