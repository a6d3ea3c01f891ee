"""A run of a feed, from source to destination, and its report."""

from itertools import pairwise

import pytest

from mdti.errors import Conflict, Forbidden, Unauthorized
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.policy import Policy
from mdti.feeds.ports import Drop, Limits, Outcome, Put, Upsert
from mdti.feeds.route import Terms
from tests.feeds.fakes import START, FakeDestination, FakeSource, Place, filled, ip, wanted


def test_a_first_run_brings_everything_over(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    run = place.run(source, destination)
    assert destination.ours == wanted(source)
    assert not run.again
    assert run.report.to_json() == {
        "feed": "taxii-to-defender",
        "started": "2026-11-21T12:00:00Z",
        "finished": run.report.to_json()["finished"],
        "read": 10,
        "accepted": 10,
        "unchanged": 0,
        "removed": 0,
        "skipped": {},
        "rejected": [],
        "pending": 0,
        "awaitingApproval": 0,
        "overCap": 0,
        "cursor": {"at": "10"},
        "complete": True,
        "error": None,
    }


def test_what_awaits_approval_leaves_the_run_complete_and_is_asked_about_again(
    place: Place,
) -> None:
    source, destination = filled(3), FakeDestination(listable=False)
    waits = ip(1).key
    destination.verdict = lambda one: (
        Outcome(waits, "awaiting_approval", "waits", "session:1") if one.key == waits else None
    )
    for accepted, unchanged in ((2, 0), (0, 2)):
        run = place.run(source, destination)
        told = run.report.to_json()
        assert (told["accepted"], told["unchanged"]) == (accepted, unchanged)
        assert (told["awaitingApproval"], told["pending"], told["rejected"]) == (1, 0, [])
        assert told["complete"]
        assert not run.again
    (asked,) = destination.calls[-1]
    assert isinstance(asked, Put)
    assert asked.remote_id == "session:1"
    destination.verdict = lambda one: None
    report = place.run(source, destination).report
    assert (report.accepted, report.awaiting_approval) == (1, 0)
    assert destination.ours == wanted(source)


def test_what_cannot_be_removed_before_it_is_approved_awaits_that(place: Place) -> None:
    source, destination = filled(3), FakeDestination(listable=False)
    place.run(source, destination)
    source.remove("object-1")
    destination.verdict = lambda one: Outcome(one.key, "awaiting_approval", "waits", "session:1")
    report = place.run(source, destination).report
    assert (report.removed, report.awaiting_approval, report.complete) == (0, 1, True)
    destination.verdict = lambda one: None
    assert place.run(source, destination).report.removed == 1
    assert destination.ours == wanted(source)


def test_what_is_refused_and_there_in_part_is_removed_once_it_is_unwanted(place: Place) -> None:
    source, destination = filled(1), FakeDestination(listable=False)
    destination.verdict = lambda one: Outcome(one.key, "rejected", "half of it", "row-1")
    report = place.run(source, destination).report
    assert (report.rejected, report.complete) == ((("192.0.0.0", "half of it"),), True)
    calls = len(destination.calls)
    assert place.run(source, destination).report.rejected == report.rejected
    assert len(destination.calls) == calls
    source.remove("object-0")
    destination.verdict = lambda one: None
    assert place.run(source, destination).report.removed == 1
    (asked,) = destination.calls[-1]
    assert isinstance(asked, Drop)
    assert asked.remote_id == "row-1"


def test_a_second_run_sends_nothing(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    calls = len(destination.calls)
    report = place.run(source, destination).report
    assert (report.read, report.accepted, report.unchanged) == (0, 0, 10)
    assert len(destination.calls) == calls
    assert source.asked[1] == ({"at": "10"}, False)


def test_a_change_and_a_removal_follow(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    source.put("object-1", ip(1, confidence=99))
    source.put("object-2", ip(200))
    source.remove("object-3")
    report = place.run(source, destination).report
    assert destination.ours == wanted(source)
    assert (report.accepted, report.removed, report.unchanged) == (2, 2, 7)


def test_what_is_new_comes_before_what_goes(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    calls = len(destination.calls)
    source.put("object-0", ip(0, confidence=90))
    source.put("object-99", ip(99))
    source.remove("object-1")
    place.run(source, destination)
    told = [(type(one), one.key) for call in destination.calls[calls:] for one in call]
    assert told == [(Put, ip(99).key), (Put, ip(0).key), (Drop, ip(1).key)]


def test_an_object_published_again_unchanged_costs_no_request(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    place.run(source, destination)
    calls = len(destination.calls)
    source.put("object-1", ip(1))
    assert place.run(source, destination).report.unchanged == 3
    assert len(destination.calls) == calls


def test_calls_are_as_large_as_the_destination_takes(place: Place) -> None:
    destination = FakeDestination(limits=Limits(batch=500, per_minute=60_000))
    place.run(filled(1_200, page=1_000), destination)
    assert [len(call) for call in destination.calls] == [500, 500, 200]


def test_what_the_destination_refuses_is_told_each_time_and_sent_once(place: Place) -> None:
    source, destination = filled(4), FakeDestination()
    refused = ip(2).key
    destination.verdict = lambda operation: (
        Outcome(operation.key, "rejected", "not routable") if operation.key == refused else None
    )
    first = place.run(source, destination).report
    calls = len(destination.calls)
    second = place.run(source, destination).report
    assert first.rejected == second.rejected == ((refused.value, "not routable"),)
    assert first.complete
    assert len(destination.calls) == calls


def test_words_that_no_file_can_hold_are_kept_without_them(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    refused = ip(1).key
    destination.verdict = lambda one: (
        Outcome(refused, "rejected", "too long:\nCaf\u00e9 \ud83d") if one.key == refused else None
    )
    for unchanged in (0, 2):
        report = place.run(source, destination).report
        assert (report.error, report.unchanged) == (None, unchanged)
        assert report.rejected == ((refused.value, "too long: Caf\u00e9"),)
        last = place.sync().last("taxii-to-defender")
        assert last == report.to_json()


@pytest.mark.parametrize("what", ["item", "policy"])
def test_a_refused_row_is_sent_again_when_the_item_or_the_policy_changes(
    place: Place, what: str
) -> None:
    source, destination = filled(2), FakeDestination()
    destination.verdict = lambda operation: Outcome(operation.key, "rejected", "no")
    place.run(source, destination)
    destination.verdict = lambda operation: None
    if what == "item":
        source.put("object-0", ip(0, confidence=99))
        source.put("object-1", ip(1, confidence=99))
    else:
        place.terms = Terms(revision="action=Block")
    place.run(source, destination)
    assert destination.ours == wanted(source)


def test_a_changed_policy_sends_every_row_again(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    place.run(source, destination)
    place.terms = Terms(revision="action=Block")
    assert place.run(source, destination).report.accepted == 3


def test_what_the_policy_no_longer_wants_is_removed(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    source.put("object-1", ip(1, confidence=30))
    place.run(source, destination)
    place.policy = Policy(min_confidence=50)
    report = place.run(source, destination).report
    assert report.skipped == {"confidence too low": 1}
    assert report.removed == 1
    assert ip(1).key not in destination.ours


def test_what_the_destination_cannot_hold_is_skipped_with_the_reason(place: Place) -> None:
    source, destination = FakeSource(), FakeDestination()
    source.put("mail", Indicator(key=Key("email", "a@b.example"), modified=START))
    source.log.append(Upsert("odd", "1", (), {"wildcard": 2}))
    assert place.run(source, destination).report.skipped == {"unsupportedKind": 1, "wildcard": 2}


def test_a_dry_run_counts_and_changes_nothing(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    source.put("object-1", ip(1, confidence=99))
    source.remove("object-3")
    writes, calls = place.effects.count, len(destination.calls)
    report = place.run(source, destination, dry_run=True).report
    assert (report.accepted, report.removed, report.unchanged) == (1, 1, 8)
    assert [name for name in place.effects.log[writes:] if name != "read"] == []
    assert len(destination.calls) == calls
    again = place.run(source, destination).report
    assert (again.accepted, again.removed, again.unchanged) == (1, 1, 8)


def test_an_error_of_the_source_is_reported_and_the_cursor_stays(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    source.put("object-1", ip(1, confidence=99))
    source.fails = Unauthorized("The key is wrong.", hint="Check it.")
    report = place.run(source, destination).report
    assert report.error is source.fails
    assert not report.complete
    assert report.cursor == {"at": "10"}
    source.fails = None
    place.run(source, destination)
    assert destination.ours == wanted(source)


def test_an_error_of_the_destination_is_reported_and_nothing_is_lost(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    destination.fails = Forbidden("The role is missing.")
    run = place.run(source, destination)
    assert run.report.error is destination.fails
    assert run.report.pending == 5
    assert not run.again
    destination.fails = None
    place.run(source, destination)
    assert destination.ours == wanted(source)


def test_a_run_stops_in_time_and_says_that_there_is_more(place: Place) -> None:
    source = filled(40)
    destination = FakeDestination(limits=Limits(batch=1, per_minute=6))
    run = place.run(source, destination, seconds=200)
    assert run.again
    assert not run.report.complete
    assert run.report.accepted + run.report.pending == 40
    assert place.time.clock() <= 200
    while run.again:
        run = place.run(source, destination, seconds=200)
    assert destination.ours == wanted(source)


def test_the_destination_is_called_no_faster_than_it_allows(place: Place) -> None:
    destination = FakeDestination(limits=Limits(batch=5, per_minute=30))
    moments: list[float] = []
    destination.before_call = lambda operations: moments.append(place.time.clock())
    place.run(filled(150), destination)
    assert len(moments) == 30
    assert all(later - earlier >= 1.99 for earlier, later in pairwise(moments))
    assert moments[-1] <= 29 * 2.0 / 0.95


def test_a_feed_that_runs_is_not_run_beside_itself(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    other: list[type[BaseException]] = []

    def again(operations: object) -> None:
        destination.before_call = lambda operations: None
        with pytest.raises(Conflict):
            place.run(source, destination)
        other.append(Conflict)

    destination.before_call = again
    place.run(source, destination)
    assert other == [Conflict]


def test_the_last_report_is_kept(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    report = place.run(source, destination).report
    assert place.sync().last("taxii-to-defender") == report.to_json()
    assert place.sync().last("taxii-to-sentinel") is None


def test_calls_under_way_at_once_leave_the_same_rows(place: Place) -> None:
    source = filled(60)
    destination = FakeDestination(limits=Limits(batch=5, per_minute=60_000, parallel=4))
    assert place.run(source, destination).report.accepted == 60
    assert destination.ours == wanted(source)
    assert place.run(source, destination).report.unchanged == 60


def test_a_row_under_way_is_asked_about_by_the_name_it_was_given(place: Place) -> None:
    source, destination = filled(1), FakeDestination(listable=True)
    destination.verdict = lambda operation: Outcome(
        operation.key, "pending", "waits for approval", remote_id="session-7"
    )
    assert place.run(source, destination).report.pending == 1
    destination.verdict = lambda operation: None
    place.run(source, destination)
    (put,) = destination.calls[-1]
    assert isinstance(put, Put)
    assert put.remote_id == "session-7"
    assert destination.ours == wanted(source)


def test_two_feeds_into_one_place_keep_their_own_rules_there(place: Place) -> None:
    one, other, destination = filled(3), FakeSource("anyrun"), FakeDestination()
    other.put("theirs", ip(50))
    place.all_terms = {
        "taxii-to-defender": Terms(revision="action=Audit"),
        "anyrun-to-defender": Terms(revision="action=Block"),
    }
    place.run(one, destination)
    place.run(other, destination)
    assert place.run(one, destination).report.unchanged == 4
    assert place.run(other, destination).report.unchanged == 4


def test_a_row_is_renewed_when_a_third_of_its_life_is_left(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    place.terms = Terms(expire_days=30)
    place.run(source, destination)
    place.time.forward(days=19)
    assert place.run(source, destination).report.accepted == 0
    place.time.forward(days=2)
    assert place.run(source, destination).report.accepted == 3
    assert place.run(source, destination).report.accepted == 0


def test_a_newcomer_replaces_a_row_only_with_a_lead_of_five(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    place.terms = Terms(capacity=3)
    place.run(source, destination)
    source.put("newcomer", ip(60, confidence=84))
    assert place.run(source, destination).report.over_cap == 1
    assert ip(60).key not in destination.ours
    source.put("newcomer", ip(60, confidence=85))
    report = place.run(source, destination).report
    assert (report.accepted, report.removed, report.over_cap) == (1, 1, 1)
    assert ip(60).key in destination.ours
    assert len(destination.ours) == 3


def test_a_place_that_comes_free_goes_to_the_next(place: Place) -> None:
    source, destination = filled(4), FakeDestination()
    place.terms = Terms(capacity=3)
    place.run(source, destination)
    source.remove(next(f"object-{n}" for n in range(4) if ip(n).key in destination.ours))
    place.run(source, destination)
    assert destination.ours == wanted(source)


def test_a_full_destination_is_told_and_filled_no_further(place: Place) -> None:
    source = filled(12)
    destination = FakeDestination(limits=Limits(batch=5, per_minute=60_000, capacity=7))
    report = place.run(source, destination).report
    assert (report.accepted, report.over_cap) == (7, 5)
    assert len(destination.calls) == 2


@pytest.mark.parametrize(("days", "renewed"), [(6, 3), (8, 0)])
def test_rows_of_a_feed_that_is_no_longer_read_are_left_to_expire(
    place: Place, days: int, renewed: int
) -> None:
    one, other, destination = FakeSource("taxii"), filled(3), FakeDestination()
    other.name = "anyrun"
    place.terms = Terms(expire_days=30)
    place.run(other, destination)
    place.time.forward(days=25 - days)
    destination.fails = Forbidden("The role is missing.")
    place.run(other, destination)
    destination.fails = None
    place.time.forward(days=days)
    assert place.run(one, destination).report.accepted == renewed
