"""What every destination promises, whoever the vendor is."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from mdti.errors import ApiError, Forbidden, MdtiError, Unauthorized
from mdti.feeds.indicator import IndicatorKind, Key
from mdti.feeds.ports import Drop, Operation, Outcome, Skip
from mdti.sandbox.faults import Fault
from tests.feeds.destinations.rig import NOW, Rig, domain, drop, indicator, put

TEN = [domain(number) for number in range(10)]


def states(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_what_is_accepted_is_there(rig: Rig) -> None:
    outcomes = rig.apply(*map(put, TEN))

    assert states(outcomes) == ["accepted"] * 10
    assert rig.present() == TEN
    assert all(outcome.remote_id for outcome in outcomes)


def test_there_is_one_outcome_for_each_operation_in_their_order(rig: Rig) -> None:
    first = rig.apply(*map(put, TEN[:4]))
    mixed: list[Operation] = [put(TEN[7]), drop(first[2]), put(TEN[5]), drop(first[0]), put(TEN[1])]

    outcomes = rig.apply(*mixed)

    assert [outcome.key for outcome in outcomes] == [operation.key for operation in mixed]
    assert states(outcomes) == ["accepted"] * 5
    assert rig.present() == [TEN[1], TEN[3], TEN[5], TEN[7]]


def test_nothing_to_do_is_nothing_done(rig: Rig) -> None:
    assert list(rig.apply()) == []


def test_a_whole_batch_goes_at_once(rig: Rig) -> None:
    size = min(rig.destination().limits.batch, 500)
    values = [domain(number) for number in range(size)]

    outcomes = rig.apply(*map(put, values))

    assert set(states(outcomes)) == {"accepted"}
    assert rig.present() == sorted(values)
    writes = [seen for seen in rig.sandbox.requests if seen.method != "GET"]
    assert len(writes) == (1 if rig.one_call else size)


def test_a_refused_row_does_not_take_others_with_it(rig: Rig) -> None:
    rig.spoil(TEN[4])

    outcomes = rig.apply(*map(put, TEN))

    assert outcomes[4].state in {"rejected", "pending"}
    assert outcomes[4].reason
    assert rig.present() == [value for value in TEN if value != TEN[4]]
    assert states(outcomes).count("accepted") == 9


def test_putting_twice_makes_one_row(rig: Rig) -> None:
    rig.apply(*map(put, TEN[:3]))

    outcomes = rig.apply(*map(put, TEN[:3]))

    assert states(outcomes) == ["accepted"] * 3
    assert rig.present() == TEN[:3]


def test_two_operations_on_one_row_are_one(rig: Rig) -> None:
    outcomes = rig.apply(put(TEN[0]), put(TEN[1]), put(TEN[0]))

    assert states(outcomes) == ["accepted"] * 3
    assert outcomes[0] == outcomes[2]
    assert rig.present() == TEN[:2]


def test_of_two_operations_on_one_row_the_later_counts(rig: Rig) -> None:
    [first] = rig.apply(put(TEN[0]))

    rig.apply(drop(first), put(TEN[0], remote_id=first.remote_id))
    assert rig.present() == [TEN[0]]
    rig.apply(put(TEN[0], remote_id=first.remote_id), drop(first))
    assert rig.present() == []


def test_a_changed_indicator_changes_its_row(rig: Rig) -> None:
    [before] = rig.apply(put(indicator(TEN[0], confidence=20)))
    assert rig.describes(TEN[0]) == 20
    rig.clock.pass_(hours=1)

    [outcome] = rig.apply(put(indicator(TEN[0], confidence=60), remote_id=before.remote_id))

    assert outcome.state == "accepted"
    assert rig.present() == [TEN[0]]
    assert rig.describes(TEN[0]) == 60


def test_what_is_dropped_is_gone(rig: Rig) -> None:
    outcomes = rig.apply(*map(put, TEN))

    gone = rig.apply(*(drop(outcome) for outcome in outcomes[:9]))

    assert states(gone) == ["accepted"] * 9
    assert rig.present() == [TEN[9]]


def test_dropping_what_is_gone_already_is_accepted(rig: Rig) -> None:
    outcomes = rig.apply(*map(put, TEN))
    rig.vanish(TEN[3])
    rig.vanish(TEN[8])

    gone = rig.apply(*map(drop, outcomes))

    assert states(gone) == ["accepted"] * 10
    assert rig.present() == []


def test_a_row_vanishing_meanwhile_does_not_keep_others_from_being_dropped(rig: Rig) -> None:
    destination = rig.destination()
    outcomes = rig.apply(*map(put, TEN), destination=destination)
    rig.vanish(TEN[3])

    gone = rig.apply(*map(drop, outcomes), destination=destination)

    assert states(gone) == ["accepted"] * 10
    assert rig.present() == []


def test_dropping_twice_is_accepted_twice(rig: Rig) -> None:
    outcomes = rig.apply(*map(put, TEN[:2]))

    for _ in range(2):
        assert states(rig.apply(*map(drop, outcomes))) == ["accepted"] * 2
    assert rig.present() == []


def test_dropping_what_never_was_is_accepted(rig: Rig) -> None:
    assert states(rig.apply(Drop(indicator(TEN[0]).key, None))) == ["accepted"]


def test_what_was_dropped_can_come_back_in_its_next_life(rig: Rig) -> None:
    [outcome] = rig.apply(put(TEN[0]))
    rig.apply(drop(outcome))

    [again] = rig.apply(put(TEN[0], generation=1))

    assert again.state == "accepted"
    assert rig.present() == [TEN[0]]
    rig.apply(drop(again, generation=1))
    assert rig.present() == []


def test_an_indicator_whose_time_is_over_is_rejected(rig: Rig) -> None:
    over = indicator(TEN[0], valid_until=NOW - timedelta(seconds=1))

    outcomes = rig.apply(put(over), put(TEN[1]))

    assert states(outcomes) == ["rejected", "accepted"]
    assert outcomes[0].reason == "expired"
    assert rig.present() == [TEN[1]]


def test_rows_end_by_themselves(rig: Rig) -> None:
    soon = indicator(TEN[0], valid_until=NOW + timedelta(days=3))
    rig.apply(put(soon), put(TEN[1]))

    rig.clock.pass_(days=4)
    assert rig.present() == [TEN[1]]
    rig.clock.pass_(days=400)
    assert rig.present() == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ipv4", "10.1.2.3"),
        ("ipv4", "198.51.100.0/24"),
        ("ipv4", "198.51.100.300"),
        ("ipv6", "fe80::1"),
        ("domain", "*.example"),
        ("domain", "localhost"),
        ("domain", ""),
        ("url", "https://evil.example/" + "a" * 3_000),
        ("url", "javascript:alert(1)"),
        ("sha256", "not a hash"),
        ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
        ("email", "nobody"),
    ],
)
def test_garbage_is_skipped_with_a_reason(rig: Rig, kind: IndicatorKind, value: str) -> None:
    skip = rig.destination().key(indicator(value, kind))

    assert isinstance(skip, Skip)
    assert skip.reason


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ipv4", "198.51.100.23"),
        ("ipv6", "2001:db8::23"),
        ("domain", "evil.example"),
        ("url", "https://evil.example/it's?a=1&b=(2)%7C[3]$+"),
        ("sha1", "a" * 40),
        ("sha256", "b" * 64),
    ],
)
def test_every_kind_that_has_a_key_is_taken_and_dropped(
    rig: Rig, kind: IndicatorKind, value: str
) -> None:
    destination = rig.destination()
    item = indicator(value, kind)
    if rig.hosts_only and kind not in {"ipv4", "ipv6", "domain"}:
        assert isinstance(destination.key(item), Skip)
        return
    assert destination.key(item) == item.key

    [outcome] = rig.apply(put(item))
    assert outcome.state == "accepted"
    assert len(rig.present()) == 1
    assert states(rig.apply(drop(outcome))) == ["accepted"]
    assert rig.present() == []


@pytest.mark.parametrize("header", [2.0, None])
def test_throttling_loses_nothing(rig: Rig, header: float | None) -> None:
    rig.sandbox.faults.set([Fault(kind="throttle", count=4, after=1, retry_after=header)])

    outcomes = rig.apply(*map(put, TEN))

    assert states(outcomes) == ["accepted"] * 10
    assert rig.present() == TEN


def test_a_pause_past_the_deadline_leaves_everything_pending(rig: Rig) -> None:
    destination = rig.destination()
    rig.apply(put(TEN[9]), destination=destination)
    rig.sandbox.faults.set([Fault(kind="throttle", retry_after=900)])

    outcomes = rig.apply(*map(put, TEN[:3]), destination=destination, seconds=60)

    assert states(outcomes) == ["pending"] * 3
    assert all(outcome.reason for outcome in outcomes)


def test_a_broken_connection_leaves_rows_pending_and_a_second_try_makes_no_second_row(
    rig: Rig,
) -> None:
    destination = rig.destination()
    rig.apply(put(TEN[9]), destination=destination)
    # The call is carried out, its answer is lost.
    rig.sandbox.faults.set([Fault(kind="drop", route="P* *")])

    lost = rig.apply(*map(put, TEN[:3]), destination=destination)
    rig.sandbox.faults.set()
    outcomes = rig.apply(*map(put, TEN[:3]), destination=destination)

    assert states(lost) == ["pending"] * 3
    assert states(outcomes) == ["accepted"] * 3
    assert rig.present() == [*TEN[:3], TEN[9]]


def test_a_service_that_stays_silent_is_given_up_at_the_third_call(rig: Rig) -> None:
    destination = rig.destination()
    rig.apply(put(TEN[9]), destination=destination)
    rig.sandbox.faults.set([Fault(kind="error", status=503)])

    for _ in range(2):
        assert states(rig.apply(put(TEN[0]), destination=destination)) == ["pending"]
    with pytest.raises(ApiError):
        rig.apply(put(TEN[0]), destination=destination)
    rig.sandbox.faults.set()
    rig.clock.pass_(minutes=5)

    assert states(rig.apply(put(TEN[0]), destination=destination)) == ["accepted"]


def test_a_service_that_is_away_leaves_everything_pending(rig: Rig) -> None:
    rig.sandbox.faults.set([Fault(kind="error", status=503)])

    outcomes = rig.apply(*map(put, TEN))

    assert states(outcomes) == ["pending"] * 10
    assert rig.present() == []


def test_a_web_page_in_place_of_an_answer_is_no_acceptance(rig: Rig) -> None:
    destination = rig.destination()
    rig.apply(put(TEN[9]), destination=destination)
    rig.sandbox.faults.set([Fault(kind="html", route="P* *")])

    assert states(rig.apply(put(TEN[0]), destination=destination)) == ["pending"]


def test_a_wrong_key_is_an_error_that_says_what_to_do_and_shows_no_key(rig: Rig) -> None:
    rig.credential = "wrong"

    with pytest.raises(Unauthorized) as caught:
        rig.apply(put(TEN[0]))

    assert caught.value.hint
    shown = f"{caught.value!r} {caught.value} {caught.value.to_json()}"
    assert "wrong" not in shown


def test_a_missing_permission_is_an_error_that_says_what_to_do(rig: Rig) -> None:
    rig.forbid()

    with pytest.raises(Forbidden) as caught:
        rig.apply(put(TEN[0]))

    assert caught.value.hint
    assert rig.present() == []


def test_an_address_that_leads_nowhere_is_an_error(rig: Rig) -> None:
    rig.sandbox.faults.set([Fault(kind="gone")])

    with pytest.raises(MdtiError):
        rig.apply(put(TEN[0]))


def test_somebody_elses_row_is_neither_overwritten_nor_deleted(rig: Rig) -> None:
    rig.add_foreign(TEN[0])
    before = rig.foreign(TEN[0])

    outcomes = rig.apply(put(TEN[0]), put(TEN[1]))
    rig.apply(*map(drop, outcomes))

    assert rig.foreign(TEN[0]) == before
    assert rig.present() == []
    expected = "accepted" if rig.shares_values else "rejected"
    assert states(outcomes) == [expected, "accepted"]
    assert rig.shares_values or outcomes[0].reason


def test_the_list_names_our_rows(rig: Rig) -> None:
    rig.add_foreign(TEN[5])
    outcomes = rig.apply(*map(put, TEN[:3]))
    rig.apply(drop(outcomes[1]))

    listing = rig.destination().listing(deadline=rig.deadline())

    assert (listing is not None) == rig.lists
    ours = sorted((row.key.value, row.remote_id) for row in listing or () if row.ours)
    kept = [outcomes[0], outcomes[2]]
    if rig.lists:
        assert ours == [(outcome.key.value, outcome.remote_id) for outcome in kept]


def test_a_list_of_nothing_is_empty(rig: Rig) -> None:
    listing = rig.destination().listing(deadline=rig.deadline())

    assert list(listing or ()) == []


def test_no_credential_is_in_any_address(rig: Rig) -> None:
    outcomes = rig.apply(*map(put, TEN))
    rig.apply(*map(drop, outcomes))

    for seen in rig.sandbox.requests:
        assert not {"api_key", "username", "token", "code"} & set(seen.query)
        assert seen.headers["authorization"] == "valid"


def test_hostile_texts_travel_as_texts(rig: Rig) -> None:
    nasty = 'it\'s "<script>" \\ \u202e & ; %0d%0a ' + "x" * 5_000
    item = indicator(
        TEN[0],
        title=nasty,
        description=nasty,
        tags=(nasty, "a,b"),
        link=f"https://x.example/{nasty}",
    )

    outcomes = rig.apply(put(item), put(TEN[1]))

    assert states(outcomes) == ["accepted"] * 2
    assert rig.present() == TEN[:2]


def test_an_address_with_quotes_is_put_found_and_dropped(rig: Rig) -> None:
    key = rig.destination().key(indicator("https://bad.example/it's?a='b'&c=%27;d", "url"))
    if rig.hosts_only:
        assert isinstance(key, Skip)
        return
    assert isinstance(key, Key)
    item = indicator(key.value, "url")

    outcomes = rig.apply(put(item))
    again = rig.apply(put(replace(item, confidence=90)))

    assert states(outcomes) == states(again) == ["accepted"]
    assert rig.present() == [key.value]
    assert states(rig.apply(drop(again[0]))) == ["accepted"]
    assert rig.present() == []


def test_calls_from_many_threads_do_not_mix(rig: Rig) -> None:
    destination = rig.destination()
    size = min(destination.limits.batch, 40)
    batches = [[put(f"host-{batch}-{n}.example") for n in range(size)] for batch in range(12)]

    with ThreadPoolExecutor(max(destination.limits.parallel, 2)) as pool:
        results = list(pool.map(lambda ops: rig.apply(*ops, destination=destination), batches))

    for batch, outcomes in zip(batches, results, strict=True):
        assert [one.key for one in outcomes] == [one.key for one in batch]
        assert states(outcomes) == ["accepted"] * size
    assert len(rig.present()) == 12 * size
