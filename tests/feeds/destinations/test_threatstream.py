import json
import re
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from mdti.errors import BadAnswer, SettingError
from mdti.feeds.destinations.threatstream import MARK, ThreatStream
from mdti.feeds.destinations.threatstream_api import page_of, session_of
from mdti.feeds.destinations.threatstream_rows import form_body, pattern_of, shape_of
from mdti.feeds.destinations.threatstream_session import Session
from mdti.feeds.indicator import IndicatorKind, Tlp
from mdti.feeds.ports import Outcome
from mdti.net.deadline import Deadline
from mdti.net.messages import Response
from mdti.net.transport import Transport
from mdti.sandbox.faults import Fault
from mdti.sandbox.host import Sandbox
from mdti.sandbox.observables import ITYPES
from mdti.sandbox.wire import Reply, Request, json_reply
from tests.feeds.destinations.rig import NOW, VALUES, domain, drop, indicator, put
from tests.feeds.destinations.rig_threatstream import SessionsRig, ThreatStreamRig

TEN = [domain(number) for number in range(10)]
C2 = ("c2",)
PHISH = ("Phishing kit",)


def calls(rig: ThreatStreamRig, method: str, path: str) -> int:
    return sum(
        seen.method == method and seen.path == f"/threatstream{path}"
        for seen in rig.sandbox.requests
    )


def again(outcome: Outcome, value: str, **fields: Any) -> Any:
    """Return the same row once more, with what the ledger kept of it."""
    return put(indicator(value, **fields), remote_id=outcome.remote_id)


@pytest.mark.parametrize(
    ("kind", "value", "threat_types", "confidence", "itype"),
    [
        ("ipv4", "198.51.100.23", (), 80, "mal_ip"),
        ("ipv4", "198.51.100.23", C2, 80, "c2_ip"),
        ("ipv4", "198.51.100.23", PHISH, 80, "phish_ip"),
        ("ipv4", "198.51.100.23", (), 49, "suspicious_ip"),
        ("ipv6", "2001:db8::23", C2, 80, "mal_ipv6"),
        ("domain", "evil.example", ("Command and Control",), 80, "c2_domain"),
        ("domain", "evil.example", (), 50, "mal_domain"),
        ("domain", "evil.example", (), None, "mal_domain"),
        ("url", "https://evil.example/a", PHISH, 10, "phish_url"),
        ("email", "x@evil.example", C2, 80, "mal_email"),
        ("email", "x@evil.example", (), 10, "suspicious_email"),
        ("md5", "a" * 32, C2, 80, "mal_md5"),
        ("sha1", "a" * 40, (), 10, "mal_md5"),
        ("sha256", "a" * 64, PHISH, 80, "mal_md5"),
    ],
)
@pytest.mark.parametrize("approval", ["direct", "sessions"])
def test_an_indicator_gets_an_itype_that_is_known(
    request: pytest.FixtureRequest,
    approval: str,
    kind: IndicatorKind,
    value: str,
    threat_types: tuple[str, ...],
    confidence: int | None,
    itype: str,
) -> None:
    rig: ThreatStreamRig = request.getfixturevalue(approval)
    item = indicator(value, kind, threat_types=threat_types, confidence=confidence)

    [outcome] = rig.apply(put(item))

    assert outcome.state == "accepted"
    assert rig.row(value)["itype"] == itype
    assert itype in ITYPES
    assert rig.row(value)["is_public"] is False


@pytest.mark.parametrize("approval", ["direct", "sessions"])
def test_a_row_says_what_the_indicator_does(request: pytest.FixtureRequest, approval: str) -> None:
    rig: ThreatStreamRig = request.getfixturevalue(approval)
    item = indicator(
        TEN[0],
        confidence=91,
        severity="medium",
        tlp="green",
        tags=("loader",),
        threat_types=("stealer",),
        actors=("Made-up Typhoon",),
        valid_until=NOW + timedelta(days=5, minutes=20),
    )

    [outcome] = rig.apply(put(item))

    row = rig.row(TEN[0])
    assert outcome.remote_id == str(row["id"])
    assert row["confidence"] == row["source_reported_confidence"] == 91
    assert row["meta"]["severity"] == "medium"
    assert row["tlp"] == "green"
    assert row["expiration_ts"] == "2026-11-26T12:00:00.000Z"
    names = {tag["name"] for tag in row["tags"]}
    assert names == {MARK, "Made-up Typhoon", "stealer", "loader"}


