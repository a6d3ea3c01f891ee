from collections.abc import Iterator

import pytest

from mdti.errors import BadAnswer
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Remove, Upsert
from tests.feeds.rig import NOW
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig_anomali import AnomaliRig
from tests.net.rude import reply, rude


@pytest.fixture
def rig() -> Iterator[AnomaliRig]:
    rig = AnomaliRig()
    with rig.running():
        yield rig


def test_an_indicator_carries_what_the_observable_says(rig: AnomaliRig) -> None:
    rig.rows.put(
        "192.0.2.10",
        itype="c2_ip",
        confidence=80,
        severity="very-high",
        tlp="amber+strict",
        tags=[{"name": "loader"}],
        expires="2027-02-18T00:00:00",
    )
    rig.rows.put("http://bad.example/", itype="mal_url", expires="9999-12-31T00:00:00")

    found = {one.key.kind: one for one in Mirror().apply(rig.read()).indicators()}

    told = found["ipv4"]
    assert (told.confidence, told.severity, told.tlp) == (80, "high", "amber+strict")
    assert told.threat_types == ("c2", "c2_ip")
    assert told.tags == ("loader",)
    assert told.valid_until is not None
    assert found["url"].valid_until is None


def test_a_false_positive_is_removed_and_says_so(rig: AnomaliRig) -> None:
    rig.add("bad.example")
    mirror = Mirror().apply(rig.read())
    rig.rows.change(rig.rows.named("bad.example")[0]["id"], status="falsepos")

    [batch] = rig.read(mirror.cursor)

    [change] = batch.changes
    assert isinstance(change, Remove)
    assert change.reason == "false positive"


def test_hashes_of_any_kind_are_told_by_their_length(rig: AnomaliRig) -> None:
    for value in ("ab" * 16, "ab" * 20, "ab" * 32):
        rig.rows.put(value, itype="mal_md5")

    found = Mirror().apply(rig.read()).indicators()
    assert {one.key.kind for one in found} == {"md5", "sha1", "sha256"}


def test_the_key_is_in_no_address(rig: AnomaliRig) -> None:
    rig.add("bad.example")
    rig.read()

    assert all("api_key" not in seen.query for seen in rig.sandbox.requests)


def test_asked_for_bare_hosts_it_says_nothing_of_them_that_a_tag_could_change(
    rig: AnomaliRig,
) -> None:
    rig.rows.put("bad.example", itype="c2_domain", confidence=80, severity="high", tlp="red")
    rig.rows.put("192.0.2.10", itype="mal_ip", expires="9999-12-31T00:00:00")
    rig.rows.put("http://bad.example/", itype="mal_url")
    rig.rows.put("ours.example", itype="mal_domain", tags=[{"name": "Our-Mark"}])
    rig.rows.put("theirs.example", itype="mal_domain", tags=[{"name": "our-mark"}], organisation=99)
    source = rig.source(bare_without="our-mark")
    before = Mirror().apply(list(source.read(None, full=False, deadline=rig.deadline())))
    for row in rig.rows.rows():
        rig.rows.change(row["id"], tags=[{"name": "another"}], severity="low", confidence=1)
    rig.clock.pass_(hours=1)

    after = Mirror().apply(list(source.read(None, full=False, deadline=rig.deadline())))

    told = {one.key.value: one for one in after.indicators()}
    assert set(told) == {"bad.example", "192.0.2.10", "theirs.example"}
    assert list(before.indicators()) == list(after.indicators())
    address = told["192.0.2.10"]
    assert address == Indicator(
        key=Key("ipv4", "192.0.2.10"), modified=NOW, valid_from=NOW, valid_until=None
    )
    assert told["bad.example"].valid_until is not None


def test_what_gets_no_reputation_is_skipped_with_a_reason(rig: AnomaliRig) -> None:
    rig.rows.put("ab" * 32, itype="mal_md5")
    rig.rows.put("x@bad.example", itype="mal_email")
    rig.rows.put("ours.example", itype="mal_domain", tags=[{"name": "our-mark"}])
    source = rig.source(bare_without="our-mark")

    changes = [
        change
        for batch in source.read(None, full=False, deadline=rig.deadline())
        for change in batch.changes
    ]

    assert [change.skipped for change in changes if isinstance(change, Upsert)] == [
        {"no reputation for this kind": 1},
        {"no reputation for this kind": 1},
        {"imported by us": 1},
    ]


@pytest.mark.parametrize("document", [[], {}, {"objects": None}])
def test_an_answer_without_objects_is_an_error(rig: AnomaliRig, document: object) -> None:
    with rude(lambda _: reply(document)) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))


def test_pages_that_do_not_move_on_are_an_error(rig: AnomaliRig) -> None:
    document = {
        "objects": [{"id": 1, "update_id": True}],
        "meta": {"next": "/api/v2/intelligence/"},
    }
    with rude(lambda _: reply(document)) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))
