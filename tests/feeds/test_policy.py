"""What of a feed is wanted, and why the rest is not."""

from datetime import timedelta

import pytest

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.policy import Policy, Reputation, Verdict, Waiting, Wanted, judge
from mdti.feeds.ports import Skip
from tests.feeds.fakes import START, ip

FLOOR = Policy(min_reputation=75)
URL = Indicator(key=Key("url", "http://bad.example/a"), modified=START, confidence=10)


def verdict(indicator: Indicator, policy: Policy, reputation: Reputation | None = None) -> Verdict:
    return judge(indicator, policy, reputation=reputation, now=START)


@pytest.mark.parametrize(
    ("indicator", "policy", "reason"),
    [
        (ip(1, valid_until=START), Policy(), "expired"),
        (ip(1, valid_from=START + timedelta(seconds=1)), Policy(), "not valid yet"),
        (ip(1, confidence=49), Policy(min_confidence=50), "confidence too low"),
        (ip(1, confidence=0), Policy(min_confidence=1), "confidence too low"),
        (ip(1, confidence=None, score=49), Policy(min_confidence=50), "confidence too low"),
        (ip(1, confidence=None), Policy(min_confidence=1), "no confidence given"),
    ],
)
def test_what_is_not_wanted_says_why(indicator: Indicator, policy: Policy, reason: str) -> None:
    assert verdict(indicator, policy) == Skip(reason)


@pytest.mark.parametrize(
    ("indicator", "policy"),
    [
        (ip(1, valid_until=START + timedelta(seconds=1), valid_from=START), Policy()),
        (ip(1, confidence=50), Policy(min_confidence=50)),
        (ip(1, confidence=None, score=50), Policy(min_confidence=50)),
        (ip(1, confidence=None), Policy()),
    ],
)
def test_what_is_good_enough_is_wanted_as_it_is(indicator: Indicator, policy: Policy) -> None:
    assert verdict(indicator, policy) == Wanted(indicator)


def test_a_host_without_a_reputation_waits() -> None:
    assert verdict(ip(1), FLOOR) == Waiting("no reputation yet")


def test_a_host_below_the_floor_is_skipped() -> None:
    assert verdict(ip(1), FLOOR, Reputation(74)) == Skip("reputation too low")


def test_a_host_at_the_floor_takes_microsofts_score_and_rules() -> None:
    found = verdict(ip(1, tags=("theirs",)), FLOOR, Reputation(75, ("Rule", "theirs")))
    assert found == Wanted(ip(1, score=75, confidence=75, tags=("theirs", "Rule")))


def test_a_hosts_reputation_decides_whatever_its_source_and_the_floor_of_confidence_say() -> None:
    policy = Policy(min_reputation=25, min_confidence=50)
    for confidence in (10, None):
        assert verdict(ip(1, confidence=confidence), policy, Reputation(30)) == Wanted(
            ip(1, score=30, confidence=30)
        )


def test_what_has_no_reputation_is_not_asked_about() -> None:
    assert verdict(URL, FLOOR) == Wanted(URL)


@pytest.mark.parametrize(
    ("severity", "most", "shown"),
    [
        ("high", "medium", "medium"),
        ("low", "medium", "low"),
        ("medium", "medium", "medium"),
        (None, "medium", None),
        ("high", None, "high"),
    ],
)
def test_a_severity_is_lowered_to_the_highest_allowed(
    severity: str | None, most: str | None, shown: str | None
) -> None:
    policy = Policy(severity_max=most)  # type: ignore[arg-type]
    assert verdict(ip(1, severity=severity), policy) == Wanted(ip(1, severity=shown))