@pytest.mark.parametrize("tlp", ["clear", "green", "amber", "amber+strict", "red", None])
def test_every_tlp_arrives(direct: ThreatStreamRig, tlp: Tlp | None) -> None:
    direct.apply(put(indicator(TEN[0], tlp=tlp)))

    assert direct.row(TEN[0])["tlp"] == tlp


def test_a_name_that_does_not_resolve_any_more_is_imported(direct: ThreatStreamRig) -> None:
    direct.vendor.options.unresolved.add(TEN[0])

    [outcome] = direct.apply(put(TEN[0]))

    assert outcome.state == "accepted"


def test_a_202_alone_is_no_acceptance(direct: ThreatStreamRig) -> None:
    direct.spoil(TEN[0])

    outcomes = direct.apply(put(TEN[0]), put(TEN[1]))

    assert [one.state for one in outcomes] == ["pending", "accepted"]
    assert "not there yet" in outcomes[0].reason


def test_what_shows_late_is_waited_for(direct: ThreatStreamRig) -> None:
    direct.vendor.options.visible_after = 2

    [outcome] = direct.apply(put(TEN[0]))

    assert outcome.state == "accepted"
    assert direct.clock.slept


def test_what_shows_too_late_is_accepted_next_time_without_another_import(
    direct: ThreatStreamRig,
) -> None:
    direct.vendor.options.visible_after = 7
    [outcome] = direct.apply(put(TEN[0]))
    assert outcome.state == "pending"
    for _ in range(3):
        direct.destination().listing(deadline=direct.deadline())
        list(direct.destination().listing(deadline=direct.deadline()) or ())

    [outcome] = direct.apply(put(TEN[0]))

    assert outcome.state == "accepted"
    assert calls(direct, "PATCH", "/api/v1/intelligence/") == 1


def test_an_update_is_proved_by_the_row_itself(direct: ThreatStreamRig) -> None:
    direct.apply(put(indicator(TEN[0], confidence=60)))
    direct.vendor.options.visible_after = 99

    [outcome] = direct.apply(put(indicator(TEN[0], confidence=90)))

    assert outcome.state == "pending"
    assert direct.describes(TEN[0]) == 60


def test_a_row_that_says_it_already_is_not_imported_again(direct: ThreatStreamRig) -> None:
    item = indicator(TEN[0], tlp="amber")
    direct.apply(put(item))

    [outcome] = direct.apply(put(item))

    assert outcome.state == "accepted"
    assert calls(direct, "PATCH", "/api/v1/intelligence/") == 1


def test_what_an_analyst_calls_a_false_positive_stays_one(direct: ThreatStreamRig) -> None:
    direct.apply(put(TEN[0]))
    direct.vendor.observables.change(direct.row(TEN[0])["id"], status="falsepos")

    [outcome] = direct.apply(put(indicator(TEN[0], confidence=99)))

    assert outcome.state == "rejected"
    assert "false positive" in outcome.reason
    assert direct.row(TEN[0])["status"] == "falsepos"


def test_a_partners_row_with_the_value_is_no_hindrance(direct: ThreatStreamRig) -> None:
    direct.vendor.observables.put(TEN[0], itype="apt_domain", organisation=99)

    [outcome] = direct.apply(put(TEN[0]))

    assert outcome.state == "accepted"
    assert len(direct.vendor.observables.named(TEN[0])) == 2


def test_a_partners_row_with_our_mark_is_not_ours(direct: ThreatStreamRig) -> None:
    direct.vendor.observables.put(
        TEN[0], itype="apt_domain", organisation=99, tags=[{"name": MARK}]
    )

    assert list(direct.destination().listing(deadline=direct.deadline()) or ()) == []
    [outcome] = direct.apply(drop(Outcome(indicator(TEN[0]).key, "accepted")))
    assert outcome.state == "accepted"
    assert direct.row(TEN[0])["status"] == "active"


