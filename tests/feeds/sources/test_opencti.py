import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from mdti.errors import ApiGone, BadAnswer, ConnectionFailed, Unauthorized
from mdti.feeds.indicator import Key
from mdti.feeds.ports import Remove, Upsert
from mdti.feeds.sources.opencti_events import Drain, changes_of, position_of
from mdti.feeds.sources.sse import Event
from mdti.net.deadline import Deadline
from mdti.sandbox.opencti import EXTENSION
from tests.feeds.rig import VALUES
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig_opencti import OpenCtiRig
from tests.net.rude import Raw, rude

PATTERN = "[domain-name:value = 'bad.example']"


@pytest.fixture
def rig() -> Iterator[OpenCtiRig]:
    rig = OpenCtiRig()
    with rig.running():
        yield rig


def frame(name: str, position: str, **document: Any) -> Event:
    return Event(name, json.dumps(document), position)


def indicator(name: str = "bad.example", **fields: Any) -> dict[str, Any]:
    pattern = f"[domain-name:value = '{name}']"
    return {"type": "indicator", "id": f"indicator--{name}", "pattern": pattern} | fields


def test_ids_are_compared_as_numbers() -> None:
    assert position_of("9-10") == (9, 10)
    assert position_of("10") == (10, 0)
    assert position_of("9-10") < position_of("10-2")  # type: ignore[operator]
    assert [position_of(text) for text in (None, "", "x", "1-", "1-2-3", "9" * 20)] == [None] * 6


def test_frames_of_one_id_are_complete_only_when_another_id_was_seen() -> None:
    drain = Drain(VALUES, (1, 0))
    drain.feed(frame("create", "5-0", type="create", data=indicator("a.example")))
    drain.feed(frame("create", "5-0", type="create", data=indicator("b.example")))
    assert (drain.at, drain.take()) == ((1, 0), ())

    drain.feed(frame("consumer_metrics", "6-0"))

    assert drain.at == (5, 0)
    assert len(drain.take()) == 2
    drain.feed(frame("create", "7-0", type="create", data=indicator("c.example")))
    drain.feed(Event("heartbeat", '"2026-11-21T12:00:00Z"', "9-0"))
    assert drain.at == (9, 0)
    assert len(drain.take()) == 1


def test_what_was_not_complete_when_the_stream_broke_comes_again() -> None:
    drain = Drain(VALUES, (1, 0))
    drain.feed(frame("create", "5-0", type="create", data=indicator("a.example")))
    drain.drop()
    drain.feed(frame("create", "5-0", type="create", data=indicator("a.example")))
    drain.feed(Event("heartbeat", "", "6-0"))

    assert len(drain.take()) == 1


def test_a_heartbeat_never_leads_back() -> None:
    drain = Drain(VALUES, (9, 0))
    drain.feed(Event("heartbeat", "", "5-0"))
    drain.feed(Event("heartbeat", "", None))

    assert drain.at == (9, 0)


def test_the_name_of_the_event_decides_not_the_type_inside(rig: OpenCtiRig) -> None:
    rig.vendor.put(PATTERN, score=80)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.put(PATTERN, score=5)

    [batch] = rig.read(mirror.cursor)

    [change] = batch.changes
    assert isinstance(change, Remove)
    assert change.reason == "left the stream"


def test_objects_sent_along_for_others_are_not_taken() -> None:
    told = {"type": "create", "origin": {"referer": "dependencies"}, "data": indicator()}

    assert list(changes_of(Event("create", json.dumps(told), "5-0"), (5, 0), VALUES)) == []


def test_a_revoked_indicator_is_removed(rig: OpenCtiRig) -> None:
    identifier = rig.vendor.put(PATTERN)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.put(PATTERN, revoked=True, valid_until="2026-11-21T12:00:00Z")

    [batch] = rig.read(mirror.cursor)

    assert [type(change) for change in batch.changes] == [Remove]
    assert batch.changes[0].source_id == identifier


def test_a_value_that_changes_replaces_the_old_one(rig: OpenCtiRig) -> None:
    identifier = rig.vendor.put(PATTERN)
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.put_object({"id": identifier, "pattern": "[domain-name:value = 'new.example']"})

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"new.example"}


