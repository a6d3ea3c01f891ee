from collections.abc import Iterator
from datetime import timedelta

import pytest

from mdti.errors import ApiError, BadAnswer, Forbidden, SettingError
from mdti.feeds.ports import Remove
from mdti.feeds.sources.anyrun import FULL, AnyRunSource
from mdti.sandbox import taxii as vendor
from mdti.sandbox.faults import Fault
from tests.feeds.rig import NOW, VALUES
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig import Rig
from tests.feeds.sources.rig_taxii import AnyRunRig, TaxiiRig, stix
from tests.net.rude import Raw, Seen, reply, rude

NAMES = [f"host-{number}.example" for number in range(8)]


@pytest.fixture
def taxii() -> Iterator[TaxiiRig]:
    rig = TaxiiRig()
    with rig.running():
        yield rig


@pytest.fixture
def anyrun() -> Iterator[AnyRunRig]:
    rig = AnyRunRig()
    with rig.running():
        yield rig


def test_a_link_that_expired_is_made_good(taxii: TaxiiRig, anyrun: AnyRunRig) -> None:
    rigs: list[TaxiiRig] = [taxii, anyrun]
    for rig in rigs:
        for name in NAMES:
            rig.add(name)
            rig.clock.pass_(minutes=5)
        mirror = Mirror()
        batches = rig.source().read(None, full=True, deadline=rig.deadline())
        mirror.apply([next(batches)])
        rig.vendor.expire()
        mirror.apply(batches)

        assert mirror.values() == set(NAMES)


def test_a_page_whose_answer_broke_is_not_asked_for_by_its_link_again(taxii: TaxiiRig) -> None:
    for name in NAMES:
        taxii.add(name)
        taxii.clock.pass_(minutes=5)
    taxii.sandbox.faults.set([Fault(kind="drop", route="* /taxii/*", count=1, after=1)])

    assert Mirror().apply(taxii.read()).values() == set(NAMES)
    tokens = [seen.query.get("next") for seen in taxii.sandbox.requests]
    assert tokens[1] is not None
    assert tokens[2] is None


def test_what_changed_on_a_page_already_read_comes_with_the_next_read(anyrun: AnyRunRig) -> None:
    for name in NAMES:
        anyrun.add(name)
        anyrun.clock.pass_(minutes=5)
    mirror = Mirror()
    batches = anyrun.source().read(None, full=False, deadline=anyrun.deadline(10_000))
    mirror.apply([next(batches)])
    anyrun.change(NAMES[0])
    anyrun.clock.pass_(minutes=5)
    anyrun.change(NAMES[7])
    mirror.apply(batches)
    anyrun.clock.pass_(minutes=5)
    later = anyrun.read(mirror.cursor)

    assert anyrun.ids[NAMES[0]] in {one.source_id for batch in later for one in batch.changes}


def test_links_that_always_expire_are_an_error(anyrun: AnyRunRig) -> None:
    for name in NAMES:
        anyrun.add(name)

    def read() -> None:
        for _ in anyrun.source().read(None, full=True, deadline=anyrun.deadline()):
            anyrun.vendor.expire()

    with pytest.raises(ApiError):
        read()


def test_revoked_indicators_are_asked_for(anyrun: AnyRunRig) -> None:
    anyrun.add("host.example")
    mirror = Mirror().apply(anyrun.read())
    anyrun.clock.pass_(hours=1)
    anyrun.remove("host.example")

    batches = anyrun.read(mirror.cursor)

    assert [change for batch in batches for change in batch.changes if isinstance(change, Remove)]
    asked = [seen.query for seen in anyrun.sandbox.requests]
    assert {query["match[revoked]"] for query in asked} == {"true", "false"}
    assert all("added_after" not in query for query in asked)
    assert all(query["modified_after"].endswith("Z") for query in asked)


def test_the_first_read_goes_back_as_far_as_it_is_told(anyrun: AnyRunRig) -> None:
    anyrun.add("old.example")
    anyrun.clock.pass_(days=10)
    anyrun.add("fresh.example")

    def read(days: int | None) -> set[str]:
        source = anyrun.source(depth_days=days)
        return Mirror().apply(source.read(None, full=False, deadline=anyrun.deadline())).values()

    assert read(1) == {"fresh.example"}
    assert read(30) == {"fresh.example", "old.example"}
    assert read(None) == {"fresh.example", "old.example"}


