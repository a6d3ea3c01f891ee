from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import BadAnswer, MdtiError, ServerFault
from mdti.net.deadline import Deadline
from mdti.net.messages import Request
from mdti.net.paging import Collection, Records, next_link, read_all
from mdti.net.transport import Transport
from tests.net.rude import Clock, Raw, Seen, reply, rude

HERE = "https://graph.microsoft.com/v1.0/hosts/a%2Fb.example/passiveDns?$top=2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock) -> Iterator[Transport]:
    transport = Transport(
        token=lambda scope, renew: "token",
        concurrency=4,
        retries=0,
        clock=clock,
        sleep=clock.sleep,
        random=Random(3),
        environ={},
    )
    yield transport
    transport.close()


def records(start: int, count: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(start, start + count)]


def pages(seen: Seen, total: int, size: int = 2) -> Raw:
    """A collection of `total` records in pages of `size`, linked with `$skip`."""
    path, _, query = seen.path.partition("?")
    skip = int(query.partition("=")[2] or 0)
    document: dict[str, Any] = {"value": records(skip, min(size, total - skip))}
    if skip + size < total:
        document["@odata.nextLink"] = f"http://{seen.headers['host']}{path}?$skip={skip + size}"
    return reply(document)


def read(
    transport: Transport,
    clock: Clock,
    handler: Callable[[Seen], Raw],
    paths: Sequence[str] = ("/c",),
    **options: Any,
) -> tuple[Collection | MdtiError, ...]:
    with rude(handler) as server:
        requests = [Request(f"{server.root}{path}") for path in paths]
        deadline = Deadline.after(60.0, clock=clock)
        return read_all(transport, requests, deadline=deadline, **options)


def test_collections_are_read_to_their_last_page_in_order(
    transport: Transport, clock: Clock
) -> None:
    totals = {"/a": 0, "/b": 1, "/c": 7, "/d": 4}
    results = read(
        transport,
        clock,
        lambda seen: pages(seen, totals[seen.path.partition("?")[0]]),
        list(totals),
    )
    assert results == tuple(
        Collection(tuple(records(0, total)), "all") for total in totals.values()
    )


def test_no_collections_are_no_results(transport: Transport, clock: Clock) -> None:
    assert read_all(transport, [], deadline=Deadline.after(1.0, clock=clock)) == ()


def test_a_page_that_fails_makes_its_collection_an_error_and_leaves_the_others(
    transport: Transport, clock: Clock
) -> None:
    def handler(seen: Seen) -> Raw:
        if seen.path == "/bad?$skip=2":
            return reply({}, status=500)
        return pages(seen, 5)

    good, bad = read(transport, clock, handler, ("/good", "/bad"))
    assert good == Collection(tuple(records(0, 5)), "all")
    assert isinstance(bad, ServerFault)


def test_a_predicate_ends_a_collection_with_its_own_word(
    transport: Transport, clock: Clock
) -> None:
    def hub(number: int, items: Records) -> str | None:
        return "hub" if len(items) > (3, 5, 50)[number] else None

    results = read(
        transport,
        clock,
        lambda seen: pages(seen, 7 if seen.path.startswith("/short") else 100),
        ("/long", "/longer", "/short"),
        enough=hub,
    )
    assert results == (
        Collection(tuple(records(0, 4)), "hub"),
        Collection(tuple(records(0, 6)), "hub"),
        Collection(tuple(records(0, 7)), "all"),
    )


def test_a_collection_whose_last_page_was_read_is_whole_whatever_the_predicate_says(
    transport: Transport, clock: Clock
) -> None:
    results = read(
        transport, clock, lambda seen: pages(seen, 2), enough=lambda number, items: "hub"
    )
    assert results == (Collection(tuple(records(0, 2)), "all"),)


@pytest.mark.parametrize("cap", [{"max_records": 6}, {"max_pages": 3}])
def test_caps_end_a_collection_as_oversize(
    cap: dict[str, Any], transport: Transport, clock: Clock
) -> None:
    results = read(transport, clock, lambda seen: pages(seen, 100), **cap)
    assert results == (Collection(tuple(records(0, 6)), "oversize"),)


