"""How a call that is refused is divided, and when a silent destination is given up."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import (
    ApiError,
    BadAnswer,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    MdtiError,
    Unauthorized,
)
from mdti.feeds.destinations.carrying import MOST_CALLS, Carrier
from mdti.feeds.indicator import Key
from mdti.feeds.ports import Outcome
from mdti.net.transport import Transport


@dataclass(frozen=True)
class Thing:
    key: Key


def things(count: int) -> list[Thing]:
    return [Thing(Key("domain", f"host-{number}.example")) for number in range(count)]


@pytest.fixture
def carrier() -> Carrier:
    return Carrier(Transport(token=lambda scope, renew: ""), hints={})


class Wire:
    """Takes calls, but for those that hold a poisonous thing."""

    def __init__(self, poison: Sequence[int] = (), error: MdtiError | None = None) -> None:
        self.poison = {f"host-{number}.example" for number in poison}
        self.error = error or ApiError("refused", status=400, reason="InvalidInput")
        self.calls = 0

    def __call__(self, part: Sequence[Thing]) -> list[Outcome]:
        self.calls += 1
        if any(one.key.value in self.poison for one in part):
            raise self.error
        return [Outcome(one.key, "accepted") for one in part]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=6))
def test_division_takes_the_good_refuses_the_bad_and_stays_within_its_calls(
    count: int, poison: set[int]
) -> None:
    carrier = Carrier(Transport(token=lambda scope, renew: ""), hints={})
    bad = sorted(number for number in poison if number < count)
    wire = Wire(bad)
    try:
        outcomes = carrier.carry_out(things(count), wire)
    except ApiError:
        assert len(bad) > 1
        return

    assert [outcome.key for outcome in outcomes] == [one.key for one in things(count)]
    assert wire.calls <= MOST_CALLS
    for number, outcome in enumerate(outcomes):
        allowed = {"rejected", "pending"} if number in bad else {"accepted", "pending"}
        assert outcome.state in allowed
    if len(bad) <= 1:
        assert "pending" not in {outcome.state for outcome in outcomes}


def test_nothing_to_send_is_no_call(carrier: Carrier) -> None:
    wire = Wire()

    assert carrier.carry_out([], wire) == []
    assert wire.calls == 0


def test_a_refusal_of_everything_is_an_error_after_some_calls(carrier: Carrier) -> None:
    class Nothing(Wire):
        def __call__(self, part: Sequence[Thing]) -> list[Outcome]:
            self.calls += 1
            raise self.error

    wire = Nothing()
    with pytest.raises(ApiError):
        carrier.carry_out(things(500), wire)

    assert wire.calls == MOST_CALLS


@pytest.mark.parametrize("error", [Unauthorized("no", status=401), Forbidden("no", status=403)])
def test_what_only_a_person_can_mend_is_raised_at_once(carrier: Carrier, error: MdtiError) -> None:
    wire = Wire([0], error)

    with pytest.raises(type(error)):
        carrier.carry_out(things(4), wire)

    assert wire.calls == 1


@pytest.mark.parametrize("error", [ConnectionFailed("no"), BadAnswer("no", status=200)])
def test_the_third_silence_in_a_row_is_raised(carrier: Carrier, error: MdtiError) -> None:
    silent = Wire([0], error)
    for _ in range(2):
        assert {one.state for one in carrier.carry_out(things(2), silent)} == {"pending"}
    with pytest.raises(type(error)):
        carrier.carry_out(things(2), silent)


def test_an_answer_in_between_starts_the_count_again(carrier: Carrier) -> None:
    silent = Wire([0], ConnectionFailed("no"))
    for _ in range(3):
        carrier.carry_out(things(2), silent)
        carrier.carry_out(things(2), Wire())


def test_no_time_left_says_nothing_about_the_destination(carrier: Carrier) -> None:
    late = Wire([0], DeadlineExceeded("no"))
    for _ in range(5):
        assert {one.state for one in carrier.carry_out(things(2), late)} == {"pending"}
