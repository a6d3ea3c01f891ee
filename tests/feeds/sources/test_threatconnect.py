import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import BadAnswer, SettingError, Unauthorized
from mdti.feeds.fields import stamp
from mdti.feeds.ports import Remove, Upsert
from mdti.feeds.sources.threatconnect import ApiToken, HmacKey
from mdti.sandbox import threatconnect as vendor
from mdti.sandbox.faults import Fault
from tests.feeds.rig import NOW
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig_threatconnect import ThreatConnectRig
from tests.net.rude import Raw, Seen, reply, rude

SHA256 = "ab" * 32


@pytest.fixture
def rig() -> Iterator[ThreatConnectRig]:
    rig = ThreatConnectRig()
    with rig.running():
        yield rig


def test_a_signature_is_the_documented_one() -> None:
    url = (
        "https://tc.example/api/v3/indicators?tql=ownerName%20EQ%20%22Acme%20Intel%22"
        "&resultStart=0&resultLimit=1000"
    )
    now = datetime.fromtimestamp(1795240000, UTC)

    headers = dict(HmacKey("4711", "examplesecretkey").headers(url, "GET", now))

    signature = "CDO4BfYk4yC1+ApHVqj+2M+PXz1WYm1XDr0PFVip1J4="
    assert headers == {"Timestamp": "1795240000", "Authorization": f"TC 4711:{signature}"}


def test_no_key_is_shown() -> None:
    assert "secret" not in repr(HmacKey("4711", "a-secret"))
    assert "secret" not in repr(ApiToken("a-secret"))


@settings(max_examples=20, deadline=None)
@given(owner=st.text(min_size=1, max_size=30))
def test_whatever_the_owner_is_called_the_signature_fits_the_bytes_sent(owner: str) -> None:
    if owner.encode("utf-8", "replace") != owner.encode("utf-8", "surrogatepass"):
        return
    rig = ThreatConnectRig()
    with rig.running():
        list(rig.source(owners=[owner]).read(None, full=False, deadline=rig.deadline()))
        assert {seen.status for seen in rig.sandbox.requests} == {200}


def test_a_token_opens_the_same_door(rig: ThreatConnectRig) -> None:
    rig.add("host.example")
    source = rig.source(credentials=ApiToken(vendor.TOKEN))

    batches = source.read(None, full=False, deadline=rig.deadline())

    assert Mirror().apply(batches).values() == {"host.example"}


def test_objects_of_one_second_are_read_along_signed_links(rig: ThreatConnectRig) -> None:
    names = {f"host-{number}.example" for number in range(11)}
    for name in sorted(names):
        rig.add(name)

    assert Mirror().apply(rig.read()).values() == names
    starts = [seen.query["resultStart"] for seen in rig.sandbox.requests]
    assert starts[:4] == ["0", "0", "3", "6"]
    assert {seen.headers["authorization"] for seen in rig.sandbox.requests} == {"valid"}


def test_an_object_that_changes_while_pages_are_read_hides_no_other(rig: ThreatConnectRig) -> None:
    names = [f"host-{number}.example" for number in range(8)]
    for name in names:
        rig.add(name)
        rig.clock.pass_(seconds=1)
    mirror = Mirror()
    for batch in rig.source().read(None, full=False, deadline=rig.deadline()):
        mirror.apply([batch])
        rig.clock.pass_(seconds=1)
        if len(mirror.keys()) == 3:
            rig.change(names[0])

    assert mirror.values() == set(names)


def test_an_inactive_object_is_removed(rig: ThreatConnectRig) -> None:
    rig.add("host.example")
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.change(rig.ids["host.example"], active=False)

    [batch] = [batch for batch in rig.read(mirror.cursor) if batch.changes]

    assert isinstance(batch.changes[0], Remove)
    assert batch.changes[0].reason == "inactive"


def test_a_deleted_object_that_was_made_again_lives(rig: ThreatConnectRig) -> None:
    rig.add("host.example")
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.remove("host.example")
    rig.clock.pass_(seconds=30)
    rig.add("host.example")
    rig.clock.pass_(seconds=30)

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"host.example"}