def test_an_inactive_row_of_ours_is_made_active_again(direct: ThreatStreamRig) -> None:
    [outcome] = direct.apply(put(TEN[0]))
    direct.apply(drop(outcome))

    [outcome] = direct.apply(put(TEN[0], generation=1))

    assert outcome.state == "accepted"
    assert direct.present() == [TEN[0]]


def test_the_list_is_read_over_all_pages(
    direct: ThreatStreamRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.feeds.destinations.threatstream_api.PAGE", 3)
    direct.apply(*map(put, TEN))

    listing = direct.destination().listing(deadline=direct.deadline())

    assert sorted(one.key.value for one in listing or ()) == TEN


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/x/?limit=1",
        "/api/v1/user/?limit=1",
        7,
        "//[x",
        "/api/v2/intelligence/?search_after=\ud83d",
    ],
)
def test_a_link_to_another_place_is_not_followed(link: object) -> None:
    body = json.dumps({"meta": {"next": link}, "objects": []}).encode()
    with pytest.raises(BadAnswer):
        page_of(Response(200, {}, body, "api"))


def test_a_key_in_a_link_is_left_out() -> None:
    link = "https://x.example/api/v2/intelligence/?username=u&api_key=secret&limit=1&a=%26"
    body = json.dumps({"meta": {"next": link}, "objects": [1]}).encode()

    assert page_of(Response(200, {}, body, "api")) == ([], "limit=1&a=%26")


def test_values_are_asked_for_many_at_once(direct: ThreatStreamRig) -> None:
    direct.apply(*(put(domain(number)) for number in range(500)))

    assert calls(direct, "GET", "/api/v2/intelligence/") < 12
    assert calls(direct, "PATCH", "/api/v1/intelligence/") == 1


@pytest.mark.parametrize("value", ["a.b", "https://e.example/?a=(1)|[2]^$+{3}\\", "x@y.example"])
def test_a_pattern_matches_its_values_and_nothing_else(value: str) -> None:
    pattern = pattern_of([value, "other.example"])

    assert re.fullmatch(pattern, value)
    assert re.fullmatch(pattern, "other.example")
    assert not re.fullmatch(pattern, value.replace(".", "x"))


def test_an_import_carries_what_the_document_lists_and_is_never_public(
    sessions: SessionsRig,
) -> None:
    sessions.apply(put(indicator(TEN[0], tlp="amber")))

    [session] = sessions.vendor.sessions.values()
    assert session.form["classification"] == "private"
    assert session.form["datatext"] == TEN[0]
    assert session.form["domain_mapping"] == "mal_domain"
    assert session.form["tlp"] == "amber"
    assert session.form["notes"] == "MDTI Actor Lookup"
    assert json.loads(session.form["tags"])[0] == {"name": MARK, "tlp": "amber"}
    [seen] = [seen for seen in sessions.sandbox.requests if seen.path.endswith("/import/")]
    assert seen.query == {}
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"


def test_values_of_one_shape_share_a_session(sessions: SessionsRig) -> None:
    alike = [put(indicator(value, title=value)) for value in TEN[:5]]
    other = [put(indicator(value, confidence=30)) for value in TEN[5:]]

    outcomes = sessions.apply(*alike, *other)

    assert {one.state for one in outcomes} == {"accepted"}
    assert len(sessions.vendor.sessions) == 2


def test_a_session_that_waits_for_a_person_is_told_apart_and_named(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"

    outcomes = sessions.apply(*map(put, TEN[:3]))

    assert [one.state for one in outcomes] == ["awaiting_approval"] * 3
    assert {one.reason for one in outcomes} == {"waits for approval in ThreatStream"}
    assert all(one.remote_id and one.remote_id.startswith("session:3369:") for one in outcomes)
    assert sessions.present() == []


@pytest.mark.parametrize("status", ["approving", "rejecting"])
def test_a_session_that_threatstream_works_on_is_no_failure(
    sessions: SessionsRig, status: str
) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.sessions[3_369].status = status

    [outcome] = sessions.apply(again(first, TEN[0]))

    assert outcome == first


def test_a_session_is_not_opened_twice(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))

    for _ in range(3):
        [outcome] = sessions.apply(again(first, TEN[0]))
        assert outcome.state == "awaiting_approval"
        assert outcome.remote_id == first.remote_id

    assert len(sessions.vendor.sessions) == 1


