import math

import pytest

from mdti.errors import DeadlineExceeded
from mdti.net.deadline import Deadline
from tests.net.rude import Clock


def test_what_remains_falls_with_the_clock_and_never_below_zero() -> None:
    clock = Clock(now=10.0)
    deadline = Deadline.after(5.0, clock=clock)
    assert deadline.remaining() == 5.0
    clock.now = 13.0
    assert deadline.remaining() == 2.0
    clock.now = 99.0
    assert deadline.remaining() == 0.0


def test_it_expires_at_its_moment() -> None:
    clock = Clock(now=0.0)
    deadline = Deadline.after(1.0, clock=clock)
    deadline.check()
    assert not deadline.expired
    clock.now = 1.0
    assert deadline.expired
    with pytest.raises(DeadlineExceeded):
        deadline.check()


def test_a_negative_number_of_seconds_leaves_none() -> None:
    assert Deadline.after(-3.0, clock=Clock()).expired


def test_without_a_clock_it_uses_the_monotonic_one() -> None:
    assert 0.0 < Deadline.after(60.0).remaining() <= 60.0
    assert Deadline.after(math.inf).remaining() == math.inf
