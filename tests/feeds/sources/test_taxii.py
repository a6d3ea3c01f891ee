import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mdti.errors import ApiError, BadAnswer, Forbidden, Missing, SettingError, Unauthorized
from mdti.feeds.ports import Batch, Remove
from mdti.feeds.sources.anyrun import FULL, AnyRunSource
from mdti.feeds.sources.taxii import TaxiiSource
from mdti.sandbox import taxii as vendor
from mdti.sandbox.faults import Fault
from tests.feeds.sources.medallion import COLLECTION, Medallion, medallion
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig import VALUES, Rig
from tests.feeds.sources.rig_taxii import AnyRunRig, TaxiiRig
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    with medallion(tmp_path_factory.mktemp("medallion")) as running:
        yield running


def stix(
    number: int, *, modified: str = "2026-11-01T00:00:00.000Z", **fields: Any
) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--5a7d0b0e-0000-4000-8000-{number:012d}",
        "created": "2026-11-01T00:00:00.000Z",
        "modified": modified,
        "valid_from": "2026-11-01T00:00:00.000Z",
        "pattern": f"[domain-name:value = 'host-{number}.example']",
        "pattern_type": "stix",
    } | fields


def test_a_server_that_others_wrote_is_read_and_read_on(taxii: Rig, server: Medallion) -> None:
    def read(mirror: Mirror, *, full: bool = False) -> list[Batch]:
        source = TaxiiSource(
            url=server.root,
            collections=[COLLECTION],
            authorization=server.authorization,
            transport=taxii.transport,
            values=VALUES,
            page=3,
        )
        return list(source.read(mirror.cursor, full=full, deadline=taxii.deadline()))

    mirror = Mirror().apply(read(Mirror()))
    assert mirror.keys() == set()
    server.publish(*(stix(number) for number in range(10)))
    mirror.apply(read(mirror))
    assert mirror.values() == {f"host-{number}.example" for number in range(10)}

    later = "2026-11-02T00:00:00.000Z"
    server.publish(
        stix(3, modified=later, revoked=True),
        stix(4, modified=later, pattern="[domain-name:value = 'moved.example']"),
        stix(99),
    )
    mirror.apply(read(mirror))
    expected = {f"host-{number}.example" for number in (0, 1, 2, 5, 6, 7, 8, 9, 99)}
    assert mirror.values() == expected | {"moved.example"}

    batches = read(Mirror(), full=True)
    assert batches[-1].phase == "snapshot_end"
    for index in range(len(batches)):
        resumed = Mirror().apply(batches[: index + 1])
        again = resumed.apply(read(resumed))
        assert again.values() == expected | {"moved.example"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"authorization": "Basic bm9ib2R5Ong="}, Unauthorized),
        ({"collections": ["5a7d0b0e-0000-4000-8000-000000000000"]}, Missing),
    ],
)
def test_a_server_that_others_wrote_refuses_as_expected(
    taxii: Rig, server: Medallion, change: dict[str, Any], error: type[ApiError]
) -> None:
    known: dict[str, Any] = {
        "url": server.root,
        "collections": [COLLECTION],
        "authorization": server.authorization,
        "transport": taxii.transport,
        "values": VALUES,
    }
    source = TaxiiSource(**known | change)

    with pytest.raises(error) as caught:
        list(source.read(None, full=False, deadline=taxii.deadline()))
    assert caught.value.hint


def test_the_sandbox_answers_in_the_form_of_a_server_that_others_wrote(
    taxii: TaxiiRig, tmp_path: Path
) -> None:
    """Same questions to both: the same envelopes, headers and statuses."""

    def forms(root: str, authorization: str, collection: str) -> list[object]:
        seen: list[object] = []
        with requests_session() as session:
            token = ""
            for _ in range(3):
                options = f"match[type]=indicator&limit=2{token}"
                answer = session.get(
                    f"{root}/collections/{collection}/objects/?{options}",
                    headers={"Authorization": authorization, "Accept": vendor.MEDIA_TYPE},
                    timeout=10,
                )
                envelope = answer.json()
                dates = {name for name in answer.headers if name.startswith("X-TAXII-Date")}
                kind = answer.headers["content-type"].replace(" ", "")
                seen.append((answer.status_code, sorted(envelope), len(envelope["objects"]), kind))
                seen.append("X-TAXII-Date-Added-First" in dates)
                if "next" not in envelope:
                    break
                token = f"&next={envelope['next']}"
            for headers in ({"Accept": vendor.MEDIA_TYPE}, {"Authorization": authorization}):
                url = f"{root}/collections/{collection}/objects/"
                bad = {"Accept": "text/plain"} | headers
                seen.append(session.get(url, headers=bad, timeout=10).status_code)
        return seen

    for number in range(5):
        taxii.vendor.put_object(stix(number))
    ours = forms(
        taxii.sandbox.environment()["TAXII_URL"],
        basic(vendor.USER, vendor.PASSWORD),
        vendor.COLLECTION,
    )
    with medallion(tmp_path) as other:
        other.publish(*(stix(number) for number in range(5)))
        theirs = forms(other.root, other.authorization, COLLECTION)

    assert [drop_more(form) for form in ours] == [drop_more(form) for form in theirs]


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
    "document", [[], {"objects": 5}, {"objects": [{}], "next": 5}, {"next": "x" * 5_000}]
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


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def requests_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def drop_more(form: object) -> object:
    """The last page may say `more: false` or nothing."""
    if isinstance(form, tuple):
        status, names, size, kind = form
        return status, [name for name in names if name != "more"], size, kind
    return form
