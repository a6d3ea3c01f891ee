"""What every source promises, whoever the vendor is."""

from datetime import timedelta

import pytest

from mdti.errors import ApiError, Forbidden, MdtiError, Unauthorized
from mdti.feeds.ports import Batch
from mdti.sandbox.faults import Fault
from tests.feeds.rig import NOW
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig import Rig

TEN = [f"host-{number}.example" for number in range(10)]


def publish(rig: Rig, domains: list[str]) -> None:
    for domain in domains:
        rig.add(domain)
        rig.clock.pass_(seconds=2)


def churn(rig: Rig) -> set[str]:
    """Change, remove and add after some days, and return what lives then."""
    rig.clock.pass_(days=2)
    rig.change(TEN[3])
    rig.clock.pass_(seconds=5)
    rig.remove(TEN[4])
    rig.clock.pass_(seconds=5)
    publish(rig, ["late-1.example", "late-2.example"])
    return (set(TEN) - {TEN[4]}) | {"late-1.example", "late-2.example"}


def test_all_pages_arrive(rig: Rig) -> None:
    publish(rig, TEN)

    assert Mirror().apply(rig.read()).values() == set(TEN)


def test_a_later_read_brings_what_changed_was_removed_or_came(rig: Rig) -> None:
    publish(rig, TEN)
    mirror = Mirror().apply(rig.read())
    alive = churn(rig)

    mirror.apply(rig.read(mirror.cursor))

    assert mirror.values() == alive


def test_a_later_read_does_not_read_everything_again(rig: Rig) -> None:
    publish(rig, TEN)
    rig.clock.pass_(days=1)
    rig.add("last.example")
    rig.clock.pass_(seconds=2)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(days=2)
    rig.change(TEN[3])
    rig.clock.pass_(seconds=2)

    batches = rig.read(mirror.cursor)

    # The overlap may bring the last one again.
    assert 1 <= sum(len(batch.changes) for batch in batches) <= 2


@pytest.mark.parametrize("full", [False, True])
def test_a_read_resumes_after_every_batch(rig: Rig, full: bool) -> None:
    publish(rig, TEN)
    before = rig.read()
    alive = churn(rig)
    cursor = before[-1].cursor
    whole = rig.read(cursor, full=full)

    assert Mirror().apply(before).apply(whole).values() == alive
    for index in range(len(whole)):
        mirror = Mirror().apply(before).apply(whole[: index + 1])
        # The same wish is repeated, as the engine does after a run that was cut short.
        rest = rig.read(mirror.cursor, full=full and whole[index].phase == "snapshot")
        assert mirror.apply(rest).values() == alive, index


def test_batches_delivered_twice_change_nothing(rig: Rig) -> None:
    publish(rig, TEN)
    first = rig.read()
    alive = churn(rig)
    second = rig.read(first[-1].cursor)
    mirror = Mirror().apply(first).apply(second)

    mirror.apply(second).apply(batch for batch in first if batch.phase == "delta").apply(second)

    assert mirror.values() == alive


def test_a_full_read_is_a_snapshot_that_shows_what_vanished_in_silence(rig: Rig) -> None:
    publish(rig, TEN)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vanish(TEN[5])
    batches = rig.read(mirror.cursor, full=True)

    assert [batch.phase for batch in batches[-1:]] == ["snapshot_end"]
    assert {batch.phase for batch in batches[:-1]} == {"snapshot"}
    assert mirror.apply(batches).values() == set(TEN) - {TEN[5]}
    assert Mirror().apply(rig.read(mirror.cursor)).keys() <= mirror.keys()
    assert {batch.phase for batch in rig.read(mirror.cursor)} <= {"delta"}


def test_a_pause_that_the_vendor_asks_for_loses_nothing(rig: Rig) -> None:
    publish(rig, TEN)
    rig.sandbox.faults.set(
        [Fault(kind="throttle", route=f"* /{rig.name}*", count=2, after=1, retry_after=9)]
    )

    assert Mirror().apply(rig.read()).values() == set(TEN)
    assert sum(rig.clock.slept) >= 9


def test_an_answer_that_breaks_off_loses_nothing(rig: Rig) -> None:
    publish(rig, TEN)
    rig.sandbox.faults.set([Fault(kind="drop", route=f"* /{rig.name}*", count=1, after=1)])

    assert Mirror().apply(rig.read()).values() == set(TEN)


@pytest.mark.parametrize("kind", ["error", "html"])
def test_a_vendor_that_is_down_is_an_error_and_leaves_the_cursor(rig: Rig, kind: str) -> None:
    publish(rig, TEN)
    cursor = rig.read()[-1].cursor
    rig.change(TEN[0])
    rig.sandbox.faults.set([Fault(kind=kind, route=f"* /{rig.name}*")])
    seen: list[Batch] = []

    with pytest.raises(MdtiError):
        seen += rig.source().read(cursor, full=False, deadline=rig.deadline())

    rig.sandbox.faults.set()
    assert seen == []
    rig.clock.pass_(minutes=1)
    assert TEN[0] in Mirror().apply(rig.read(cursor)).values()


