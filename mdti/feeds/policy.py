"""What of a feed is wanted at its destination: floors, dates, and Microsoft's own judgement.

    judge(indicator) -> Wanted | Waiting | Skip

A policy decides; whether a vendor can hold the indicator at all is the destination's own answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, get_args

from mdti.feeds.indicator import Indicator, IndicatorKind, Severity, worth
from mdti.feeds.ports import Skip

SCORED_KINDS: Final[frozenset[IndicatorKind]] = frozenset(("ipv4", "ipv6", "domain"))
"""What Microsoft gives a reputation to; hashes, URLs and addresses of mail have none."""

_SEVERITIES: Final = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a destination is to hold of one feed.

    `min_reputation` asks for Microsoft's score of hosts and addresses, which decides about them
    (None: not asked for). `min_confidence` is compared with the confidence of everything else, or
    its score where the source gives no confidence. `severity_max` lowers what is above it.
    """

    min_confidence: int = 0
    min_reputation: int | None = None
    severity_max: Severity | None = None


@dataclass(frozen=True, slots=True)
class Reputation:
    """Microsoft's judgement of a host: 0 to 100, and the names of the rules it rests on."""

    score: int
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the destination is to be told."""

    indicator: Indicator


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answer is missing without which nothing can be decided: what is there stays as it is."""

    reason: str


Verdict = Wanted | Waiting | Skip


def judge(
    indicator: Indicator, policy: Policy, *, reputation: Reputation | None, now: datetime
) -> Verdict:
    """Return whether the indicator is wanted, and as what.

    A host below the floor of reputation is skipped, one without an answer waits; with an answer
    Microsoft's score is its score and confidence.
    """
    if indicator.valid_until is not None and indicator.valid_until <= now:
        return Skip("expired")
    if indicator.valid_from is not None and indicator.valid_from > now:
        return Skip("not valid yet")
    if policy.min_reputation is not None and indicator.key.kind in SCORED_KINDS:
        if reputation is None:
            return Waiting("no reputation yet")
        if reputation.score < policy.min_reputation:
            return Skip("reputation too low")
        return Wanted(_capped(_scored(indicator, reputation), policy.severity_max))
    if policy.min_confidence > 0:
        trust = worth(indicator)
        if trust is None:
            return Skip("no confidence given")
        if trust < policy.min_confidence:
            return Skip("confidence too low")
    return Wanted(_capped(indicator, policy.severity_max))


def _scored(indicator: Indicator, reputation: Reputation) -> Indicator:
    tags = tuple(dict.fromkeys((*indicator.tags, *reputation.rules)))
    return replace(indicator, score=reputation.score, confidence=reputation.score, tags=tags)


def _capped(indicator: Indicator, most: Severity | None) -> Indicator:
    if most is None or indicator.severity is None:
        return indicator
    if _SEVERITIES.index(indicator.severity) <= _SEVERITIES.index(most):
        return indicator
    return replace(indicator, severity=most)