def test_many_deletions_are_checked_in_queries_that_servers_take(rig: ThreatConnectRig) -> None:
    names = [f"http://bad.example/{number}/{'ä' * 150}" for number in range(60)]
    found = [rig.vendor.put("URL", name) for name in names]
    mirror = Mirror().apply(rig.read(page=100))
    rig.clock.pass_(hours=1)
    for identifier in found:
        rig.vendor.delete(identifier)
    rig.sandbox.forget()

    assert mirror.apply(rig.read(mirror.cursor, page=100)).values() == set()
    asked = [
        seen.query for seen in rig.sandbox.requests if "summary IN" in seen.query.get("tql", "")
    ]
    assert len(asked) >= 10


def test_a_file_that_learnt_a_hash_is_removed_with_both(rig: ThreatConnectRig) -> None:
    md5 = "cd" * 16
    identifier = rig.vendor.put("File", md5, md5=md5)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.change(identifier, sha256=SHA256, summary=f"{md5} : {SHA256}")
    mirror.apply(rig.read(mirror.cursor))
    assert mirror.values() == {md5, SHA256}
    rig.clock.pass_(hours=1)
    rig.vendor.delete(identifier)

    assert mirror.apply(rig.read(mirror.cursor)).values() == set()


def test_only_the_named_owners_are_read(rig: ThreatConnectRig) -> None:
    rig.vendor.put("Host", "other.example", owner="Other")
    rig.vendor.put("Host", "quoted.example", owner='Our "own" \\ one')
    source = rig.source(owners=[vendor.OWNER, 'Our "own" \\ one'])

    batches = source.read(None, full=False, deadline=rig.deadline())

    assert Mirror().apply(batches).values() == {"quoted.example"}


def test_an_indicator_carries_what_the_object_says(rig: ThreatConnectRig) -> None:
    rig.vendor.put("Address", "192.0.2.10", threatAssessScore=640)
    rig.vendor.put("URL", "http://bad.example/A", rating=None, confidence=None, tags=None)

    found = {one.key.value: one for one in Mirror().apply(rig.read()).indicators()}

    told = found["192.0.2.10"]
    assert (told.confidence, told.score, told.severity, told.tlp) == (85, 64, "high", "amber")
    assert told.tags == ("loader", "tc-rating:4")
    assert told.modified == NOW
    untold = found["http://bad.example/A"]
    assert (untold.confidence, untold.score, untold.severity, untold.tags) == (None, None, None, ())


def test_objects_rated_too_low_give_nothing_and_go_when_their_rating_falls(
    rig: ThreatConnectRig,
) -> None:
    identifier = rig.vendor.put("Host", "host.example", rating=3.0)

    def read(mirror: Mirror) -> Mirror:
        source = rig.source(min_rating=3.0)
        return mirror.apply(source.read(mirror.cursor, full=False, deadline=rig.deadline()))

    mirror = read(Mirror())
    assert mirror.values() == {"host.example"}
    rig.clock.pass_(hours=1)
    rig.vendor.change(identifier, rating=2.0)

    assert read(mirror).values() == set()
    assert mirror.skipped() == {"rating too low": 1}


def test_types_may_be_called_as_people_call_them(rig: ThreatConnectRig) -> None:
    rig.vendor.put("Address", "192.0.2.10")
    rig.vendor.put("Host", "host.example")
    rig.vendor.put("URL", "http://url.example/")
    source = rig.source(types=["IPv4", "hostname", "domain"])

    batches = source.read(None, full=False, deadline=rig.deadline())

    assert Mirror().apply(batches).values() == {"192.0.2.10", "host.example"}


def test_kinds_that_no_feed_carries_are_counted(rig: ThreatConnectRig) -> None:
    rig.vendor.put("CIDR", "192.0.2.0/24")
    source = rig.source(types=["CIDR", "Host"])

    mirror = Mirror().apply(source.read(None, full=False, deadline=rig.deadline()))

    assert mirror.skipped() == {"other kind of observable": 1}


