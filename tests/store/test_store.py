"""What every store promises, on files and on Azurite."""

import threading

import pytest

from mdti.errors import LeaseLost, WriteConflict
from mdti.store.base import MAX_APPEND
from tests.store.backends import Backend


def test_an_absent_key_reads_as_none(backend: Backend) -> None:
    assert backend.store.read("jobs/none") is None


@pytest.mark.parametrize("body", [b"", b"one", bytes(range(256)) * 40])
def test_what_was_written_is_read_by_another_process(backend: Backend, body: bytes) -> None:
    etag = backend.store.write("a/b.json", body)

    stored = backend.another().read("a/b.json")

    assert stored is not None
    assert (stored.body, stored.etag) == (body, etag)


def test_a_body_larger_than_one_request_is_whole(backend: Backend) -> None:
    body = bytes(range(256)) * 36_000

    backend.store.write("snapshot", body)
    stored = backend.store.read("snapshot")

    assert stored is not None
    assert stored.body == body


def test_a_write_on_the_etag_that_was_read_succeeds_once(backend: Backend) -> None:
    store = backend.store
    first = store.write("pointer", b"1")

    second = store.write("pointer", b"2", if_match=first)
    with pytest.raises(WriteConflict):
        store.write("pointer", b"3", if_match=first)

    stored = store.read("pointer")
    assert stored is not None
    assert (stored.body, stored.etag) == (b"2", second)


def test_a_large_write_obeys_its_condition_too(backend: Backend) -> None:
    store = backend.store
    store.write("snapshot", b"small")

    with pytest.raises(WriteConflict):
        store.write("snapshot", bytes(9_000_000), if_absent=True)


def test_a_write_on_an_etag_of_an_absent_key_conflicts(backend: Backend) -> None:
    etag = backend.store.write("pointer", b"1")
    backend.store.delete("pointer")

    with pytest.raises(WriteConflict):
        backend.store.write("pointer", b"2", if_match=etag)


def test_if_absent_lets_exactly_one_of_many_threads_write(backend: Backend) -> None:
    outcomes: list[str] = []

    def write(name: bytes) -> None:
        try:
            outcomes.append(backend.store.write("one", name, if_absent=True))
        except WriteConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.count("conflict") == 7
    stored = backend.store.read("one")
    assert stored is not None
    assert stored.etag in outcomes


def test_both_conditions_at_once_are_refused(backend: Backend) -> None:
    with pytest.raises(ValueError, match="either"):
        backend.store.write("a", b"", if_match="x", if_absent=True)


def test_appends_add_up_in_order(backend: Backend) -> None:
    for part in (b"one\n", b"two\n", b"three\n"):
        backend.store.append("journal/1", part)

    stored = backend.another().read("journal/1")

    assert stored is not None
    assert stored.body == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("size", [0, MAX_APPEND + 1])
def test_an_append_that_could_not_be_one_block_is_refused(backend: Backend, size: int) -> None:
    with pytest.raises(ValueError, match="one append"):
        backend.store.append("journal/1", bytes(size))

    assert backend.store.read("journal/1") is None


def test_an_append_of_the_largest_size_is_taken(backend: Backend) -> None:
    backend.store.append("journal/1", bytes(MAX_APPEND))

    stored = backend.store.read("journal/1")
    assert stored is not None
    assert len(stored.body) == MAX_APPEND


def test_keys_are_listed_by_prefix_in_order_without_the_stores_own(backend: Backend) -> None:
    store = backend.store
    for key in ("b/2", "b/10", "b-1", "a/x/y", "bb", "b/1"):
        store.write(key, b"")
    with store.lease("b/1"):
        assert list(store.list_("b/")) == ["b/1", "b/10", "b/2"]
        assert list(store.list_("b/1")) == ["b/1", "b/10"]
        assert list(store.list_("")) == ["a/x/y", "b-1", "b/1", "b/10", "b/2", "bb"]
        assert list(store.list_("none/")) == []


def test_deleting_is_done_once_and_again_without_error(backend: Backend) -> None:
    backend.store.write("a/b", b"1")

    backend.store.delete("a/b")
    backend.store.delete("a/b")

    assert backend.store.read("a/b") is None
    assert list(backend.store.list_("")) == []


def test_a_delete_on_another_etag_conflicts_and_deletes_nothing(backend: Backend) -> None:
    old = backend.store.write("a", b"1")
    new = backend.store.write("a", b"2")

    with pytest.raises(WriteConflict):
        backend.store.delete("a", if_match=old)
    assert backend.store.read("a") is not None

    backend.store.delete("a", if_match=new)
    with pytest.raises(WriteConflict):
        backend.store.delete("a", if_match=new)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "..", "a/../b", ".leases/a", "a/.b", "a.", "A", "a b", "a\\b", "a\n",
     "ä", "a" * 513, "a/" + "b" * 129, "a?b", "a%2e"],
)  # fmt: skip
def test_what_is_not_a_key_is_refused_before_anything_happens(backend: Backend, key: str) -> None:
    store = backend.store
    with pytest.raises(ValueError):
        store.read(key)
    with pytest.raises(ValueError):
        store.write(key, b"")
    with pytest.raises(ValueError):
        store.append(key, b"1")
    with pytest.raises(ValueError):
        store.delete(key)
    with pytest.raises(ValueError):
        store.lease(key)