@pytest.mark.parametrize("loop", ["/c", "/c?$skip=2"])
def test_pages_that_are_linked_in_a_circle_are_a_bad_answer(
    loop: str, transport: Transport, clock: Clock
) -> None:
    def handler(seen: Seen) -> Raw:
        link = f"http://{seen.headers['host']}{loop if seen.path != '/c' else '/c?$skip=2'}"
        return reply({"value": [], "@odata.nextLink": link})

    (result,) = read(transport, clock, handler)
    assert isinstance(result, BadAnswer)
    assert "circle" in result.message


@pytest.mark.parametrize(
    "document",
    [[], "text", None, {}, {"value": None}, {"value": {}}, {"value": [1]}, {"value": [None]}],
)
def test_a_page_that_is_no_page_is_a_bad_answer(
    document: object, transport: Transport, clock: Clock
) -> None:
    (result,) = read(transport, clock, lambda seen: reply(document))
    assert isinstance(result, BadAnswer)


def test_a_link_to_another_server_is_not_followed(transport: Transport, clock: Clock) -> None:
    with rude(lambda seen: reply({"value": []})) as elsewhere:
        link = f"{elsewhere.root}/c"
        (result,) = read(
            transport, clock, lambda seen: reply({"value": [], "@odata.nextLink": link})
        )
    assert isinstance(result, BadAnswer)
    assert elsewhere.seen == []


def test_a_page_carries_the_audience_and_headers_of_the_first(
    transport: Transport, clock: Clock
) -> None:
    with rude(lambda seen: pages(seen, 3)) as server:
        request = Request(f"{server.root}/c", audience="scope", headers=(("x-key", "1"),))
        read_all(transport, [request], deadline=Deadline.after(9.0, clock=clock))
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer token"] * 2
    assert [seen.headers["x-key"] for seen in server.seen] == ["1", "1"]


def test_the_requests_of_a_reading_are_metered(transport: Transport, clock: Clock) -> None:
    meter = transport.meter()
    read(transport, clock, lambda seen: pages(seen, 5), meter=meter)
    assert meter.requests == 3


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.microsoft.com/v1.0/hosts/a%2fb.example/passiveDns?$skiptoken=x",
        "https://GRAPH.microsoft.com:443/V1.0/Hosts/a%2Fb%2eexample/passivedns?$skip=2",
    ],
)
def test_the_same_place_written_otherwise_is_followed(link: str) -> None:
    assert next_link(Request(HERE), link, api="graph") == link


@pytest.mark.parametrize(
    "link",
    [
        None,
        7,
        "",
        "/v1.0/hosts/a%2Fb.example/passiveDns?$skip=2",
        "http://graph.microsoft.com/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://graph.microsoft.com:444/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://evil.example/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://graph.microsoft.com.evil.example/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://graph.microsoft.com@evil.example/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://graph.microsoft.com\\@evil.example/v1.0/hosts/a%2Fb.example/passiveDns",
        "https://graph.microsoft.com/v1.0/hosts/a/b.example/passiveDns",
        "https://graph.microsoft.com/v1.0/hosts/a%252Fb.example/passiveDns",
        "https://graph.microsoft.com/v1.0/hosts/a%2Fb.example/passiveDns/../x",
        "https://graph.microsoft.com/v1.0/me",
        "https://graph.microsoft.com/v1.0/hosts/a%2Fb.example/passiveDns\r\nx: y",
    ],
)
def test_any_other_place_is_not_followed(link: object) -> None:
    with pytest.raises(BadAnswer):
        next_link(Request(HERE), link, api="graph")


@given(path=st.text(st.sampled_from("/.%2eFfAa\\@:?#x"), max_size=25))
@settings(deadline=None, max_examples=150)
def test_no_link_leads_away_from_the_host(path: str) -> None:
    for link in (f"https://graph.microsoft.com{path}", f"https:{path}", path):
        try:
            followed = next_link(Request("https://graph.microsoft.com/xx"), link, api="graph")
        except BadAnswer:
            continue
        assert followed.startswith("https://graph.microsoft.com/")