def test_an_object_merged_into_another_is_removed(rig: OpenCtiRig) -> None:
    gone = rig.vendor.put("[domain-name:value = 'one.example']")
    kept = rig.vendor.put("[domain-name:value = 'two.example']")
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(hours=1)
    rig.vendor.merge(gone, kept)

    assert mirror.apply(rig.read(mirror.cursor)).values() == {"two.example"}


def test_a_cursor_that_the_stream_forgot_leads_to_a_snapshot(rig: OpenCtiRig) -> None:
    rig.add("kept.example")
    rig.add("gone.example")
    mirror = Mirror().apply(rig.read())
    rig.clock.pass_(days=40)
    rig.remove("gone.example")
    rig.clock.pass_(seconds=1)
    rig.add("new.example")
    rig.vendor.trim()

    batches = rig.read(mirror.cursor)

    assert [batch.phase for batch in batches][-1] == "snapshot_end"
    assert mirror.apply(batches).values() == {"kept.example", "new.example"}


def test_a_platform_that_was_set_back_is_listed_anew(rig: OpenCtiRig) -> None:
    rig.add("kept.example")

    batches = rig.read({"id": "9999999999999-0"})

    assert batches[-1].phase == "snapshot_end"
    assert Mirror().apply(batches).values() == {"kept.example"}


def test_a_read_ends_at_the_last_event_there_was(rig: OpenCtiRig) -> None:
    rig.add("one.example")
    rig.clock.pass_(seconds=1)
    mirror = Mirror()
    for batch in rig.source(page=1).read(None, full=False, deadline=rig.deadline()):
        mirror.apply([batch])
        rig.clock.pass_(seconds=1)
        rig.add(f"meanwhile-{len(mirror.objects)}.example")

    assert len(mirror.keys()) <= 2
    mirror.apply(rig.read(mirror.cursor))
    assert mirror.values() == set(rig.ids)


def test_what_is_complete_at_the_deadline_is_handed_over(rig: OpenCtiRig) -> None:
    cursor = rig.read()[-1].cursor
    told = [
        b'event: connected\ndata: {"firstEventId":"1-0","lastEventId":"9999999999999-0"}\n\n',
        b"id: 9000000000000-0\nevent: create\ndata: "
        + json.dumps({"type": "create", "data": indicator()}).encode()
        + b"\n\nid: 9000000000001-0\nevent: heartbeat\ndata: x\n\n",
    ]
    ticks = count()

    def pieces() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        yield from told
        while True:
            yield b": ping\n\n"

    # Time passes with every look at the clock, so it runs out among the pings.
    deadline = Deadline.after(500.0, clock=lambda: float(next(ticks)))
    with rude(lambda _: Raw(pieces(), close=True)) as server:
        [batch] = rig.source(url=server.root, page=500).read(cursor, full=False, deadline=deadline)

    assert batch.cursor == {"id": "9000000000001-0"}
    assert len(batch.changes) == 1


def test_nothing_new_is_seen_without_waiting(rig: OpenCtiRig) -> None:
    rig.add("one.example")
    cursor = rig.read()[-1].cursor

    assert rig.read(cursor) == []


def test_a_stream_that_breaks_in_every_frame_loses_nothing(rig: OpenCtiRig) -> None:
    names = [f"host-{number}.example" for number in range(12)]
    for name in names:
        rig.add(name)
        rig.clock.pass_(seconds=1)
    rig.vendor.break_after += [2, 3, 4, 5, 6, 7, 8]

    assert Mirror().apply(rig.read()).values() == set(names)
    assert len(rig.clock.slept) >= 5


def test_a_stream_that_always_breaks_is_an_error(rig: OpenCtiRig) -> None:
    rig.add("one.example")
    rig.vendor.break_after += [1] * 20

    with pytest.raises((ConnectionFailed, BadAnswer)):
        rig.read()
    assert 3 <= len(rig.clock.slept) <= 5


def test_a_stopped_stream_says_so(rig: OpenCtiRig) -> None:
    rig.vendor.stopped = True

    with pytest.raises(ApiGone) as caught:
        rig.read()

    assert caught.value.hint is not None
    assert "start it" in caught.value.hint


def test_an_unknown_stream_is_not_asked_for_again(rig: OpenCtiRig) -> None:
    with pytest.raises(Unauthorized):
        list(rig.source(stream_id="unknown").read(None, full=False, deadline=rig.deadline()))

    assert len(rig.sandbox.requests) == 1


