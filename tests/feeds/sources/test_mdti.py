import json
from collections.abc import Iterator
from typing import Any

import pytest

from mdti.errors import ApiError, BadAnswer, Forbidden, IdentityError, Missing
from mdti.feeds.indicator import Key
from mdti.feeds.ports import Remove
from mdti.feeds.sources.mdti import SYSTEMS
from mdti.net.transport import Transport
from mdti.sandbox.faults import Fault
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig_mdti import MdtiRig
from tests.kusto import parser
from tests.net.rude import Raw, Seen, reply, rude

COLUMNS = """TimeGenerated: datetime, Id: string, SourceSystem: string, Source: string,
    ObservableKey: string, ObservableValue: string, Pattern: string, Confidence: int,
    Created: datetime, Modified: datetime, ValidFrom: datetime, ValidUntil: datetime,
    IsActive: bool, IsDeleted: bool, Revoked: bool, Tags: string, Data: dynamic,
    AdditionalFields: dynamic, LastUpdateMethod: string"""


@pytest.fixture
def rig() -> Iterator[MdtiRig]:
    rig = MdtiRig()
    with rig.running():
        yield rig


def asked(seen: Seen) -> str:
    return str(seen.json()["query"])


def table(*rows: dict[str, Any]) -> Raw:
    names = list(rows[0]) if rows else []
    columns = [{"name": name, "type": "string"} for name in names]
    values = [[row[name] for name in names] for row in rows]
    return reply({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": values}]})


def counted(amount: int) -> Raw:
    return table({"Rows": amount, "Now": "2026-11-21T12:00:00.0000000Z"})


def test_microsofts_parser_reads_every_query(rig: MdtiRig) -> None:
    if reason := parser.missing():
        pytest.skip(reason)
    queries: list[str] = []

    def handler(seen: Seen) -> Raw:
        queries.append(asked(seen))
        return counted(9) if "count()" in asked(seen) else table()

    with rude(handler) as server:
        source = rig.source(url=server.root)
        for cursor in (None, {"until": "2026-11-20T00:00:00.000000Z"}):
            list(source.read(cursor, full=False, deadline=rig.deadline()))

    assert len(queries) == 8
    for query, reading in zip(
        queries, parser.read({"ThreatIntelIndicators": COLUMNS}, queries), strict=True
    ):
        assert reading.complaints == (), query
    assert {"Id", "ObservableValue", "Tlp", "Labels", "Pattern"} <= set(reading.columns)


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("ipv4-addr:value", "192.0.2.1", Key("ipv4", "192.0.2.1")),
        ("ipv6-addr:value", "2001:db8::1", Key("ipv6", "2001:db8::1")),
        ("network-traffic:src_ref.value", "192.0.2.2", Key("ipv4", "192.0.2.2")),
        ("network-traffic:dst_ref.value", "2001:db8::2", Key("ipv6", "2001:db8::2")),
        ("domain-name:value", "bad.example", Key("domain", "bad.example")),
        ("url:value", "http://bad.example/a", Key("url", "http://bad.example/a")),
        ("email-addr:value", "a@bad.example", Key("email", "a@bad.example")),
        ("file:hashes.'SHA-256'", "AB" * 32, Key("sha256", "ab" * 32)),
        ("file:hashes.MD5", "cd" * 16, Key("md5", "cd" * 16)),
    ],
)
def test_every_kind_of_observable_is_carried(rig: MdtiRig, path: str, value: str, key: Key) -> None:
    rig.vendor.put((path, value))

    assert Mirror().apply(rig.read()).keys() == {key}


def test_the_type_of_an_endpoint_is_not_a_value(rig: MdtiRig) -> None:
    rig.vendor.put(
        ("network-traffic:src_ref.type", "ipv4-addr"),
        ("network-traffic:src_ref.value", "192.0.2.1"),
    )

    mirror = Mirror().apply(rig.read())

    assert mirror.values() == {"192.0.2.1"}
    assert not mirror.skipped()


