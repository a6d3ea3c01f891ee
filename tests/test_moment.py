"""Times as other systems write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.moment import moment_of


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T11:00:00Z", datetime(2026, 11, 20, 11, tzinfo=UTC)),
        (" 2026-11-20T11:00:00.1234567Z ", datetime(2026, 11, 20, 11, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-20T11:00:00", datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ("2026-11-20T13:00:00+02:00", datetime(2026, 11, 20, 11, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(text: str, moment: datetime) -> None:
    assert moment_of(text) == moment
    assert moment_of(moment.isoformat()) == moment


@pytest.mark.parametrize(
    "value",
    [None, 0, 1.5, [], "", "yesterday", "2026-13-01", "0001-01-01T00:00:00Z",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment_of(value) is None


@settings(max_examples=100, deadline=None)
@given(value=st.one_of(st.text(max_size=40), st.datetimes().map(str), st.none(), st.floats()))
def test_every_value_is_a_time_in_utc_or_none(value: object) -> None:
    moment = moment_of(value)
    assert moment is None or moment.tzinfo is UTC
