from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from mdti.sandbox.odata import Paging
from tests.sandbox.conftest import Caller

HUB = "/hosts/198.18.10.10/passiveDns"


def set_paging(caller: Caller, paging: Paging) -> None:
    caller.sandbox.graph.options = replace(caller.sandbox.graph.options, paging=paging)


@pytest.mark.parametrize("form", ["token", "skip"])
@pytest.mark.parametrize(("size", "pages"), [(1000, 1), (150, 3), (100, 4), (7, 58)])
def test_following_next_links_gives_every_record_once(
    caller: Caller, form: str, size: int, pages: int
) -> None:
    set_paging(caller, Paging(page_size=size, next_link="skip" if form == "skip" else "token"))
    read = caller.pages(HUB)

    names = [row["artifact"]["id"] for page in read for row in page["value"]]
    assert len(read) == pages
    assert len(names) == len(set(names)) == 400


def test_a_next_link_keeps_scheme_host_path_and_options(caller: Caller) -> None:
    link = caller.get(f"{HUB}?$count=true&$top=50").json()["@odata.nextLink"]
    parts = urlsplit(link)

    assert link.startswith(f"{caller.sandbox.graph_url}/v1.0/security/threatIntelligence{HUB}?")
    assert "$count=true" in parts.query
    assert "$top=50" in parts.query
    assert "$skiptoken=" in parts.query
    assert caller.get(link).json()["@odata.count"] == 400


def test_top_skip_and_count_do_as_they_say(caller: Caller) -> None:
    everything = caller.artifacts(HUB)
    page = caller.get(f"{HUB}?$count=true&$top=3&$skip=10").json()

    assert [row["artifact"]["id"] for row in page["value"]] == everything[10:13]
    assert page["@odata.count"] == 400
    assert caller.get(f"{HUB}/$count").text == "400"
    assert "@odata.count" not in caller.get(f"{HUB}?$count=false").json()


def test_a_large_top_is_cut_to_the_maximum_or_refused(caller: Caller) -> None:
    set_paging(caller, Paging(max_page_size=60))
    cut = caller.get(f"{HUB}?$top=1000")
    set_paging(caller, Paging(max_page_size=60, refuse_large_top=True))

    assert len(cut.json()["value"]) == 60
    assert caller.get(f"{HUB}?$top=1000").status_code == 400


def test_filter_and_order_work_on_the_documented_fields(caller: Caller) -> None:
    path = "/hosts/telemetry-cache.example/passiveDns"
    kinds = caller.records(f"{path}?$filter=recordType eq 'mx'")
    first = [
        row["firstSeenDateTime"][:19] for row in caller.records(f"{HUB}?$orderby=firstSeenDateTime")
    ]
    last = caller.records(f"{HUB}?$orderby=firstSeenDateTime desc&$top=400")[0]

    assert [row["artifact"]["id"] for row in kinds] == ["mx.quiet-registrar.example"]
    assert first == sorted(first)
    assert last["firstSeenDateTime"][:19] == first[-1]


def test_select_keeps_the_chosen_fields_the_id_and_the_type(caller: Caller) -> None:
    rows = caller.records("/hosts/vault-key.example/passiveDns?$select=recordType")

    assert [set(row) for row in rows] == [{"@odata.type", "id", "recordType"}]


@pytest.mark.parametrize(
    "query",
    [
        "$expand=artifact",
        "$search=x",
        "$filter=collectedDateTime eq 'x'",
        "$filter=recordType eq 'A' or recordType eq 'AAAA'",
        "$filter=startswith(recordType,'A')",
        "$orderby=recordType",
        "$top=-1",
        "$top=many",
        "$skiptoken=nonsense",
        "$skiptoken=MTAuMDAwMDAwMDA=",
    ],
)
def test_an_option_the_collection_does_not_take_is_400(caller: Caller, query: str) -> None:
    reply = caller.get(f"{HUB}?{query}")

    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "BadRequest"


def test_unknown_options_can_be_ignored(caller: Caller) -> None:
    set_paging(caller, Paging(strict=False))

    assert caller.get(f"{HUB}?$expand=artifact&$top=1").status_code == 200
