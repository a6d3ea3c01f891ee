import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from mdti.cache import Answers, Memory, Shelf, StoredLookups
from mdti.errors import DeadlineExceeded, MdtiError, ServerFault, StoreError
from mdti.models import Host
from mdti.net.deadline import Deadline
from mdti.sandbox.faults import Fault
from mdti.store.base import Stored
from mdti.store.files import FileStore
from tests.tenant import SEED, Clock, Tenant, finding

REPUTATION = "GET */reputation"
PASSIVE_DNS = "GET *passivedns*"


class Library:
    """A shelf of texts, and what was fetched for it."""

    def __init__(self, *, max_bytes: int = 1_000) -> None:
        self.clock = Clock()
        self.memory = Memory(clock=self.clock, max_bytes=max_bytes)
        self.shelf: Shelf[str] = self.memory.shelf("text", seconds=60, sized=len)
        self.fetched: list[tuple[str, ...]] = []
        self.deadline = Deadline.after(600, clock=self.clock)

    def get(self, *keys: str) -> Answers[str]:
        return self.shelf.get_all(keys, self.fetch, deadline=self.deadline)

    def fetch(self, keys: Sequence[str]) -> Mapping[str, str | MdtiError]:
        self.fetched.append(tuple(keys))
        return {key: key * 10 for key in keys}


def failing(keys: Sequence[str]) -> Mapping[str, str | MdtiError]:
    return {key: ServerFault("no") for key in keys}


def test_what_is_known_is_not_fetched_again() -> None:
    library = Library()
    assert library.get("a", "b", "a").hits == 0
    answers = library.get("b", "c")
    assert (answers.found, answers.hits) == ({"b": "b" * 10, "c": "c" * 10}, 1)
    assert library.fetched == [("a", "b"), ("c",)]


def test_a_value_lives_for_its_seconds_and_no_longer() -> None:
    library = Library()
    library.get("a")
    library.clock.sleep(59)
    assert library.get("a").hits == 1
    library.clock.sleep(1)
    assert library.get("a").hits == 0
    assert library.memory.size == 10


def test_the_bytes_held_stay_below_the_bound_and_the_least_used_go_first() -> None:
    library = Library(max_bytes=30)
    library.get("a", "b", "c")
    library.get("a")
    library.get("d")
    assert library.memory.size == 30
    assert library.get("a", "c", "d").hits == 3
    assert library.get("b").hits == 0


def test_a_value_larger_than_the_memory_is_not_kept() -> None:
    library = Library(max_bytes=9)
    library.get("a")
    assert library.memory.size == 0
    assert library.get("a").hits == 0


def test_errors_are_never_kept() -> None:
    library = Library()
    answers = library.shelf.get_all(["a"], failing, deadline=library.deadline)
    assert isinstance(answers.found["a"], ServerFault)
    assert library.get("a").found == {"a": "a" * 10}


def test_kinds_of_values_do_not_mix() -> None:
    library = Library()
    library.get("a")
    other: Shelf[str] = library.memory.shelf("other", seconds=60, sized=len)
    assert other.get_all(["a"], library.fetch, deadline=library.deadline).hits == 0


def test_a_mistake_in_fetching_frees_those_who_wait_and_is_raised() -> None:
    library = Library()

    def broken(keys: Sequence[str]) -> Mapping[str, str | MdtiError]:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError):
        library.shelf.get_all(["a"], broken, deadline=library.deadline)
    assert library.get("a").found == {"a": "a" * 10}


def _together(
    library: Library, first: Callable[[Sequence[str]], Mapping[str, str | MdtiError]]
) -> tuple[Answers[str], Answers[str]]:
    """Let one thread fetch with `first` while another asks for the same key."""
    fetching, waiting = Event(), Event()

    def slowly(keys: Sequence[str]) -> Mapping[str, str | MdtiError]:
        fetching.set()
        assert waiting.wait(10)
        return first(keys)

    class Watched(Deadline):
        def remaining(self) -> float:
            waiting.set()
            return 10.0

    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(library.shelf.get_all, ["a"], slowly, deadline=library.deadline)
        assert fetching.wait(10)
        two = library.shelf.get_all(["a", "b"], library.fetch, deadline=Watched.after(10))
        return one.result(10), two