def test_a_stream_that_does_not_introduce_itself_is_an_error(rig: OpenCtiRig) -> None:
    told: list[object] = [
        {},
        {"firstEventId": "5-0"},
        {"firstEventId": "5-0", "lastEventId": "4-0"},
    ]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    for document in told:
        body = head + f"event: connected\ndata: {json.dumps(document)}\n\n".encode()
        with rude(lambda _, body=body: Raw([body], close=True)) as server:  # type: ignore[misc]
            source = rig.source(url=server.root)
            with pytest.raises(BadAnswer):
                list(source.read(None, full=False, deadline=rig.deadline()))


def test_a_stream_that_ends_before_it_says_anything_is_an_error(rig: OpenCtiRig) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    with rude(lambda _: Raw([head], close=True)) as server:
        source = rig.source(url=server.root, token="")
        with pytest.raises(BadAnswer):
            list(source.read(None, full=False, deadline=rig.deadline()))
    assert all("authorization" not in seen.headers for seen in server.seen)


def test_a_snapshot_that_was_read_to_its_end_ends_without_another_event(rig: OpenCtiRig) -> None:
    rig.add("one.example")
    last = rig.read()[-1].cursor["id"]

    [batch] = rig.read({"id": last, "until": last})

    assert (batch.phase, batch.cursor) == ("snapshot_end", {"id": last})


def test_merges_name_what_was_merged_in_any_form() -> None:
    sources = ["indicator--a", {"id": "indicator--b"}, {"id": 5}, None]
    told = {"type": "merge", "data": indicator(), "context": {"sources": sources}}
    changes = list(changes_of(Event("merge", json.dumps(told), "5-0"), (5, 0), VALUES))

    assert [change.source_id for change in changes] == [
        "indicator--a",
        "indicator--b",
        "indicator--bad.example",
    ]


def test_an_indicator_carries_what_the_platform_says(rig: OpenCtiRig) -> None:
    rig.vendor.put(
        PATTERN,
        score=70,
        name="bad.example",
        description="Loader\x00 C2",
        object_marking_refs=["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],
        valid_until="2027-02-18T09:00:00.000Z",
        external_references=[{"url": "javascript:x"}, {"url": "https://reports.example/1"}],
    )

    [found] = Mirror().apply(rig.read()).indicators()

    assert found.key == Key("domain", "bad.example")
    assert (found.score, found.confidence, found.tlp) == (70, 85, "amber")
    assert (found.title, found.description) == ("bad.example", "Loader C2")
    assert found.threat_types == ("malicious-activity",)
    assert found.tags == ("loader",)
    assert found.valid_until is not None
    assert found.link == "https://reports.example/1"


def test_an_indicator_without_a_score_has_none(rig: OpenCtiRig) -> None:
    rig.vendor.put(PATTERN, score=None)

    [found] = Mirror().apply(rig.read()).indicators()

    assert found.score is None


def test_observables_come_with_all_their_values() -> None:
    sha256, md5 = "ab" * 32, "cd" * 16
    stix = {
        "type": "file",
        "id": "file--1",
        "hashes": {"SHA-256": sha256, "MD5": md5, "SSDEEP": "x", "SHA-1": "nonsense"},
        "extensions": {
            EXTENSION: {"updated_at": "2026-11-21T06:00:00Z"},
            "extension-definition--f93e2c80-4231-4f9a-af8b-95c9bd566a82": {
                "score": 60,
                "labels": ["loader"],
            },
        },
    }
    [change] = changes_of(frame("create", "5-0", type="create", data=stix), (5, 0), VALUES)

    assert isinstance(change, Upsert)
    assert {one.key.value for one in change.indicators} == {sha256, md5}
    assert {(one.score, one.tags) for one in change.indicators} == {(60, ("loader",))}
    assert change.skipped == {"not a hash": 1}
    nothing = {"type": "file", "id": "file--2", "name": "a.exe"}
    [change] = changes_of(frame("create", "5-0", type="create", data=nothing), (5, 0), VALUES)
    assert isinstance(change, Upsert)
    assert change.skipped == {"other kind of observable": 1}


def test_objects_that_are_no_indicators_are_nobodys_matter() -> None:
    report = {"type": "report", "id": "report--1"}

    assert list(changes_of(frame("create", "5-0", data=report), (5, 0), VALUES)) == []
    assert list(changes_of(frame("no-recover", "5-0", data=report), (5, 0), VALUES)) == []