def test_an_approved_session_is_accepted_next_time(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.approve(3_369)

    [outcome] = sessions.apply(again(first, TEN[0]))

    assert outcome.state == "accepted"
    assert outcome.remote_id == str(sessions.row(TEN[0])["id"])


@pytest.mark.parametrize("end", ["deleted", "errors"])
def test_a_session_that_a_person_or_a_fault_ended_is_rejected(
    sessions: SessionsRig, end: str
) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.sessions[3_369].status = end

    [outcome] = sessions.apply(again(first, TEN[0]))

    assert outcome.state == "rejected"
    assert end in outcome.reason
    assert len(sessions.vendor.sessions) == 1


def test_a_session_that_fails_at_once_is_rejected(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "errors"

    [outcome] = sessions.apply(put(TEN[0]))

    assert outcome.state == "rejected"


def test_a_changed_indicator_gets_a_session_of_its_own_once_the_first_is_decided(
    sessions: SessionsRig,
) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))

    [waits] = sessions.apply(again(first, TEN[0], confidence=99))
    assert waits.state == "awaiting_approval"
    assert len(sessions.vendor.sessions) == 1

    sessions.vendor.reject(3_369)
    [second] = sessions.apply(again(waits, TEN[0], confidence=99))
    assert second.state == "awaiting_approval"
    assert len(sessions.vendor.sessions) == 2


def test_what_was_approved_and_then_left_out_is_rejected_in_the_end(
    sessions: SessionsRig,
) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.sessions[3_369].status = "approved"

    [second] = sessions.apply(again(first, TEN[0]))
    assert second.state == "pending"
    assert second.remote_id != first.remote_id
    [third] = sessions.apply(again(second, TEN[0]))

    assert third.state == "rejected"
    assert "left out" in third.reason


def test_our_own_row_is_changed_without_approval(sessions: SessionsRig) -> None:
    [first] = sessions.apply(put(indicator(TEN[0], confidence=60, tags=())))
    sessions.vendor.options.approval = "manual"
    sessions.clock.pass_(days=60)

    [outcome] = sessions.apply(again(first, TEN[0], confidence=90, tags=("late",)))

    assert outcome.state == "accepted"
    row = sessions.row(TEN[0])
    assert row["confidence"] == 90
    assert row["expiration_ts"] == "2027-04-20T12:00:00.000Z"
    assert "late" in {tag["name"] for tag in row["tags"]}
    assert len(sessions.vendor.sessions) == 1


def test_a_row_that_waits_for_approval_cannot_be_dropped_yet(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))

    [waits] = sessions.apply(drop(first))
    assert waits.state == "awaiting_approval"
    sessions.vendor.approve(3_369)
    [gone] = sessions.apply(drop(waits))

    assert gone.state == "accepted"
    assert sessions.present() == []


