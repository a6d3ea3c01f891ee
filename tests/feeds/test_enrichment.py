"""ThreatStream onto itself: observables there get Microsoft's reputation, through the whole app."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mdti.app import App
from mdti.errors import SettingError
from mdti.feeds.names import ENRICHMENT
from mdti.feeds.report import Report
from mdti.feeds.service import FeedRequest
from mdti.sandbox.faults import Fault
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox
from mdti.sandbox.observables import Row
from mdti.sandbox.threatstream import ThreatStream
from mdti.sandbox.wire import Vendor

REQUEST = FeedRequest(feed=ENRICHMENT)


class Scene:
    """An app before a sandbox whose ThreatStream holds what a test puts there."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stream = ThreatStream()
        self.sandbox = stack.enter_context(Sandbox(vendors=self._vendors))
        self._patch = stack.enter_context(pytest.MonkeyPatch.context())
        self._folder, self._stack = folder, stack
        for name in [name for name in os.environ if name.startswith(("AZURE", "AzureWebJobs"))]:
            self._patch.delenv(name)

    def _vendors(self, sandbox: Sandbox) -> list[Vendor]:
        others = [one for one in vendors(sandbox) if one.name != self.stream.name]
        return [*others, self.stream]

    def add(self, value: str, score: int | None = None, **fields: Any) -> Row:
        """Let somebody have an observable, and Microsoft think of its value what the score says."""
        if score is not None:
            self.sandbox.world.reputation(value, score)
        return self.stream.observables.put(value, **{"itype": "mal_domain", **fields})

    def tags(self, value: str) -> list[str]:
        [row] = self.stream.observables.named(value)
        return sorted(tag["name"] for tag in row["tags"])

    def app(self, **settings: str) -> App:
        """Return an app of the same state, as another process would have it."""
        given = {**self.sandbox.environment(), "MDTI_STATE_DIR": str(self._folder), **settings}
        for name, value in given.items():
            self._patch.setenv(name, value)
        app = App(dict(os.environ), sleep=lambda seconds: None, clock=time.monotonic)
        self._stack.callback(app.close)
        return app

    def run(self, **settings: str) -> Report:
        report = self.app(**settings).run_feed(REQUEST).report
        assert report.error is None, report.error
        return report

    @property
    def tag_requests(self) -> int:
        return sum("/tag/" in seen.path for seen in self.sandbox.requests)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path / "state", stack)


@pytest.mark.parametrize("value", ["false", ""])
def test_while_it_is_switched_off_it_is_refused_and_says_what_to_set(
    scene: Scene, value: str
) -> None:
    scene.add("a.example", 90)

    with pytest.raises(SettingError) as caught:
        scene.app(THREATSTREAM_ENRICH=value).run_feed(REQUEST)

    assert caught.value.hint == "Set THREATSTREAM_ENRICH to true."
    assert scene.tags("a.example") == []


def test_hosts_at_the_floor_are_tagged_and_others_are_not(scene: Scene) -> None:
    scene.add("high.example", 75)
    scene.add("low.example", 74)
    scene.add("198.51.100.7", 100, itype="mal_ip")
    scene.add("http://high.example/a", itype="mal_url")
    scene.add("ab" * 32, itype="mal_md5")

    report = scene.run()

    assert (report.read, report.accepted, report.complete) == (5, 2, True)
    assert report.skipped == {"no reputation for this kind": 2, "reputation too low": 1}
    assert scene.tags("high.example") == ["mdti-malicious", "mdti-score-75"]
    assert scene.tags("198.51.100.7") == ["mdti-malicious", "mdti-score-100"]
    assert scene.tags("low.example") == []


def test_the_floor_is_a_setting_of_this_feed_and_the_floor_of_confidence_is_not(
    scene: Scene,
) -> None:
    scene.add("middle.example", 50)
    scene.add("low.example", 49)

    scene.run(ANOMALI_TO_ANOMALI_THREATSTREAM_MIN_SCORE="50", FEED_MIN_CONFIDENCE="100")

    assert scene.tags("middle.example") == ["mdti-score-50", "mdti-suspicious"]
    assert scene.tags("low.example") == []


def test_a_second_run_asks_for_no_reputation_and_changes_no_tag(scene: Scene) -> None:
    for number in range(40):
        scene.add(f"host-{number}.example", 90)
    scene.add("host-0.example", 90, organisation=99)
    assert scene.run().accepted == 40
    asked = scene.tag_requests

    for _ in range(2):
        report = scene.run()
        assert (report.accepted, report.removed, report.unchanged) == (0, 0, 40)
    assert scene.tag_requests == asked == 41