def test_a_page_that_fails_never_ends_a_snapshot(rig: Rig) -> None:
    publish(rig, TEN)
    rig.sandbox.faults.set([Fault(kind="error", route=f"* /{rig.name}*", after=1)])
    seen: list[Batch] = []

    with pytest.raises(MdtiError):
        seen.extend(rig.source().read(None, full=True, deadline=rig.deadline()))

    assert "snapshot_end" not in {batch.phase for batch in seen}


def test_nothing_is_written_to_the_vendor(rig: Rig) -> None:
    publish(rig, TEN)
    mirror = Mirror().apply(rig.read())
    churn(rig)
    mirror.apply(rig.read(mirror.cursor))
    mirror.apply(rig.read(mirror.cursor, full=True))

    asked = {(seen.method, seen.path.rpartition("/")[2]) for seen in rig.sandbox.requests}
    assert {method for method, _ in asked} == {"GET"} or asked == {("POST", "query")}


def test_garbage_is_skipped_with_a_reason_and_hides_nothing(rig: Rig) -> None:
    publish(rig, TEN)
    littered = rig.litter()
    publish(rig, ["after.example"])

    mirror = Mirror().apply(rig.read())

    assert {*TEN, "after.example"} <= mirror.values()
    assert mirror.values() - {*TEN, "after.example"} <= {"undated.example"}
    assert sum(mirror.skipped().values()) >= littered - 2
    assert all(len(reason) < 40 and reason.isprintable() for reason in mirror.skipped())


def test_an_empty_feed_is_read_and_stays_readable(rig: Rig) -> None:
    mirror = Mirror().apply(rig.read())
    assert mirror.keys() == set()
    assert mirror.cursor is not None
    rig.clock.pass_(hours=1)
    publish(rig, TEN[:1])

    assert mirror.apply(rig.read(mirror.cursor)).values() == {TEN[0]}


def test_an_empty_snapshot_ends_as_one(rig: Rig) -> None:
    assert rig.read(full=True)[-1].phase == "snapshot_end"


def test_a_huge_feed_comes_in_bounded_batches(rig: Rig) -> None:
    many = [f"host-{number}.example" for number in range(2_000)]
    for domain in many:
        rig.add(domain)
    rig.clock.pass_(seconds=2)

    batches = rig.read(page=200)

    assert Mirror().apply(batches).values() == set(many)
    assert max(len(batch.changes) for batch in batches) <= 400


def test_a_date_in_the_future_stops_nothing(rig: Rig) -> None:
    rig.add("future.example", dated=NOW + timedelta(days=9_000))
    rig.clock.pass_(seconds=2)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    publish(rig, TEN)

    mirror.apply(rig.read(mirror.cursor))

    assert mirror.values() == {"future.example", *TEN}


@pytest.mark.parametrize("seconds", [-200.0, 200.0])
def test_a_wrong_clock_of_ours_loses_nothing(rig: Rig, seconds: float) -> None:
    rig.ours = seconds
    publish(rig, TEN)
    mirror = Mirror().apply(rig.read())
    alive = churn(rig)

    mirror.apply(rig.read(mirror.cursor))

    assert mirror.values() == alive


def test_a_wrong_key_is_an_error_that_says_what_to_check(rig: Rig) -> None:
    publish(rig, TEN)

    with pytest.raises(Unauthorized) as caught:
        list(rig.source(key="wrong").read(None, full=False, deadline=rig.deadline()))

    assert caught.value.hint
    assert "wrong" not in f"{caught.value} {caught.value.hint}"


def test_a_missing_role_is_an_error_that_says_what_to_grant(rig: Rig) -> None:
    publish(rig, TEN)
    cursor = rig.read()[-1].cursor
    rig.forbid()

    with pytest.raises((Forbidden, Unauthorized)) as caught:
        list(rig.source().read(cursor, full=False, deadline=rig.deadline()))

    assert isinstance(caught.value, ApiError)
    assert caught.value.hint


@pytest.mark.parametrize(
    "cursor",
    [
        {},
        {"unknown": "words"},
        {"update_id": "x", "until": "x", "start": "x", "end": "x", "modified": "x", "id": "x"},
        {"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z", "parts": "x"},
    ],
)
def test_a_cursor_that_says_nothing_reads_everything(rig: Rig, cursor: dict[str, str]) -> None:
    publish(rig, TEN)

    assert Mirror().apply(rig.read(cursor)).values() == set(TEN)


def test_a_read_ends_at_its_deadline_and_goes_on_where_it_stopped(rig: Rig) -> None:
    publish(rig, TEN)
    mirror = Mirror()
    deadline = rig.deadline()
    for batch in rig.source().read(None, full=True, deadline=deadline):
        mirror.apply([batch])
        if batch.changes:
            rig.clock.seconds = deadline.at

    assert mirror.cursor is not None
    for _ in range(20):
        if mirror.values() == set(TEN):
            break
        mirror.apply(rig.read(mirror.cursor))

    assert mirror.values() == set(TEN)
