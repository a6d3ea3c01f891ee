"""Indicators to Defender's rows and back (contracts: sentinel-and-defender 2).

action_of("alert") -> "Audit"         never "Allowed", whoever asks for it
DefenderRows.key(indicator) -> Key | Skip
DefenderRows.body(indicator) -> {"indicatorValue": ...}
DefenderRows.read(row) -> Key | None
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final, Literal

from mdti.errors import SettingError
from mdti.feeds.destinations.rating import end_within, sentence, severity_of, title, zulu
from mdti.feeds.indicator import Indicator, IndicatorKind, Key
from mdti.feeds.ports import Skip
from mdti.feeds.values import Refused, Values

Action = Literal["Audit", "Warn", "Block", "BlockAndRemediate"]
Policy = Action | Literal["Score"]
"""What to do about a match: always the same, or by the indicator's score."""

MAX_VALUE: Final = 800
MAX_TITLE: Final = 250
MAX_DESCRIPTION: Final = 100
"""Characters; Microsoft names no limits, production clients keep to these (contracts 2.5)."""

_POLICIES: Mapping[str, Policy] = {
    "audit": "Audit",
    "alert": "Audit",
    "warn": "Warn",
    "block": "Block",
    "alertandblock": "BlockAndRemediate",
    "blockandremediate": "BlockAndRemediate",
    "score": "Score",
}
_TYPES: Mapping[IndicatorKind, str] = {
    "ipv4": "IpAddress",
    "ipv6": "IpAddress",
    "domain": "DomainName",
    "url": "Url",
    "md5": "FileMd5",
    "sha1": "FileSha1",
    "sha256": "FileSha256",
}
_KINDS: Mapping[str, Literal["host", "url", "hash"]] = {
    "IpAddress": "host",
    "DomainName": "host",
    "Url": "url",
    "FileMd5": "hash",
    "FileSha1": "hash",
    "FileSha256": "hash",
}
_FILES: Final = frozenset({"md5", "sha1", "sha256"})
_BLOCK_FROM: Final = 60
_WARN_FROM: Final = 30


def policy_of(text: str, *, passive_only: bool = False) -> Policy:
    """Return what an action's name stands for; `passive_only` makes it `Audit`.

    Today's names, and those of OpenCTI's document: `Alert` is `Audit`, which always alerts,
    `AlertAndBlock` is `BlockAndRemediate`. `Score` decides by score. Raises `SettingError` for
    anything else, and for `Allowed`, which would switch protection off.
    """
    policy = _POLICIES.get(text.strip().lower())
    if policy is None:
        raise SettingError(
            "DEFENDER_ACTION must be Audit, Warn, Block, BlockAndRemediate or Score "
            "(Alert is taken for Audit); Allowed would switch protection off."
        )
    return "Audit" if passive_only else policy


def action_of(policy: Policy, key: Key, indicator: Indicator) -> Action:
    """Return the action for one row.

    By score: from 60 `Block`, from 30 `Warn`, else (also without a score) `Audit`. On addresses,
    names and URLs `BlockAndRemediate` does not import, so there it is `Block`.
    """
    if policy == "Score":
        score = indicator.confidence if indicator.score is None else indicator.score
        if score is None or score < _WARN_FROM:
            return "Audit"
        return "Block" if score >= _BLOCK_FROM else "Warn"
    if policy == "BlockAndRemediate" and key.kind not in _FILES:
        return "Block"
    return policy


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenderRows:
    """Maps indicators to rows under one set of settings.

    `mark` is the `application` that our rows carry. `accept_md5` sends MD5 hashes, which the
    reference lists and production clients report as refused.
    """

    values: Values
    policy: Policy
    expire_days: int
    mark: str
    accept_md5: bool = False

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the row that an indicator becomes, or why it becomes none."""
        kind, value = indicator.key.kind, indicator.key.value
        if kind not in _TYPES:
            return Skip(f"{kind} is no type of Defender")
        if kind == "md5" and not self.accept_md5:
            return Skip("md5 is refused by Defender")
        key = self.values.key(kind, value)
        if isinstance(key, Refused):
            return Skip(key.reason)
        if "*" in key.value:
            return Skip("wildcard")
        if len(_shown(key)) > MAX_VALUE:
            return Skip("value too long")
        if key.kind == "domain" and key.value.startswith("_"):
            return Skip("name that begins with an underscore")
        return key

    def body(self, key: Key, indicator: Indicator, *, now: datetime) -> dict[str, Any] | None:
        """Return the row as `import` takes it; None for an indicator whose time is over."""
        until = end_within(indicator, now=now, expire_days=self.expire_days)
        if until <= now:
            return None
        action = action_of(self.policy, key, indicator)
        return {
            "indicatorValue": _shown(key),
            "indicatorType": _TYPES[key.kind],
            "action": action,
            # Audit is not taken without an alert; the others alert as the document's connector did.
            "generateAlert": True,
            "title": title(indicator)[:MAX_TITLE],
            "description": sentence(indicator)[:MAX_DESCRIPTION],
            "severity": severity_of(indicator).capitalize(),
            "expirationTime": zulu(until),
            "application": self.mark,
            "rbacGroupNames": [],
        }

    def read(self, row: Mapping[str, Any]) -> Key | None:
        """Return the key of a row that was read back; None for one that no indicator becomes."""
        kind = _KINDS.get(str(row.get("indicatorType")))
        key = self.values.key(kind, row.get("indicatorValue")) if kind else None
        return key if isinstance(key, Key) else None

    def is_ours(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row carries our mark; `application` cannot be changed after creation."""
        return row.get("application") == self.mark


def _shown(key: Key) -> str:
    """Return a value as Defender takes it: an IPv6 address with all eight groups."""
    return ip_address(key.value).exploded if key.kind == "ipv6" else key.value