def test_two_threads_that_want_the_same_fetch_it_once() -> None:
    library = Library()
    one, two = _together(library, library.fetch)
    assert one.found == {"a": "a" * 10}
    assert two.found == {"a": "a" * 10, "b": "b" * 10}
    assert sorted(library.fetched) == [("a",), ("b",)]
    assert two.hits == 1


def test_what_another_failed_to_fetch_is_fetched_once_more() -> None:
    library = Library()
    one, two = _together(library, failing)
    assert isinstance(one.found["a"], ServerFault)
    assert two.found == {"a": "a" * 10, "b": "b" * 10}
    assert two.hits == 0


def test_whoever_waits_for_another_waits_no_longer_than_its_time() -> None:
    library = Library()
    fetching, done = Event(), Event()

    def slowly(keys: Sequence[str]) -> Mapping[str, str | MdtiError]:
        fetching.set()
        assert done.wait(10)
        return library.fetch(keys)

    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(library.shelf.get_all, ["a"], slowly, deadline=library.deadline)
        assert fetching.wait(10)
        over = Deadline.after(0, clock=library.clock)
        two = library.shelf.get_all(["a"], library.fetch, deadline=over)
        done.set()
        one.result(10)
    assert isinstance(two.found["a"], DeadlineExceeded)


def test_two_look_ups_at_once_ask_graph_once(tenant: Tenant) -> None:
    app = tenant.app()
    app.refresh_index()
    undisturbed = tenant.look_up_one(tenant.fresh())
    tenant.sandbox.forget()
    with ThreadPoolExecutor(2) as threads:
        with tenant.holding(REPUTATION) as hold:
            looking = [threads.submit(tenant.look_up_one, app) for _ in range(2)]
            assert hold.reached.wait(10)
        lookups = [future.result(30) for future in looking]
    assert {finding(lookup) for lookup in lookups} == {finding(undisturbed)}
    paths = [seen.path for seen in tenant.asked()]
    assert len(paths) == len(set(paths))


def test_a_second_look_up_asks_nothing_in_the_same_process_and_in_another(
    tenant: Tenant,
) -> None:
    app = tenant.app()
    first = tenant.look_up_one(app)
    tenant.sandbox.forget()
    again = tenant.look_up_one(app)
    elsewhere = tenant.look_up_one(tenant.app())
    assert tenant.sandbox.requests == ()
    assert finding(first) == finding(again) == finding(elsewhere)
    assert (again.stats.requests, again.stats.cache_hits) == (0, 1)


