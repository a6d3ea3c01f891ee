"""ThreatStream against the contract's samples (opencti-anyrun-anomali-threatconnect 3)."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from mdti.sandbox.host import Sandbox
from mdti.sandbox.observables import kind_of
from mdti.sandbox.threatstream import CALLS_PER_MINUTE, USERNAME, ThreatStream
from tests.sandbox.conftest import Clock

INTELLIGENCE = "/api/v2/intelligence/"
DIRECT = "/api/v1/intelligence/"
IMPORT = "/api/v1/intelligence/import/"
# The fields of the contract's sample, in 3.5.
FIELDS = {
    "id",
    "uuid",
    "update_id",
    "value",
    "ip",
    "type",
    "subtype",
    "itype",
    "threat_type",
    "confidence",
    "source_reported_confidence",
    "retina_confidence",
    "threatscore",
    "status",
    "is_public",
    "is_anonymous",
    "is_editable",
    "tlp",
    "tags",
    "meta",
    "created_ts",
    "modified_ts",
    "expiration_ts",
    "source",
    "feed_id",
    "import_session_id",
    "owner_organization_id",
    "trusted_circle_ids",
    "workgroups",
    "resource_uri",
}
# The request of the contract, in 3.2.
SAMPLE: dict[str, Any] = {
    "meta": {
        "classification": "private",
        "confidence": 80,
        "severity": "high",
        "allow_unresolved": True,
        "source_confidence_weight": 100,
        "expiration_ts": "2027-02-18T00:00:00",
        "tags": [{"name": "mdti", "tlp": "amber"}],
        "trustedcircles": [10042],
    },
    "objects": [
        {
            "srcip": "192.0.2.10",
            "itype": "mal_ip",
            "confidence": 80,
            "severity": "high",
            "classification": "private",
            "tags": [{"name": "loader", "tlp": "amber"}],
        },
        {"domain": "bad.example", "itype": "mal_domain"},
        {"url": "http://bad.example/a", "itype": "mal_url"},
        {"email": "x@bad.example", "itype": "mal_email", "confidence": 60},
        {"md5": "0" * 63 + "1", "itype": "mal_md5", "confidence": 90},
    ],
}


class Caller:
    def __init__(self, sandbox: Sandbox, vendor: ThreatStream) -> None:
        self.root, self.vendor = sandbox.vendor_url("threatstream"), vendor
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"apikey {USERNAME}:{vendor.api_key}"

    def send(self, method: str, path: str, **given: Any) -> requests.Response:
        return self.session.request(method, f"{self.root}{path}", timeout=10, **given)

    def page(self, **options: object) -> dict[str, Any]:
        answer = self.send("GET", f"{INTELLIGENCE}?{urlencode(options)}")
        assert answer.status_code == 200
        document: dict[str, Any] = answer.json()
        return document

    def values(self, **options: object) -> list[str]:
        return [row["value"] for row in self.page(**options)["objects"]]

    def open_session(self, values: str = "bad.example", **form: str) -> str:
        fields = {
            "datatext": values,
            "classification": "private",
            "confidence": "80",
            "severity": "high",
            "threat_type": "malware",
            "domain_mapping": "mal_domain",
            "ip_mapping": "mal_ip",
            "tags": json.dumps([{"name": "mdti", "tlp": "amber"}]),
            **form,
        }
        answer = self.send("POST", IMPORT, data=fields)
        assert answer.status_code == 202
        document = answer.json()
        assert document.keys() == {"success", "import_session_id", "job_id"}
        return str(document["import_session_id"])

    def status(self, session: str) -> dict[str, Any]:
        document: dict[str, Any] = self.send("GET", f"/api/v1/importsession/{session}/").json()
        return document


@pytest.fixture
def caller(clock: Clock) -> Iterator[Caller]:
    vendor = ThreatStream(clock=clock)
    with Sandbox(vendors=lambda _: [vendor], clock=clock, sleep=clock.sleep) as sandbox:
        caller = Caller(sandbox, vendor)
        with caller.session:
            yield caller


def test_a_direct_import_is_a_202_without_a_word_and_then_there(caller: Caller) -> None:
    answer = caller.send("PATCH", DIRECT, json=SAMPLE)

    assert (answer.status_code, answer.content) == (202, b"")
    rows = {row["value"]: row for row in caller.page(limit=10)["objects"]}
    assert len(rows) == 5
    address = rows["192.0.2.10"]
    assert address.keys() == FIELDS
    assert address["type"] == "ip"
    assert address["confidence"] == 80
    assert address["meta"]["severity"] == "high"
    assert address["expiration_ts"] == "2027-02-18T00:00:00.000Z"
    assert {tag["name"] for tag in address["tags"]} == {"mdti", "loader"}
    assert rows["0" * 63 + "1"]["subtype"] == "SHA256"
    assert rows["x@bad.example"]["confidence"] == 60


def test_what_is_wrong_becomes_a_false_positive_or_nothing(caller: Caller) -> None:
    caller.vendor.options.unresolved.add("gone.example")
    caller.vendor.options.benign.add("good.example")
    objects = [
        {"domain": "odd.example", "itype": "nonsense"},
        {"md5": "a" * 32, "itype": "mal_md5"},
        {"domain": "gone.example", "itype": "mal_domain"},
        {"domain": "good.example", "itype": "mal_domain"},
        {"hostname": "unread.example", "itype": "mal_domain"},
    ]
    caller.send("PATCH", DIRECT, json={"objects": objects})

    statuses = {row["value"]: row["status"] for row in caller.page()["objects"]}
    assert statuses == {"odd.example": "falsepos", "a" * 32: "falsepos"}


def test_confidence_is_recomputed_and_ninety_days_are_the_default(caller: Caller) -> None:
    objects = [{"domain": "bad.example", "itype": "mal_domain", "confidence": 90}]
    caller.send("PATCH", DIRECT, json={"objects": objects})

    [row] = caller.page()["objects"]
    assert (row["confidence"], row["source_reported_confidence"]) == (40, 90)
    assert row["expiration_ts"] == "2027-02-19T12:00:00.000Z"
    assert row["is_public"] is True


def test_rows_become_inactive_when_their_time_is_over(caller: Caller, clock: Clock) -> None:
    caller.vendor.observables.put("bad.example", itype="mal_domain", expires="2026-11-22T00:00:00")
    assert caller.values(status="active") == ["bad.example"]

    clock.seconds += 86_400

    assert caller.values(status="active") == []
    assert caller.values(status="active,inactive") == ["bad.example"]


def test_the_right_to_approve_is_needed_to_import_directly(caller: Caller) -> None:
    caller.vendor.options.may_approve = False

    assert caller.send("PATCH", DIRECT, json=SAMPLE).status_code == 403
    session = caller.open_session()
    approve = f"/api/v1/importsession/{session}/approve_all/"
    assert caller.send("PATCH", approve).status_code == 403


def test_a_session_that_is_done_is_not_approved(caller: Caller) -> None:
    caller.vendor.options.approval = "manual"
    session = caller.open_session("bad.example\n192.0.2.10\n\n")

    shown = caller.status(session)
    assert (shown["status"], shown["numIndicators"], shown["num_private"]) == ("done", 2, 2)
    assert caller.values() == []

    caller.send("PATCH", f"/api/v1/importsession/{session}/approve_all/")
    assert caller.status(session)["status"] == "approved"
    rows = {row["value"]: row for row in caller.page()["objects"]}
    assert rows["bad.example"]["itype"] == "mal_domain"
    assert rows["192.0.2.10"]["itype"] == "mal_ip"
    assert rows["192.0.2.10"]["import_session_id"] == int(session)


def test_a_session_may_be_rejected_fail_or_be_approved_by_a_rule(caller: Caller) -> None:
    caller.vendor.options.approval = "manual"
    rejected = caller.open_session()
    caller.vendor.reject(int(rejected))
    caller.vendor.approve(int(rejected))
    assert caller.status(rejected)["status"] == "deleted"

    caller.vendor.options.approval = "errors"
    assert caller.status(caller.open_session())["status"] == "errors"

    caller.vendor.options.approval = "automatic"
    assert caller.status(caller.open_session(expiration_ts="null"))["status"] == "approved"
    assert caller.page()["objects"][0]["expiration_ts"].startswith("9999")


def test_what_is_benign_is_counted_as_rejected(caller: Caller) -> None:
    caller.vendor.options.benign.add("good.example")

    session = caller.status(
        caller.open_session("good.example\nbad.example", classification="public")
    )

    assert (session["numIndicators"], session["numRejected"], session["num_public"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "form",
    [
        {"datatext": "bad.example"},
        {"confidence": "80"},
        {"datatext": "bad.example", "confidence": "high"},
        {"datatext": "bad.example", "confidence": "80", "tags": "mdti"},
        {"datatext": "bad.example", "confidence": "80", "tags": '"mdti"'},
    ],
)
def test_a_form_that_lacks_something_is_refused(caller: Caller, form: dict[str, str]) -> None:
    assert caller.send("POST", IMPORT, data=form).status_code == 400


def test_importing_again_changes_the_row_and_adds_tags(caller: Caller) -> None:
    for tag, severity in (("one", "low"), ("two", "high"), ("two", "high")):
        objects = [{"domain": "bad.example", "itype": "mal_domain", "severity": severity}]
        body = {"meta": {"tags": [{"name": tag}]}, "objects": objects}
        caller.send("PATCH", DIRECT, json=body)

    [row] = caller.page()["objects"]
    assert [tag["name"] for tag in row["tags"]] == ["one", "two"]
    assert row["meta"]["severity"] == "high"


def test_a_row_can_be_changed_tagged_and_deleted(caller: Caller) -> None:
    row = caller.vendor.observables.put("bad.example", itype="mal_domain")
    change = {"status": "inactive", "severity": "high", "tlp": "red", "value": "no.example"}
    path = f"{INTELLIGENCE}{row['id']}/"

    shown = caller.send(
        "PATCH", path, json=change | {"expiration_ts": "2026-12-01T00:00:00"}
    ).json()
    assert (shown["status"], shown["meta"]["severity"], shown["tlp"]) == ("inactive", "high", "red")
    assert shown["value"] == "bad.example"
    tag = {"tags": [{"name": "seen", "tlp": "amber"}]}
    assert caller.send("POST", f"{DIRECT}{row['id']}/tag/", json=tag).status_code == 201
    assert caller.values(**{"tags.name": "seen"}) == ["bad.example"]
    assert caller.send("DELETE", path).status_code == 204
    assert caller.send("DELETE", path).status_code == 404


def test_tags_have_ids_by_which_one_is_removed_and_each_change_moves_the_row(
    caller: Caller,
) -> None:
    put = caller.vendor.observables.put
    for organisation in (67, 99):
        row = put("bad.example", itype="mal_domain", organisation=organisation)
        path = f"{DIRECT}{row['id']}/tag/"
        updates = [row["update_id"]]
        for name in ("one", "two"):
            tag = {"tags": [{"name": name, "tlp": "red"}]}
            assert caller.send("POST", path, json=tag).status_code == 201
            updates.append(row["update_id"])
        one, two = row["tags"]
        assert (one["name"], one["tlp"], two["name"]) == ("one", "red", "two")
        assert one["id"] != two["id"]

        assert caller.send("DELETE", f"{path}{one['id']}/").status_code == 204
        updates.append(row["update_id"])
        assert [tag["name"] for tag in row["tags"]] == ["two"]
        assert updates == sorted(set(updates))
        assert caller.send("DELETE", f"{path}{one['id']}/").status_code == 404


def test_tagging_may_be_forbidden_refused_or_for_ever(caller: Caller) -> None:
    options, put = caller.vendor.options, caller.vendor.observables.put
    own = put("bad.example", itype="mal_domain", tags=[{"name": "one"}])
    theirs = put("bad.example", itype="mal_domain", organisation=99)
    tag = {"tags": [{"name": "two", "tlp": "red"}]}

    def statuses() -> list[int]:
        return [
            caller.send("POST", f"{DIRECT}{row['id']}/tag/", json=tag).status_code
            for row in (own, theirs)
        ]

    options.may_tag = False
    assert statuses() == [403, 403]
    options.may_tag = True
    options.untaggable.add("bad.example")
    assert statuses() == [400, 403]
    options.untaggable.clear()
    options.may_untag = False
    path = f"{DIRECT}{own['id']}/tag/{own['tags'][0]['id']}/"
    assert caller.send("DELETE", path).status_code == 405
    assert caller.send("POST", f"{DIRECT}1/tag/", json=tag).status_code == 404


def test_another_organisations_row_cannot_be_changed(caller: Caller) -> None:
    row = caller.vendor.observables.put("bad.example", itype="mal_domain", organisation=99)

    answer = caller.send("PATCH", f"{INTELLIGENCE}{row['id']}/", json={"status": "inactive"})

    assert row["is_editable"] is False
    assert answer.status_code == 403


def fill(caller: Caller, count: int) -> list[str]:
    values = [f"host-{number:02}.example" for number in range(count)]
    for value in values:
        caller.vendor.observables.put(value, itype="mal_domain", confidence=50)
    return values


def test_twenty_rows_are_a_page_unless_told_and_a_thousand_at_most(caller: Caller) -> None:
    values = fill(caller, 25)

    assert caller.values() == values[:20]
    assert caller.page(limit=5_000)["meta"]["limit"] == 1_000
    assert caller.page()["meta"]["total_count"] == 25


@pytest.mark.parametrize("order", ["update_id", "id", "-modified_ts", "value"])
def test_following_next_gives_every_row_once(caller: Caller, order: str) -> None:
    values = fill(caller, 25)
    path = f"{INTELLIGENCE}?{urlencode({'order_by': order, 'limit': 10, 'status': 'active'})}"
    found: list[str] = []
    while path:
        page = caller.send("GET", path).json()
        found += [row["value"] for row in page["objects"]]
        path = page["meta"]["next"]
        assert path is None or path.startswith(INTELLIGENCE)

    assert sorted(found) == values
    assert caller.values(offset=20, limit=3) == values[20:23]


def test_a_changed_row_comes_again_after_its_last_update_id(caller: Caller) -> None:
    fill(caller, 3)
    last = max(row["update_id"] for row in caller.page()["objects"])
    row = caller.page()["objects"][1]
    caller.vendor.observables.change(row["id"], confidence=90)

    assert caller.values(update_id__gt=last, order_by="update_id") == [row["value"]]


def test_rows_are_filtered(caller: Caller, clock: Clock) -> None:
    put = caller.vendor.observables.put
    put("192.0.2.10", itype="mal_ip", confidence=80)
    put("2001:db8::1", itype="mal_ipv6", confidence=30)
    clock.seconds += 60
    put("http://bad.example/a,b", itype="c2_url", confidence=60, tags=[{"name": "mdti"}])

    assert caller.values(type="ip,ipv6") == ["192.0.2.10", "2001:db8::1"]
    assert caller.values(itype="c2_url") == ["http://bad.example/a,b"]
    assert caller.values(value="http://bad.example/a,b") == ["http://bad.example/a,b"]
    assert caller.values(value__regexp=r"192\.0\.2\.10|2001\:db8\:\:1", confidence__gte=50) == [
        "192.0.2.10"
    ]
    assert caller.values(confidence__lt=60, confidence__gt=20) == ["2001:db8::1"]
    assert caller.values(confidence__lte=60) == ["2001:db8::1", "http://bad.example/a,b"]
    assert caller.values(modified_ts__gte="2026-11-21T12:00:30Z") == ["http://bad.example/a,b"]
    assert caller.values(**{"tags.name": "nothing"}) == []
    assert len(caller.values(feed_id=0, unknown="ignored")) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"value__regexp": "("},
        {"confidence__gte": "high"},
        {"modified_ts__gte": "yesterday"},
        {"limit": "all"},
        {"order_by": "nonsense"},
        {"search_after": "7", "offset": "-1"},
    ],
)
def test_options_that_cannot_be_read_are_refused(caller: Caller, options: dict[str, str]) -> None:
    fill(caller, 1)

    assert caller.send("GET", f"{INTELLIGENCE}?{urlencode(options)}").status_code == 400


@pytest.mark.parametrize(
    ("header", "verdict"),
    [("", "missing"), (f"apikey {USERNAME}:nonsense", "wrong"), ("Bearer x", "wrong")],
)
def test_a_wrong_key_is_a_401_and_the_log_shows_no_key(
    caller: Caller, header: str, verdict: str
) -> None:
    headers = {"Authorization": header}
    query = {"username": USERNAME, "api_key": "not-looked-at"}

    answer = caller.send("GET", INTELLIGENCE, headers=headers, params=query)

    assert answer.status_code == 401
    assert caller.sandbox.requests[-1].headers.get("authorization", "missing") == verdict


@pytest.mark.parametrize("header", [True, False])
def test_calls_are_limited_by_the_minute(caller: Caller, clock: Clock, header: bool) -> None:
    caller.vendor.options.retry_after = header
    for _ in range(CALLS_PER_MINUTE - 1):
        assert caller.vendor.limit.take() is None
    assert caller.send("GET", INTELLIGENCE).status_code == 200

    answer = caller.send("GET", INTELLIGENCE)

    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == ("60" if header else None)
    clock.seconds += 60
    assert caller.send("GET", INTELLIGENCE).status_code == 200


def test_what_is_not_there_is_a_404(caller: Caller) -> None:
    for path in ("/api/v1/nonsense/", "/api/v1/importsession/1/"):
        assert caller.send("GET", path).status_code == 404
    assert caller.send("PATCH", f"{INTELLIGENCE}x/", json={}).status_code == 400


def test_kinds_are_read_from_values() -> None:
    kinds = [kind_of(value) for value in ("192.0.2.1", "::1", "http://e.example", "x@e.example")]

    assert kinds == ["ip", "ipv6", "url", "email"]
    assert [kind_of("a" * 40), kind_of("g" * 40), kind_of("e.example")] == [
        "md5",
        "domain",
        "domain",
    ]


def test_the_settings_point_at_the_vendor(caller: Caller) -> None:
    environment = caller.sandbox.environment()

    assert environment["THREATSTREAM_URL"] == caller.root
    assert environment["THREATSTREAM_USERNAME"] == USERNAME
    assert environment["THREATSTREAM_API_KEY"] == caller.vendor.api_key