def test_a_tag_that_an_analyst_removes_stays_away_until_the_score_changes(scene: Scene) -> None:
    row = scene.add("a.example", 90)
    scene.run()
    for tag in row["tags"]:
        scene.stream.observables.untag(row["id"], tag["id"])
    asked = scene.tag_requests

    assert scene.run().unchanged == 1
    assert (scene.tag_requests, scene.tags("a.example")) == (asked, [])


def test_a_second_observable_of_a_value_is_tagged_too(scene: Scene) -> None:
    scene.add("a.example", 90)
    scene.run()
    scene.add("a.example", organisation=99, expires="2027-01-01T00:00:00")

    assert scene.run().accepted == 1

    rows = scene.stream.observables.named("a.example")
    assert [{tag["name"] for tag in row["tags"]} for row in rows] == [
        {"mdti-malicious", "mdti-score-90"}
    ] * 2


def test_what_we_imported_is_scored_already_and_left_out(scene: Scene) -> None:
    scene.add("a.example", 90, tags=[{"name": "mdti-actor-lookup"}])

    report = scene.run()

    assert (report.accepted, report.skipped) == (0, {"imported by us": 1})
    assert scene.tags("a.example") == ["mdti-actor-lookup"]


def test_hosts_beyond_the_budget_are_pending_until_they_were_asked_about(scene: Scene) -> None:
    for number in range(5):
        scene.add(f"host-{number}.example", 90)

    first = scene.run(FEED_MAX_REPUTATIONS="2")
    assert (first.accepted, first.pending, first.complete) == (2, 3, False)
    scene.run(FEED_MAX_REPUTATIONS="2")
    last = scene.run(FEED_MAX_REPUTATIONS="2")

    assert (last.accepted, last.unchanged, last.pending, last.complete) == (1, 4, 0, True)


@pytest.mark.parametrize("status", ["falsepos", "inactive"])
def test_tags_go_when_an_observable_is_in_force_no_more(scene: Scene, status: str) -> None:
    row = scene.add("a.example", 90, tags=[{"name": "by-hand"}])
    scene.run()
    scene.stream.observables.change(row["id"], status=status)

    report = scene.run()

    assert (report.removed, report.complete) == (1, True)
    assert scene.tags("a.example") == ["by-hand"]


def test_a_floor_that_rises_takes_the_tags_of_what_is_below_it(scene: Scene) -> None:
    scene.add("a.example", 80)
    scene.run()

    assert scene.run(THREATSTREAM_MIN_SCORE="81").removed == 1
    assert scene.tags("a.example") == []


def test_a_dry_run_counts_and_tags_nothing(scene: Scene) -> None:
    scene.add("a.example", 90)

    report = scene.app().run_feed(FeedRequest(feed=ENRICHMENT, dry_run=True)).report

    assert report.pending + report.accepted == 1
    assert scene.tag_requests == 0


def test_a_value_that_was_tagged_in_part_is_told_of_and_untagged_when_unwanted(
    scene: Scene,
) -> None:
    rows = [scene.add("a.example", 90), scene.add("a.example", organisation=99)]
    path = f"POST */intelligence/{rows[1]['id']}/tag/"
    scene.sandbox.faults.set([Fault(kind="error", status=403, route=path)])

    for _ in range(2):
        ((value, reason),) = scene.run().rejected
        assert value == "a.example"
        assert reason.startswith("another organisation's observable does not take the tags")
    asked = scene.tag_requests
    scene.run()
    assert scene.tag_requests == asked
    for row in rows:
        scene.stream.observables.change(row["id"], status="inactive")
    assert scene.run().removed == 1

    assert [row["tags"] for row in scene.stream.observables.named("a.example")] == [[], []]


def test_imports_and_tags_know_nothing_of_each_other(scene: Scene) -> None:
    imports = FeedRequest(feed="mdti-to-anomali")
    direct = {"THREATSTREAM_APPROVAL": "direct"}
    scene.add("a.example", 90)
    first = scene.app(**direct).run_feed(imports).report
    assert first.accepted == 3

    assert scene.run().accepted == 1
    again = scene.app(**direct, THREATSTREAM_ENRICH="false").run_feed(imports).report

    assert (again.error, again.accepted, again.removed) == (None, 0, 0)
    assert again.unchanged == first.accepted
    assert scene.tags("a.example") == ["mdti-malicious", "mdti-score-90"]