def test_a_real_second_process_asks_nothing(tenant: Tenant) -> None:
    program = (
        "import os, sys\n"
        "from mdti.app import App\n"
        "from mdti.render.document import dump, lookup_document\n"
        "app = App(os.environ)\n"
        "(lookup,) = app.look_up(app.parse_lookup({'ioc': sys.argv[1]}))\n"
        "sys.stdout.buffer.write(dump(lookup_document(lookup)['actors'][0]))\n"
        "app.close()\n"
    )
    environment = {
        **tenant.sandbox.environment(),
        "MDTI_STATE_DIR": str(tenant.folder / "shared"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-c", program, SEED]
    first = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert tenant.asked() != ()
    tenant.sandbox.forget()
    second = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert tenant.sandbox.requests == ()
    assert second.stdout == first.stdout
    assert b"Paper Drizzle" in second.stdout


def test_a_stored_look_up_lives_for_an_hour_and_passive_dns_for_a_day(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.look_up_one(app)

    def asked_by(other: bool, **time: float) -> set[str]:
        tenant.pass_time(**time)
        tenant.sandbox.forget()
        tenant.look_up_one(tenant.app() if other else app)
        return {seen.path.rpartition("/")[2] for seen in tenant.asked()}

    assert asked_by(other=True, minutes=59) == set()
    assert asked_by(other=False, minutes=2) == set()
    assert asked_by(other=True, minutes=61) != set()
    assert asked_by(other=False, hours=6) == {"reputation"}
    assert "passiveDns" in asked_by(other=False, hours=19)


def test_another_question_is_another_entry(tenant: Tenant) -> None:
    app = tenant.app()
    whole = tenant.look_up_one(app)
    assert len(tenant.look_up_one(app, depth=1).hosts) < len(whole.hosts)
    assert tenant.look_up_one(app, lookbackDays=1).hosts != whole.hosts
    other_rules = tenant.app(LOOKUP_ACTOR_RULES="Some Other Rule")
    (actor,) = tenant.look_up_one(other_rules).actors
    assert {item.kind for item in actor.evidence} == {"intelProfile"}


def test_a_new_copy_of_the_actor_index_makes_old_answers_stale(tenant: Tenant) -> None:
    app = tenant.app()
    assert tenant.look_up_one(app, "weather-today.example").actors == ()
    profile = tenant.sandbox.world.profile("Silver Hail")
    tenant.sandbox.world.indicator(profile, "weather-today.example")
    tenant.pass_time(seconds=1)
    app.refresh_index()
    assert [a.name for a in tenant.look_up_one(app, "weather-today.example").actors] == [
        "Silver Hail"
    ]


@pytest.mark.parametrize("route", [REPUTATION, PASSIVE_DNS])
def test_incomplete_answers_are_never_kept(tenant: Tenant, route: str) -> None:
    app = tenant.app()
    app.refresh_index()
    tenant.faults(Fault(kind="html", route=route))
    assert not tenant.look_up_one(app).complete
    assert list(app.store.list_("lookups/")) == []
    tenant.faults()
    assert tenant.look_up_one(app).complete
    assert len(list(app.store.list_("lookups/"))) == 1


def test_two_graphs_on_one_store_never_share_an_answer(tenant: Tenant) -> None:
    tenant.look_up_one(tenant.app())
    tenant.sandbox.forget()
    lookup = tenant.look_up_one(tenant.app(GRAPH_API_VERSION="beta"))
    assert lookup.stats.requests == len(tenant.asked()) > 0


def test_a_damaged_entry_is_looked_up_again(tenant: Tenant) -> None:
    undisturbed = finding(tenant.look_up_one(tenant.app()))
    for body in (b"", b"[]", b'{"made": 3}', b'{"made": "2026-11-21T00:00:00Z"}'):
        (kept,) = (tenant.folder / "state" / "lookups").rglob("*.json")
        kept.write_bytes(body)
        assert finding(tenant.look_up_one(tenant.app())) == undisturbed


class Failing(FileStore):
    """A store that has gone away, and how often it was asked."""

    asked = 0

    def read(self, key: str) -> Stored | None:
        self.asked += 1
        raise StoreError("the store is away")

    def write(self, key: str, body: bytes, **_: object) -> str:
        self.asked += 1
        raise StoreError("the store is away")


def test_a_store_that_fails_is_waited_for_once_whatever_the_number_of_look_ups(
    tenant: Tenant,
) -> None:
    lookup = tenant.look_up_one(tenant.app())
    store = Failing(tenant.folder, clock=tenant.now)
    stored = StoredLookups(store, source="here", now=tenant.now)
    seeds = [Host("name", f"host-{number}.example") for number in range(100)]
    assert stored.read_all(seeds, "1", deadline=Deadline.after(60)) == {}
    assert store.asked == 1
    stored.write_all([replace(lookup, seed=seed) for seed in seeds], "1")
    assert store.asked == 2


def test_no_entry_is_read_once_time_is_up(tenant: Tenant) -> None:
    stored = StoredLookups(FileStore(tenant.folder, clock=tenant.now), source="", now=tenant.now)
    lookup = tenant.look_up_one(tenant.app())
    stored.write_all([lookup], "1")
    assert stored.read_all([lookup.seed], "1", deadline=Deadline.after(60)) == {lookup.seed: lookup}
    assert stored.read_all([lookup.seed], "1", deadline=Deadline.after(0)) == {}


def test_sweeping_deletes_what_is_over_and_nothing_else(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.look_up_one(app)
    app.sweep()
    assert len(list(app.store.list_("lookups/"))) == 1
    tenant.pass_time(days=2)
    tenant.look_up_one(app, "vault-key.example")
    app.sweep()
    assert len(list(app.store.list_("lookups/"))) == 1
    assert len(list(app.store.list_("actor-index/"))) > 0