@pytest.mark.parametrize("kind", [TaxiiRig, AnyRunRig])
def test_a_full_read_judges_only_what_it_reaches_back_to(kind: type[TaxiiRig]) -> None:
    with kind().running() as rig:
        assert isinstance(rig, TaxiiRig)
        rig.add("old.example", dated=NOW)
        rig.add("vanished.example", dated=NOW + timedelta(days=9))
        rig.clock.pass_(days=10)
        mirror = Mirror().apply(rig.read())
        rig.vanish("vanished.example")
        rig.add("fresh.example", dated=rig.now())

        source = rig.source(depth_days=5)
        mirror.apply(source.read(mirror.cursor, full=True, deadline=rig.deadline()))

        assert mirror.values() == {"old.example", "fresh.example"}


def test_several_collections_are_read_one_after_the_other(anyrun: AnyRunRig) -> None:
    anyrun.add("host.example")
    source = anyrun.source(collections=vendor.ANYRUN_COLLECTIONS[:2])

    mirror = Mirror().apply(source.read(None, full=False, deadline=anyrun.deadline()))

    assert mirror.values() == {"host.example"}
    assert {seen.path.split("/")[-3] for seen in anyrun.sandbox.requests} == {
        *vendor.ANYRUN_COLLECTIONS[:2]
    }


def test_a_key_without_a_subscription_is_told_from_a_wrong_key(anyrun: AnyRunRig) -> None:
    anyrun.forbid()

    with pytest.raises(Forbidden) as caught:
        anyrun.read()

    assert caught.value.hint is not None
    assert "subscription" in caught.value.hint


def test_a_key_is_sent_under_its_scheme_unless_it_names_one(taxii: Rig) -> None:
    with rude(lambda _: reply({})) as server:
        for token in ("a-key", "Basic abc"):
            source = AnyRunSource(
                url=f"{server.root}/api1", token=token, transport=taxii.transport, values=VALUES
            )
            list(source.read(None, full=False, deadline=taxii.deadline()))

    sent = {seen.headers["authorization"] for seen in server.seen}
    assert sent == {"API-KEY a-key", "Basic abc"}
    assert all(f"/api1/collections/{FULL}/objects/?" in seen.path for seen in server.seen)
    assert all("a-key" not in seen.path for seen in server.seen)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"objects": 5},
        {"objects": [{}], "next": 5},
        {"next": "x" * 5_000},
        {"objects": [{}], "next": "\ud83d"},
    ],
)
def test_an_answer_that_is_no_envelope_is_an_error(taxii: TaxiiRig, document: object) -> None:
    with rude(lambda _: reply(document)) as server, pytest.raises(BadAnswer):
        list(taxii.source(url=server.root).read(None, full=False, deadline=taxii.deadline()))


def test_links_in_a_circle_are_an_error(taxii: TaxiiRig) -> None:
    with (
        rude(lambda _: reply({"objects": [stix(1)], "next": "again"})) as server,
        pytest.raises(BadAnswer),
    ):
        list(taxii.source(url=server.root).read(None, full=False, deadline=taxii.deadline()))


def test_a_link_on_an_empty_page_is_not_followed(taxii: TaxiiRig) -> None:
    with rude(lambda _: reply({"next": "more"})) as server:
        list(taxii.source(url=server.root).read(None, full=False, deadline=taxii.deadline()))

    assert len(server.seen) == 1


def test_a_server_without_dates_is_read_again_from_the_start(taxii: TaxiiRig) -> None:
    with rude(lambda _: reply({"objects": [stix(1)]})) as server:
        mirror = Mirror()
        for _ in range(2):
            source = taxii.source(url=server.root, depth_days=None)
            mirror.apply(source.read(mirror.cursor, full=False, deadline=taxii.deadline()))

    assert mirror.values() == {"host-1.example"}
    assert all("added_after" not in seen.path for seen in server.seen)


def test_a_date_in_the_servers_own_future_hides_nothing(taxii: TaxiiRig) -> None:
    def handler(seen: Seen) -> Raw:
        headers = {
            "X-TAXII-Date-Added-Last": "2099-01-01T00:00:00.000Z",
            "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
        }
        return reply({"objects": [stix(1)]}, headers=headers)

    with rude(handler) as server:
        source = taxii.source(url=server.root)
        [batch] = source.read(None, full=False, deadline=taxii.deadline())

    assert batch.cursor[f"after:{vendor.COLLECTION}:all"] == "2026-11-21T12:00:00.000000Z"


def test_a_server_may_want_no_key(taxii: TaxiiRig) -> None:
    with rude(lambda _: reply({})) as server:
        source = taxii.source(url=server.root, authorization="")
        list(source.read(None, full=False, deadline=taxii.deadline()))

    assert "authorization" not in server.seen[0].headers


def test_no_collection_is_a_wrong_setting(taxii: TaxiiRig) -> None:
    with pytest.raises(SettingError):
        taxii.source(collections=[])