@pytest.mark.parametrize("prefix", ["/", "..", "a/../", ".leases/", "A", "a//"])
def test_what_no_key_begins_with_is_no_prefix(backend: Backend, prefix: str) -> None:
    with pytest.raises(ValueError):
        list(backend.store.list_(prefix))


def test_a_lease_has_one_holder_at_a_time(backend: Backend) -> None:
    with backend.store.lease("feed") as lease:
        lease.check()
        lease.renew()
        with pytest.raises(LeaseLost):
            backend.another().lease("feed")
        backend.another().lease("other").release()

    backend.another().lease("feed").check()


@pytest.mark.parametrize("seconds", [0, 14, 61, -1])
def test_a_term_that_the_service_does_not_grant_is_refused(backend: Backend, seconds: int) -> None:
    with pytest.raises(ValueError):
        backend.store.lease("feed", seconds=seconds)


def test_a_lease_whose_term_ended_is_refused_and_can_be_taken_over(backend: Backend) -> None:
    stale = backend.store.lease("feed")
    backend.end_term("feed")

    with pytest.raises(LeaseLost):
        stale.check()

    fresh = backend.another().lease("feed")
    fresh.check()
    for act in (stale.check, stale.renew):
        with pytest.raises(LeaseLost):
            act()
    stale.release()
    fresh.check()


def test_a_released_lease_is_not_held(backend: Backend) -> None:
    lease = backend.store.lease("feed")
    lease.release()

    for act in (lease.check, lease.renew):
        with pytest.raises(LeaseLost):
            act()
    lease.release()


def test_a_stale_holder_changes_nothing(backend: Backend) -> None:
    store = backend.store
    store.write("state", b"old")
    store.append("journal", b"old")
    stale = store.lease("feed")
    backend.end_term("feed")
    fresh = backend.another().lease("feed")

    with pytest.raises(LeaseLost):
        store.write("state", b"stale", lease=stale)
    with pytest.raises(LeaseLost):
        store.write("fresh-key", b"stale", lease=stale, if_absent=True)
    with pytest.raises(LeaseLost):
        store.append("journal", b"stale", lease=stale)
    with pytest.raises(LeaseLost):
        store.delete("state", lease=stale)

    store.write("state", b"new", lease=fresh)
    store.append("journal", b"new", lease=fresh)
    state, journal = store.read("state"), store.read("journal")
    assert state is not None
    assert journal is not None
    assert (state.body, journal.body) == (b"new", b"oldnew")
    assert store.read("fresh-key") is None


def test_a_holder_writes_appends_and_deletes_what_it_likes(backend: Backend) -> None:
    store = backend.store
    with store.lease("feed") as lease:
        first = store.write("state", b"1", lease=lease, if_absent=True)
        second = store.write("state", b"2", lease=lease, if_match=first)
        store.write("state", b"3", lease=lease)
        with pytest.raises(WriteConflict):
            store.write("state", b"4", lease=lease, if_match=second)
        with pytest.raises(WriteConflict):
            store.write("state", b"4", lease=lease, if_absent=True)
        store.append("journal", b"1", lease=lease)
        store.append("journal", b"2", lease=lease)
        lease.check()
        store.delete("state", lease=lease)
        store.delete("state", lease=lease)

    journal = store.read("journal")
    assert journal is not None
    assert journal.body == b"12"
    assert store.read("state") is None


def test_a_later_holder_goes_on_where_the_one_before_stopped(backend: Backend) -> None:
    for number in (b"1", b"2", b"3"):
        with backend.another().lease("feed") as lease:
            backend.store.write("state", number, lease=lease)
            backend.store.append("journal", number, lease=lease)

    journal = backend.store.read("journal")
    assert journal is not None
    assert journal.body == b"123"


def test_deleting_a_key_leaves_a_lease_that_is_held(backend: Backend) -> None:
    backend.store.write("job", b"")
    with backend.store.lease("job") as lease:
        backend.store.delete("job")
        lease.check()
        with pytest.raises(LeaseLost):
            backend.another().lease("job")


def test_a_lease_of_another_store_is_refused(backend: Backend) -> None:
    class Foreign:
        key = "feed"

        def renew(self) -> None: ...
        def check(self) -> None: ...
        def release(self) -> None: ...
        def __enter__(self) -> "Foreign":
            return self

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(TypeError, match="another store"):
        backend.store.write("state", b"", lease=Foreign())
    assert backend.store.read("state") is None