def test_all_rows_of_one_indicator_stay_together(rig: MdtiRig) -> None:
    urls = [("url:value", f"http://bad.example/{number}") for number in range(9)]
    rig.vendor.put(*urls, name="many")
    rig.vendor.put(("domain-name:value", "other.example"))

    mirror = Mirror().apply(rig.read(page=2))

    assert len(mirror.objects) == 2
    assert len(mirror.keys()) == 10


def test_an_indicator_that_observes_something_else_drops_the_old(rig: MdtiRig) -> None:
    rig.vendor.put(("url:value", "http://old.example/"), name="one")
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(minutes=10)
    rig.vendor.put(("url:value", "http://new.example/"), name="one")

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"http://new.example/"}


def test_an_observable_that_the_service_could_not_read_is_read_from_the_pattern(
    rig: MdtiRig,
) -> None:
    rig.vendor.put(
        ("url:value", "x"),
        ObservableKey="",
        ObservableValue="",
        Pattern="[domain-name:value = 'one.example' OR domain-name:value = 'two.example']",
    )

    assert Mirror().apply(rig.read()).values() == {"one.example", "two.example"}


def test_republished_rows_are_passed_over_and_needed_for_a_snapshot(rig: MdtiRig) -> None:
    rig.vendor.put(("domain-name:value", "bad.example"))
    rig.clock.pass_(hours=1)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(days=9)
    rig.vendor.republish()
    rig.clock.pass_(minutes=1)

    [batch] = rig.read(mirror.cursor)
    assert batch.changes == ()
    rig.clock.pass_(days=9)
    assert Mirror().apply(rig.read(full=True)).values() == {"bad.example"}


def test_rows_that_were_ingested_late_are_found(rig: MdtiRig) -> None:
    mirror = Mirror().apply(rig.read())
    late = rig.now().isoformat()
    rig.clock.pass_(minutes=20)
    mirror.apply(rig.read(mirror.cursor))
    rig.vendor.put(("domain-name:value", "late.example"), TimeGenerated=late)

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"late.example"}


def test_other_peoples_indicators_are_not_taken(rig: MdtiRig) -> None:
    rig.vendor.put(("domain-name:value", "ours.example"), SourceSystem="Somebody else")
    rig.vendor.put(("domain-name:value", "premium.example"), SourceSystem=SYSTEMS[1])

    assert Mirror().apply(rig.read()).values() == {"premium.example"}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"IsDeleted": True}, "deleted"),
        ({"Revoked": True}, "revoked"),
        ({"IsActive": False}, "inactive"),
    ],
)
def test_what_is_gone_is_removed(rig: MdtiRig, columns: dict[str, Any], reason: str) -> None:
    rig.vendor.put(("domain-name:value", "bad.example"))
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(minutes=5)
    rig.vendor.put(("domain-name:value", "bad.example"), **columns)

    [batch] = rig.read(mirror.cursor)

    assert [change.reason for change in batch.changes if isinstance(change, Remove)] == [reason]


def test_an_indicator_carries_what_the_row_says(rig: MdtiRig) -> None:
    rig.vendor.put(
        ("domain-name:value", "bad.example"),
        ValidUntil="2027-01-01T00:00:00Z",
        Data={"name": "A name", "description": "x" * 3_000, "indicator_types": ["c2"]},
    )

    [found] = Mirror().apply(rig.read()).indicators()

    assert (found.title, len(found.description)) == ("A name", 1_000)
    assert found.threat_types == ("c2",)
    assert found.actors == ("storm-9301",)
    assert found.tags == ("type:domain",)
    assert (found.confidence, found.tlp) == (80, "amber")
    assert found.valid_until is not None


def test_a_part_of_an_answer_is_asked_for_in_smaller_parts(rig: MdtiRig) -> None:
    names = {f"host-{number}.example" for number in range(200)}
    for name in names:
        rig.add(name)
    rig.vendor.options.most_rows = 30

    assert Mirror().apply(rig.read(page=100)).values() == names


@pytest.mark.parametrize("status", [504, 200])
def test_a_window_that_stays_too_large_is_an_error(rig: MdtiRig, status: int) -> None:
    rig.add("host.example")

    def handler(seen: Seen) -> Raw:
        if "count()" in asked(seen):
            return counted(1)
        return reply({"tables": [], "error": {"code": "PartialError"}}, status=status)

    with rude(handler) as server:
        source = rig.source(url=server.root)
        with pytest.raises(ApiError):
            list(source.read(None, full=False, deadline=rig.deadline(100_000)))