def test_a_row_whose_session_was_rejected_is_dropped(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.reject(3_369)

    [gone] = sessions.apply(drop(first))

    assert gone.state == "accepted"


def test_what_opened_is_remembered_when_the_next_session_fails(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    sessions.sandbox.faults.set([Fault(kind="error", status=403, after=1, route="POST *import/")])

    outcomes = sessions.apply(put(TEN[0]), put(indicator(TEN[1], confidence=30)))

    assert [one.state for one in outcomes] == ["awaiting_approval", "pending"]
    assert outcomes[0].remote_id is not None
    assert outcomes[1].remote_id is None


def test_a_session_whose_status_cannot_be_had_is_still_remembered(sessions: SessionsRig) -> None:
    sessions.sandbox.faults.set([Fault(kind="error", status=500, route="GET *importsession*")])

    [outcome] = sessions.apply(put(TEN[0]))

    assert outcome.state == "pending"
    assert outcome.remote_id is not None


def test_an_import_session_is_not_opened_again_after_a_fault(sessions: SessionsRig) -> None:
    sessions.sandbox.faults.set([Fault(kind="error", status=503, route="POST *import/")])

    [outcome] = sessions.apply(put(TEN[0]))

    assert outcome.state == "pending"
    assert calls(sessions, "POST", "/api/v1/intelligence/import/") == 1


def test_a_form_keeps_hostile_words_apart() -> None:
    item = indicator(TEN[0], tags=('a","tlp":"white"', "b&classification=public"))
    shape = shape_of(item.key, item, mark=MARK, expire_days=90, now=NOW)
    assert shape is not None

    form = parse_qs(form_body([item.key], shape, notes="a, feed&tlp=white").decode())

    assert form["classification"] == ["private"]
    assert form["notes"] == ["a feed&tlp=white"]
    names = [tag["name"] for tag in json.loads(form["tags"][0])]
    assert names == [MARK, "malware", 'a","tlp":"white"', "b&classification=public"]


@pytest.mark.parametrize("name", ["username", "api_key"])
@pytest.mark.parametrize("value", ["", "line\nbreak", "ключ"])
def test_credentials_that_cannot_be_sent_are_refused(
    direct: ThreatStreamRig, name: str, value: str
) -> None:
    given = {"username": "u@example.com", "api_key": "k", name: value}

    with pytest.raises(SettingError, match=f"THREATSTREAM_{name.upper()}") as caught:
        ThreatStream(
            transport=direct.transport,
            values=VALUES,
            username=given["username"],
            api_key=given["api_key"],
        )

    assert not value or value not in str(caught.value)


def test_an_unknown_way_of_approval_is_refused(direct: ThreatStreamRig) -> None:
    with pytest.raises(SettingError, match="THREATSTREAM_APPROVAL"):
        ThreatStream(
            transport=direct.transport,
            values=VALUES,
            username="u",
            api_key="k",
            approval="later",  # type: ignore[arg-type]
        )


def test_the_key_is_in_no_repr(direct: ThreatStreamRig) -> None:
    destination = direct.destination()

    assert direct.vendor.api_key not in repr(destination)
    assert direct.vendor.api_key not in repr(vars(destination))


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"import_session_id":"x"}', b"accepted"])
def test_an_import_that_names_no_session_is_no_import(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        session_of(Response(202, {}, body, "api"))


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"meta":{}}', b'{"meta":1,"objects":[]}'])
def test_an_answer_that_is_no_page_is_an_error(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        page_of(Response(200, {}, body, "api"))


class Odd:
    """A service whose list leads back to itself, or holds what nobody asked for."""

    name = "threatstream"

    def __init__(self, *, strangers: int = 0) -> None:
        self.strangers = strangers

    def settings(self, base_url: str) -> dict[str, str]:
        return {}

    def handle(self, request: Request) -> Reply:
        row = {"id": 1, "type": "domain", "value": "stranger.example", "is_editable": True}
        rows = [row] * self.strangers if self.strangers else [{"id": None}, {"type": "x"}]
        following = None if self.strangers else "/api/v2/intelligence/?page=again"
        return json_reply({"meta": {"next": following}, "objects": rows})


@pytest.mark.parametrize(
    ("odd", "message"), [(Odd(), "circle"), (Odd(strangers=1_001), "does not filter")]
)
def test_a_list_that_cannot_be_believed_changes_nothing(odd: Odd, message: str) -> None:
    rig = ThreatStreamRig()
    with (
        Sandbox(vendors=lambda _: [odd]) as sandbox,
        closing(Transport(token=rig.token)) as transport,
    ):
        destination = ThreatStream(
            transport=transport,
            values=VALUES,
            url=sandbox.vendor_url("threatstream"),
            username="u",
            api_key="k",
            approval="direct",
        )
        deadline = Deadline.after(60)

        [outcome] = destination.apply([put(TEN[0])], deadline=deadline)

        assert outcome.state == "pending"
        assert message in outcome.reason
        assert {seen.method for seen in sandbox.requests} == {"GET"}


def test_what_is_imported_as_a_false_positive_is_rejected(
    direct: ThreatStreamRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.sandbox.threatstream.ITYPES", frozenset())

    [outcome] = direct.apply(put(TEN[0]))

    assert outcome.state == "rejected"


def test_a_row_without_its_tlp_is_pending(direct: ThreatStreamRig) -> None:
    direct.sandbox.faults.set([Fault(kind="error", status=500, route="PATCH *v2/intelligence*")])
    item = indicator(TEN[0], tlp="red")

    [outcome] = direct.apply(put(item))
    assert outcome.state == "pending"
    assert "TLP" in outcome.reason
    direct.sandbox.faults.set()
    [outcome] = direct.apply(put(item))

    assert outcome.state == "accepted"
    assert direct.row(TEN[0])["tlp"] == "red"


def test_nothing_is_waited_for_past_the_deadline(direct: ThreatStreamRig) -> None:
    direct.vendor.options.visible_after = 99
    start = direct.clock.seconds

    [outcome] = direct.apply(put(TEN[0]), seconds=5)

    assert outcome.state == "pending"
    assert direct.clock.seconds - start <= 5


def test_a_large_import_is_split(direct: ThreatStreamRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdti.feeds.destinations.threatstream_work.MOST_BYTES", 600)

    outcomes = direct.apply(*map(put, TEN))

    assert {one.state for one in outcomes} == {"accepted"}
    assert calls(direct, "PATCH", "/api/v1/intelligence/") > 2


@pytest.mark.parametrize(
    ("status", "state"), [(400, "rejected"), (403, "rejected"), (500, "pending")]
)
def test_a_row_that_cannot_be_changed_or_removed_says_so(
    sessions: SessionsRig, status: int, state: str
) -> None:
    [first] = sessions.apply(put(indicator(TEN[0], confidence=60)))
    sessions.sandbox.faults.set(
        [Fault(kind="error", status=status, route="PATCH *v2/intelligence*")]
    )

    [changed] = sessions.apply(again(first, TEN[0], confidence=90))
    [removed] = sessions.apply(drop(first))

    assert changed.state == removed.state == state
    assert sessions.present() == [TEN[0]]


def test_an_approved_session_that_cannot_be_read_back_is_remembered(
    sessions: SessionsRig,
) -> None:
    sessions.sandbox.faults.set(
        [Fault(kind="error", status=403, route="GET *v2/intelligence*", after=1)]
    )

    [outcome] = sessions.apply(put(TEN[0]))

    assert outcome.state == "pending"
    assert outcome.remote_id is not None
    sessions.sandbox.faults.set()
    [outcome] = sessions.apply(again(outcome, TEN[0]))
    assert outcome.state == "accepted"


def test_what_an_analyst_changed_after_approval_is_left_as_it_is(sessions: SessionsRig) -> None:
    sessions.vendor.options.approval = "manual"
    [first] = sessions.apply(put(TEN[0]))
    sessions.vendor.approve(3_369)
    sessions.vendor.observables.change(sessions.row(TEN[0])["id"], severity="low")

    [outcome] = sessions.apply(again(first, TEN[0]))

    assert outcome.state == "accepted"
    assert sessions.row(TEN[0])["meta"]["severity"] == "low"


def test_a_session_that_is_not_known_any_more_is_opened_again(sessions: SessionsRig) -> None:
    [outcome] = sessions.apply(put(TEN[0], remote_id="session:1:abcdef01"))

    assert outcome.state == "accepted"


@pytest.mark.parametrize("remote_id", [None, "17", "session:", "session:1", "session:1:a:b:c"])
def test_what_names_no_session_is_none(remote_id: str | None) -> None:
    assert Session.of(remote_id) is None


@pytest.mark.parametrize("seen", [True, False])
def test_a_session_is_read_as_it_was_written(seen: bool) -> None:
    session = Session("17", "abcdef01", seen)

    assert Session.of(session.remote_id) == session
