"""Reputations that a policy needs: asked once, within a budget, and never done without."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mdti.errors import ConnectionFailed, DeadlineExceeded, LicenceMissing, MdtiError
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.policy import Policy, Reputation
from mdti.feeds.report import Report
from mdti.net.deadline import Deadline
from tests.feeds.fakes import START, FakeDestination, FakeSource, Place, ip

HASH = Indicator(key=Key("sha256", "a" * 64), modified=START, confidence=100)


class Oracle:
    """Gives every host the score that is its last number; `fails` what it holds for one or all."""

    def __init__(self) -> None:
        self.asked: list[Key] = []
        self.fails: MdtiError | None = None
        self.mute: frozenset[Key] = frozenset()

    def __call__(
        self, keys: Sequence[Key], deadline: Deadline
    ) -> Mapping[Key, Reputation | MdtiError]:
        if self.fails is not None:
            raise self.fails
        self.asked += keys
        return {key: self._answer(key) for key in keys}

    def _answer(self, key: Key) -> Reputation | MdtiError:
        if key in self.mute:
            return ConnectionFailed("No answer.")
        return Reputation(int(key.value.rpartition(".")[2]), ("A rule",))


class Scene:
    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.policy = Policy(min_reputation=75)
        self.source, self.destination = FakeSource("mdti"), FakeDestination("anomali")
        self.oracle = Oracle()
        self.source.put("hash", HASH)
        for number in (74, 75, 76, 100):
            self.source.put(f"object-{number}", ip(number))

    def run(self, budget: int = 100) -> Report:
        feed = replace(
            self.place.feed(self.source, self.destination), ask=self.oracle, reputations=budget
        )
        deadline = Deadline.after(1_500, clock=self.place.time.clock)
        return self.place.sync(self.destination).run(feed, deadline=deadline).report


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "state")


def test_hosts_at_the_floor_are_sent_with_microsofts_score_and_files_as_they_are(
    scene: Scene,
) -> None:
    report = scene.run()
    assert report.skipped == {"reputation too low": 1}
    sent = scene.destination.ours
    assert set(sent) == {HASH.key, *(ip(number).key for number in (75, 76, 100))}
    assert sent[ip(76).key] == ip(76, score=76, confidence=76, tags=("A rule",))
    assert sent[HASH.key] == HASH


def test_a_host_is_asked_about_once_a_week(scene: Scene) -> None:
    scene.run()
    scene.run()
    assert len(scene.oracle.asked) == 4
    scene.place.time.forward(days=8)
    scene.run()
    assert len(scene.oracle.asked) == 8


def test_hosts_beyond_the_budget_are_pending_and_asked_about_next(scene: Scene) -> None:
    assert scene.run(budget=3).pending == 1
    assert len(scene.oracle.asked) == 3
    last = scene.run(budget=3)
    assert (last.pending, last.complete) == (0, True)
    assert len(set(scene.oracle.asked)) == 4


def test_a_host_without_an_answer_is_pending_and_never_sent(scene: Scene) -> None:
    scene.oracle.mute = frozenset({ip(100).key})
    assert scene.run().pending == 1
    assert ip(100).key not in scene.destination.rows
    scene.oracle.mute = frozenset()
    assert scene.run().pending == 0
    assert ip(100).key in scene.destination.rows


def test_no_host_is_sent_while_microsoft_cannot_be_asked(scene: Scene) -> None:
    scene.oracle.fails = LicenceMissing("The tenant has no licence.")
    report = scene.run()
    assert report.error is scene.oracle.fails
    assert report.pending == 4
    assert set(scene.destination.rows) == {HASH.key}


def test_time_that_ends_while_asking_leaves_the_rest_pending(scene: Scene) -> None:
    scene.oracle.fails = DeadlineExceeded("No time is left.")
    report = scene.run()
    assert report.error is None
    assert (report.pending, report.complete) == (4, False)


def test_a_score_that_falls_below_the_floor_takes_the_row_away(scene: Scene) -> None:
    scene.run()
    scene.place.policy = Policy(min_reputation=76)
    assert scene.run().removed == 1
    assert ip(75).key not in scene.destination.rows


def test_a_row_stays_while_its_host_waits_for_an_answer(scene: Scene) -> None:
    scene.place.policy = Policy()
    scene.run()
    scene.place.policy = Policy(min_reputation=75)
    scene.oracle.fails = LicenceMissing("The tenant has no licence.")
    report = scene.run()
    assert report.removed == 0
    assert ip(74).key in scene.destination.rows


def test_what_is_skipped_anyway_costs_no_question(scene: Scene) -> None:
    scene.source.put("old", ip(120, valid_until=START - timedelta(days=1)))
    scene.run()
    assert ip(120).key not in scene.oracle.asked