def test_a_clock_that_is_far_off_is_named_as_a_possible_cause(rig: ThreatConnectRig) -> None:
    rig.ours = 3_600.0

    with pytest.raises(Unauthorized) as caught:
        rig.read()

    assert caught.value.hint is not None
    assert "clock" in caught.value.hint


def test_a_signature_that_aged_during_a_pause_is_made_again(rig: ThreatConnectRig) -> None:
    rig.add("host.example")
    rig.sandbox.faults.set(
        [Fault(kind="throttle", route="* /threatconnect/*", count=1, retry_after=400)]
    )

    assert Mirror().apply(rig.read()).values() == {"host.example"}


def test_the_first_read_goes_back_as_far_as_it_is_told(rig: ThreatConnectRig) -> None:
    rig.add("old.example", dated=datetime(2026, 11, 1, tzinfo=UTC))
    rig.add("fresh.example")

    def read(days: int | None) -> set[str]:
        source = rig.source(depth_days=days)
        return Mirror().apply(source.read(None, full=False, deadline=rig.deadline())).values()

    assert read(1) == {"fresh.example"}
    assert read(30) == {"fresh.example", "old.example"}
    assert read(None) == {"fresh.example", "old.example"}


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/api/v3/indicators?resultStart=3",
        "/api/v3/indicators?resultStart=3",
        "{root}/api/v3/victims?resultStart=3",
        "{root}/api/v3/indicators",
        "http://[",
        "{root}/api/v3/indicators?resultStart=\ud83d",
        7,
    ],
)
def test_a_link_to_another_place_is_not_signed(rig: ThreatConnectRig, link: object) -> None:
    def handler(seen: Seen) -> Raw:
        target = link.format(root=server.root) if isinstance(link, str) else link
        return reply({"data": [{}], "next": target})

    with rude(handler) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))
    assert len(server.seen) == 1


def test_links_that_lead_in_a_circle_end_the_read(rig: ThreatConnectRig) -> None:
    def handler(seen: Seen) -> Raw:
        return reply({"data": [{"id": 1}], "next": f"{server.root}{seen.path}"})

    with rude(handler) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))


@pytest.mark.parametrize("document", [[], {"data": None}, {"status": "Failure"}])
def test_an_answer_without_a_list_is_an_error(rig: ThreatConnectRig, document: Any) -> None:
    with rude(lambda _: reply(document)) as server, pytest.raises(BadAnswer):
        list(rig.source(url=server.root).read(None, full=False, deadline=rig.deadline()))


def test_without_a_server_date_our_own_time_is_taken(rig: ThreatConnectRig) -> None:
    with rude(lambda _: reply({"data": []})) as server:
        source = rig.source(url=server.root)
        [batch] = source.read(None, full=False, deadline=rig.deadline())

    assert batch.cursor["deleted"] == stamp(NOW)


def test_a_query_that_the_server_cannot_read_is_an_error(rig: ThreatConnectRig) -> None:
    headers = dict(
        HmacKey(vendor.ACCESS_ID, vendor.SECRET_KEY).headers(
            f"{rig.sandbox.url}/threatconnect/api/v3/indicators?tql=nonsense", "GET", rig.now()
        )
    )
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{rig.sandbox.url}/threatconnect/api/v3/indicators?tql=nonsense",
            headers=headers,
            timeout=10,
        )
    assert (answer.status_code, json.loads(answer.text)["status"]) == (400, "Failure")


def test_no_owner_is_a_wrong_setting(rig: ThreatConnectRig) -> None:
    with pytest.raises(SettingError):
        rig.source(owners=[])


def test_records_that_say_nothing_are_counted(rig: ThreatConnectRig) -> None:
    rows: list[Any] = [None, 7, {}, {"type": "Host"}, {"ownerName": "x", "type": "File"}]
    with rude(lambda _: reply({"data": rows})) as server:
        source = rig.source(url=server.root)
        batches = list(source.read(None, full=False, deadline=rig.deadline()))

    changes = [change for batch in batches for change in batch.changes]
    assert len(changes) == len(rows)
    assert all(isinstance(change, Upsert) and change.skipped for change in changes)