def test_a_cursor_older_than_the_republishing_leads_to_a_snapshot(rig: MdtiRig) -> None:
    rig.add("kept.example")
    rig.add("gone.example")
    mirror = Mirror().apply(rig.read())
    rig.vanish("gone.example")

    batches = rig.read(mirror.cursor)

    assert batches[-1].phase == "snapshot_end"
    assert mirror.apply(batches).values() == {"kept.example"}


def test_a_count_of_several_rows_is_an_error(rig: MdtiRig) -> None:
    with rude(lambda _: table({"Rows": 1}, {"Rows": 2})) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))


def test_a_list_of_labels_that_cannot_be_read_is_none(rig: MdtiRig) -> None:
    rig.vendor.put(("domain-name:value", "bad.example"), Tags="[nonsense")

    [found] = Mirror().apply(rig.read()).indicators()

    assert found.tags == ("loader",)


def test_a_workspace_without_data_is_empty(rig: MdtiRig) -> None:
    rig.vendor.options.empty = True
    mirror = Mirror().apply(rig.read())
    rig.vendor.options.empty = False
    rig.clock.pass_(minutes=5)
    rig.add("first.example")

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"first.example"}


def test_a_missing_role_names_the_role(rig: MdtiRig) -> None:
    rig.forbid()

    with pytest.raises(Forbidden) as caught:
        rig.read()

    assert caught.value.hint is not None
    assert "Log Analytics Reader" in caught.value.hint


def test_a_wrong_workspace_is_named_as_the_cause(rig: MdtiRig) -> None:
    with pytest.raises(Missing) as caught:
        list(rig.source(workspace_id="nonsense").read(None, full=False, deadline=rig.deadline()))

    assert caught.value.hint is not None
    assert "SENTINEL_WORKSPACE_ID" in caught.value.hint


def test_a_missing_table_says_what_to_enable(rig: MdtiRig) -> None:
    rig.sandbox.faults.set([Fault(kind="error", status=400)])

    with pytest.raises(ApiError) as caught:
        rig.read()

    assert caught.value.hint is not None
    assert "connector" in caught.value.hint


@pytest.mark.parametrize(
    "document",
    [[], {}, {"tables": []}, {"tables": [{"columns": [{}], "rows": [[1]]}]}, {"tables": 5}],
)
def test_an_answer_that_is_no_table_is_an_error(rig: MdtiRig, document: object) -> None:
    with rude(lambda _: reply(document)) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))


def test_a_count_that_is_none_is_an_error(rig: MdtiRig) -> None:
    with rude(lambda _: table({"Rows": "many", "Now": None})) as server:
        source = rig.source(url=server.root)
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))


@pytest.mark.parametrize(
    ("url", "scope"),
    [
        ("https://api.loganalytics.azure.com", "https://api.loganalytics.azure.com/.default"),
        ("https://api.loganalytics.us/", "https://api.loganalytics.us/.default"),
    ],
)
def test_the_token_is_for_the_api_that_is_asked(rig: MdtiRig, url: str, scope: str) -> None:
    scopes: list[str] = []

    def token(scope: str, renew: bool) -> str:
        scopes.append(scope)
        raise IdentityError("no token")

    transport = Transport(token=token)
    source = rig.source(url=url, transport=transport)
    with pytest.raises(IdentityError):
        list(source.read(None, full=False, deadline=rig.deadline()))
    transport.close()

    assert scopes == [scope]


def test_the_query_is_sent_as_json_with_a_server_time_out(rig: MdtiRig) -> None:
    with rude(lambda _: counted(0)) as server:
        list(rig.source(url=server.root).read(None, full=False, deadline=rig.deadline()))

    first = server.seen[0]
    assert first.headers["content-type"] == "application/json"
    assert first.headers["prefer"] == "wait=25"
    assert json.loads(first.body)["query"].startswith("ThreatIntelIndicators\n| where")
