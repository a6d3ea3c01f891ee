from datetime import timedelta, timezone

import pytest

from mdti.feeds.destinations.rating import distinct, end_within, sentence, severity_of, title, zulu
from mdti.feeds.indicator import worth
from tests.feeds.destinations.rig import NOW, indicator

DAY = timedelta(days=1)


def test_words_come_once_each_in_their_first_spelling() -> None:
    assert distinct(["Loader", "", "loader", "C2", "LOADER"]) == ("Loader", "C2")


def test_what_is_said_falls_back_from_description_to_words_to_title() -> None:
    assert sentence(indicator("a.example", description="said")) == "said"
    bare = indicator("a.example", description="", actors=("A",), threat_types=("b", "a"))
    assert sentence(bare) == "A, b"
    assert sentence(indicator("a.example", description="", threat_types=())) == "about a.example"
    assert title(indicator("a.example", title="")) == "a.example"


@pytest.mark.parametrize(
    ("confidence", "score", "expected"),
    [(10, 90, 10), (None, 90, 90), (0, 90, 0), (None, None, None)],
)
def test_confidence_comes_before_the_score(
    confidence: int | None, score: int | None, expected: int | None
) -> None:
    assert worth(indicator("a.example", confidence=confidence, score=score)) == expected


def test_severity_prefers_the_score() -> None:
    assert severity_of(indicator("a.example", confidence=10, score=90)) == "high"
    assert severity_of(indicator("a.example", confidence=90, score=None)) == "high"
    assert severity_of(indicator("a.example", confidence=None, score=0)) == "informational"


def test_a_life_ends_with_the_sooner_of_two_ends() -> None:
    plain = indicator("a.example")
    ending = indicator("a.example", valid_until=NOW + 2 * DAY)

    assert end_within(plain, now=NOW, expire_days=3) == NOW + 3 * DAY
    assert end_within(ending, now=NOW, expire_days=3) == NOW + 2 * DAY
    assert end_within(ending, now=NOW, expire_days=1) == NOW + DAY


def test_times_are_written_in_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert zulu(east) == "2026-11-21T12:00:00Z"
    assert zulu(east, timespec="milliseconds") == "2026-11-21T12:00:00.000Z"
